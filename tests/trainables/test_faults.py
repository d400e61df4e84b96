"""A plug-in whose hooks give what they may not ends in one sentence that names its package, before a record can hold it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from baselines.lora import Lora, LoraConfig
from suite.errors import SuiteError
from suite.registration import Entry
from suite.registry import METHODS
from trainables.method import MethodFacts
from trainables.stream_trainer import StreamTrainer


class Odd(Lora):
    """A LoRA of rank 1, some hook of which is replaced."""


class OddConfig(LoraConfig):
    def build(self) -> Lora:
        return Odd(self)


@pytest.mark.parametrize(
    ("hook", "given", "said"),
    [
        ("loss", None, r"loss\(\) gives None, which is not a scalar tensor"),
        ("facts", None, r"facts\(\) gives None, which is not a MethodFacts"),
        ("facts", MethodFacts(0, no_signal_rank=float("nan")), r"facts\(\) says nan for 'no_signal_rank'"),
        ("facts", MethodFacts(0, chosen={"kappa": float("inf")}), r"facts\(\) says inf for 'kappa'"),
        ("facts", MethodFacts(-1), r"facts\(\) says -1 for 'trainable_parameters', which is not a count"),
    ],
)
def test_what_a_hook_may_not_give_is_said_with_the_package(
    hook: str, given: object, said: str, make_trainer: Callable[..., StreamTrainer], monkeypatch: pytest.MonkeyPatch
) -> None:
    entries = {**METHODS.entries, "odd": Entry(f"{Odd.__module__}:OddConfig", "", ("outsider", "1.0"))}
    monkeypatch.setitem(vars(METHODS), "_found", (entries, {}))
    trainer = make_trainer(OddConfig(rank=1), steps=1)
    monkeypatch.setattr(trainer.method, hook, lambda *_: given)
    with pytest.raises(SuiteError, match=rf"method Odd of package 'outsider 1\.0': {said}.*correct the method\."):
        next(trainer.rows(0))
