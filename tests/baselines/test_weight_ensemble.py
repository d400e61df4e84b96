"""Weight ensembling is the arithmetic mean of dense weights, whatever learns inside."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from baselines.weight_ensemble import WeightEnsembleConfig
from suite.errors import ConfigError
from trainables.method import Step
from trainables.stream_trainer import StreamTrainer

EVERY, STEPS = 3, 8


def dense(trainer: StreamTrainer) -> dict[str, Tensor]:
    """Weight of every slot with what its live parts add to it."""
    found = {}
    for name, slot in trainer.learner.slots.items():
        found[name] = slot.weight[slot.rows].detach().double().clone()
        for key in slot.parts:
            factors = slot.part(key).factors()
            assert factors is not None
            found[name] += factors.b.double() @ factors.a.double()
    return found


@pytest.mark.parametrize(
    "inner",
    [
        {"name": "lora", "rank": 4},
        {"name": "lora", "rank": 4, "between": "carry"},
        {"name": "codyra", "rank": 4, "kappa_levels": 2},
        {"name": "finetune"},
    ],
    ids=lambda inner: "-".join(map(str, inner.values())),
)
def test_the_mean_is_that_of_the_dense_weights(inner: dict[str, Any], make_trainer: Callable[..., StreamTrainer]) -> None:
    trainer = make_trainer(WeightEnsembleConfig(inner=inner, every=EVERY), lr=1e-3)
    method = trainer.method
    after_step = method.after_step
    for task in range(2):
        points = [dense(trainer)]

        def note(step: Step, points: list[dict[str, Tensor]] = points) -> None:
            after_step(step)
            if (step.index + 1) % EVERY == 0:
                points.append(dense(trainer))

        method.after_step = note  # type: ignore[method-assign]
        trainer.sample_steps(task, STEPS)
        assert len(points) == 1 + STEPS // EVERY
        assert method.facts().chosen["snapshots"] == STEPS // EVERY
        moved = 0.0
        for name, now in dense(trainer).items():
            mean = torch.stack([point[name] for point in points]).mean(dim=0)
            assert torch.allclose(now, mean, atol=2e-6), name
            moved = max(moved, float((points[-1][name] - mean).abs().max()))
        assert moved > 2e-5


def test_snapshots_of_a_network_at_rest_leave_it_where_it_is(make_trainer: Callable[..., StreamTrainer]) -> None:
    trainer = make_trainer(WeightEnsembleConfig(every=2), lr=1e-30)
    before = dense(trainer)
    trainer.sample_steps(0, STEPS)
    assert all(torch.allclose(now, before[name], atol=1e-12) for name, now in dense(trainer).items())


def test_an_average_is_a_tenth_of_the_way_unless_told(make_trainer: Callable[..., StreamTrainer]) -> None:
    trainer = make_trainer(WeightEnsembleConfig(inner={"rank": 2}), steps=20)
    trainer.sample_steps(0, 5)
    assert trainer.method.facts().chosen == {"snapshots": 3}  # after 2 and 4 of 5 steps, and as if after the last
    with pytest.raises(ConfigError, match="9 steps between snapshots leave none of the 8 steps"):
        make_trainer(WeightEnsembleConfig(every=9))
