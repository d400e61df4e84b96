"""A plug-in whose hooks give what they may not ends in one sentence that names its package, before a record can hold it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from baselines.lora import Lora, LoraConfig
from suite.config import RunConfig, validate
from suite.errors import ConfigError, SuiteError
from suite.parts import TrainingConfig
from suite.registration import Entry
from suite.registry import METHODS
from suite.runs.store import RunStore
from trainables.method import MethodFacts
from trainables.needs import check_needs
from trainables.preflight import refusals
from trainables.run import RunContext, execute
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
        ("loss", torch.zeros(2), r"loss\(\) gives a tensor of shape \(2,\), which is not a scalar tensor"),
        ("facts", {"rank": 1}, r"facts\(\) gives \{'rank': 1\}, which is not a MethodFacts"),
        ("extra_batches", None, r"extra_batches\(\) gives None, which is not a list of Batch"),
        ("backward", None, r"backward\(\) gives None, which is not a scalar tensor"),
        ("steps", -1, r"steps\(\) gives -1, which is neither a count of steps nor None"),
        ("steps", "4", r"steps\(\) gives '4', which is neither a count of steps nor None"),
        (
            "answer",
            torch.zeros(3, 1),
            r"answer\(\) gives a tensor of shape \(3, 1\) where scores of shape \(\d+, \d+\) are due",
        ),
        ("facts", MethodFacts(0, effective_rank={"nowhere": 1}), r"facts\(\) says a rank of 'nowhere', which is not a slot"),
        ("facts", MethodFacts(0, effective_rank={"nowhere": -1}), r"facts\(\) says -1 for 'nowhere', which is not a count"),
        ("facts", MethodFacts(0, chosen={"x": float("nan")}), r"facts\(\) says nan for 'x', which no record can hold"),
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


SOURCE = """
from typing import Literal
import torch
from baselines.lora import Lora, LoraConfig
from trainables.method import Method

class Odd(Lora):
    pass

class OddConfig(LoraConfig):
    name: Literal["odd"] = "odd"

    def build(self):
        return {made}

def late(self, step):
    if self.tasks_begun > 1:
        return undefined_name
    return step.outputs[0].loss

def begun(self, context):
    self.tasks_begun = context.index + 1
    Lora.begin_task(self, context)

def not_numbers(self, output, classes):
    return output.logits * float("nan") if hasattr(self, "tasks_begun") else output.logits

Odd.begin_task = begun
{hooks}
"""


@pytest.fixture
def odd(installed: Callable[[dict[str, str]], Path]) -> Callable[[str, str], RunConfig]:
    """A run of two short tasks with a method of an outside package: what its config builds, and what else its module says."""

    def config(made: str, hooks: str) -> RunConfig:
        installed(
            {
                "outsider/__init__.py": "",
                "outsider/method.py": SOURCE.format(made=made, hooks=hooks),
                "outsider-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: outsider\nVersion: 1.0\n",
                "outsider-1.0.dist-info/entry_points.txt": "[codyra_suite.methods]\nodd = outsider.method:OddConfig\n",
            }
        )
        fields = {
            "benchmark": {"name": "mini-mtil", "domains": ["shapes", "digits"], "shots": 4},
            "training": {"steps": 2},
            "method": {"name": "odd", "rank": 1},
        }
        return validate(RunConfig, fields, where="test")

    return config


@pytest.mark.parametrize(
    ("made", "hooks", "said"),
    [
        ("None", "", r"build\(\) gives None, which is not a Method"),
        ("Method()", "", r"build\(\) cannot make its method \(.*abstract.*attach"),
        ("Odd(self).nothing", "", r"AttributeError: .*nothing.* \(.*outsider/method\.py:\d+, in build\)"),
        ("Odd(self)", "Odd.attach = lambda self, learner, random: 1 / 0", r"ZeroDivisionError: .*outsider/method\.py:\d+"),
    ],
)
def test_a_method_that_cannot_be_made_is_said_with_its_package(
    made: str, hooks: str, said: str, odd: Callable[[str, str], RunConfig], run_context: RunContext
) -> None:
    config = odd(made, hooks)
    with pytest.raises(SuiteError, match=rf"method 'odd' of package 'outsider 1\.0': {said}"):
        execute(config, run_context)
    if "attach" not in hooks:
        assert "method 'odd' of package 'outsider 1.0'" in refusals([config.resolved()], run_context.data_root)[0].reason


def test_a_bug_in_a_later_task_ends_the_record_as_failed(odd: Callable[[str, str], RunConfig], run_context: RunContext) -> None:
    config = odd("Odd(self)", "Odd.loss = late")
    said = r"method 'odd' of package 'outsider 1\.0': NameError: .*undefined_name.* \(.*outsider/method\.py:\d+, in late\)"
    with pytest.raises(SuiteError, match=said):
        execute(config, run_context)
    [stored] = RunStore(run_context.out).all().runs
    assert (stored.record.status, stored.record.tasks_done) == ("failed", 1)
    assert "NameError" in (stored.record.reason or "")


def test_scores_that_are_no_numbers_end_the_run(odd: Callable[[str, str], RunConfig], run_context: RunContext) -> None:
    record = execute(odd("Odd(self)", "Odd.answer = not_numbers"), run_context)
    assert (record.status, record.tasks_done) == ("failed", 0)
    assert "method Odd of package 'outsider 1.0': answer() gives scores that are NaN" in (record.reason or "")


def test_a_bug_of_the_suite_keeps_its_traceback_and_fails_the_record(
    run_context: RunContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise KeyError("bug")

    monkeypatch.setattr(Lora, "end_task", broken)
    fields = {
        "benchmark": {"name": "mini-mtil", "domains": ["shapes", "digits"], "shots": 4},
        "training": {"steps": 1},
        "method": "lora",
    }
    with pytest.raises(KeyError):
        execute(validate(RunConfig, fields, where="test"), run_context)
    [stored] = RunStore(run_context.out).all().runs
    assert stored.record.status == "failed"
    assert (stored.record.reason or "").startswith("KeyError: 'bug' (")


@pytest.mark.parametrize(("needs", "said"), [({"gpu"}, "the unknown need 'gpu'"), ({"references"}, "no kind of backbone")])
def test_an_unknown_need_is_said(needs: set[str], said: str) -> None:
    method = Odd(OddConfig(rank=1))
    method.needs = frozenset(needs)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=rf"method Odd: declares {said} in needs; clip and lm are the kinds of backbone"):
        check_needs(method, "clip", TrainingConfig(), (), references=False)
