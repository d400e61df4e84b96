"""WiSE-FT lies on the straight line between the inner method's network and its reference."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from baselines.wise_ft import WiseFtConfig
from suite.parts import MethodConfig
from suite.registry import METHODS
from trainables.checkpoint import Checkpoints
from trainables.stream_trainer import StreamTrainer

INNERS: list[dict[str, Any]] = [
    {"name": "lora", "rank": 4},
    {"name": "lora", "rank": 4, "between": "stack"},
    {"name": "finetune"},
]


def answers(trainer: StreamTrainer) -> dict[str, Tensor]:
    """Weight of every slot with what its live parts add to it."""
    found = {}
    for name, slot in trainer.learner.slots.items():
        found[name] = slot.weight[slot.rows].detach().clone()
        for key in slot.parts:
            factors = slot.part(key).factors()
            assert factors is not None
            found[name] += factors.b @ factors.a
    return found


def inner_config(fields: dict[str, Any]) -> MethodConfig:
    return METHODS[fields["name"]].model_validate(fields)


@pytest.mark.parametrize("inner", INNERS, ids=lambda inner: "-".join(map(str, inner.values())))
@pytest.mark.parametrize("towards", ["previous", "zero-shot"])
def test_the_first_task_is_on_the_line(inner: dict[str, Any], towards: str, make_trainer: Callable[..., StreamTrainer]) -> None:
    """Its reference is the pretrained network either way; the steps are those of the inner method."""
    found = {}
    for alpha in (0.0, 0.5, 1.0):
        trainer = make_trainer(WiseFtConfig(inner=inner, alpha=alpha, towards=towards), steps=4)
        found[alpha] = [answers(trainer)]
        trainer.sample_steps(0, 4)
        found[alpha].append(answers(trainer))
    plain = make_trainer(inner_config(inner), steps=4)
    plain.sample_steps(0, 4)
    exact = "between" not in inner  # a live part is taken back by its negative, in rounding
    for name, learned in answers(plain).items():
        start = found[0.0][0][name]
        assert torch.equal(found[1.0][1][name], learned)
        assert torch.equal(found[0.0][1][name], start) if exact else torch.allclose(found[0.0][1][name], start, atol=1e-6)
        assert torch.allclose(found[0.5][1][name], start.lerp(learned, 0.5), atol=1e-6)
    assert any(not torch.equal(found[0.5][1][name], found[0.5][0][name]) for name in found[0.5][1])


@pytest.mark.parametrize("inner", INNERS, ids=lambda inner: "-".join(map(str, inner.values())))
@pytest.mark.parametrize("towards", ["previous", "zero-shot"])
def test_the_second_task_is_on_the_line_to_its_own_reference(
    inner: dict[str, Any], towards: str, make_trainer: Callable[..., StreamTrainer]
) -> None:
    alpha = 0.75
    trainer = make_trainer(WiseFtConfig(inner=inner, alpha=alpha, towards=towards), steps=4)
    pretrained = answers(trainer)
    trainer.sample_steps(0, 4)
    before = answers(trainer)
    end_task, learned = trainer.method.end_task, {}

    def look_and_end(context: Any) -> None:
        learned.update(answers(trainer))
        end_task(context)

    trainer.method.end_task = look_and_end  # type: ignore[method-assign]
    trainer.sample_steps(1, 4)
    reference = before if towards == "previous" else pretrained
    for name, now in answers(trainer).items():
        assert torch.allclose(now, reference[name].lerp(learned[name], alpha), atol=2e-6), name
    assert any(not torch.allclose(learned[name], before[name], atol=1e-5) for name in before)


def test_what_is_carried_towards_zero_shot_comes_back(make_trainer: Callable[..., StreamTrainer], tmp_path: Path) -> None:
    """A fresh network goes on from the files as the one that learned goes on."""
    config = WiseFtConfig(inner={"rank": 2}, towards="zero-shot", alpha=0.5)
    first, second = make_trainer(config, steps=4), make_trainer(config, steps=4)
    report = next(first.rows(0))
    checkpoints = Checkpoints(tmp_path, "r")
    digests = checkpoints.save(1, first.journal, first.method, first.random, {})
    checkpoints.load([report.result.model_copy(update={"digests": digests})], second.journal, second.method, second.random)
    first.sample_steps(1, 4)
    second.sample_steps(1, 4)
    assert first.method.facts().carried_bytes > 0
    assert all(torch.equal(value, answers(second)[name]) for name, value in answers(first).items())
