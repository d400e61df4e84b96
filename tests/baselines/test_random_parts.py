"""The control of CoDyRA's pruning: which parts are merged, and how the others leave."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from baselines.random_parts import RandomParts, RandomPartsConfig, drawn
from suite.testing.methods import IMAGES, MethodConformance
from trainables.method import Step
from trainables.stream_trainer import StreamTrainer

Make = Callable[..., StreamTrainer]


@pytest.mark.slow
class TestRamp(MethodConformance):
    methods = ({"name": "random-parts", "pruned": "ramp"},)
    streams = (IMAGES,)


def test_every_part_is_drawn_as_often_as_any_other() -> None:
    """3 of 8, 4000 times: each within four standard errors of 3/8."""
    generator = torch.Generator().manual_seed(0)
    found = torch.stack([drawn(8, 3, generator) for _ in range(4000)])
    assert bool((found.sum(dim=1) == 3).all())
    assert float((found.mean(dim=0) - 3 / 8).abs().max()) < 4 * (3 / 8 * 5 / 8 / 4000) ** 0.5


@pytest.mark.parametrize("pruned", ["start", "ramp"])
def test_parts_that_were_not_drawn_are_never_merged(pruned: Any, make_either: Make) -> None:
    trainer = make_either(RandomPartsConfig(rank=6, merged_rank=2.0, placement="qv", pruned=pruned, dense_fraction=0.5))
    method = trainer.method
    assert isinstance(method, RandomParts)
    others: list[float] = []
    old: list[float] = []

    def sum_of_others() -> float:
        gates = torch.stack([slot.branch("task").gate.detach() for slot in method.slots])
        return float((gates.abs() * (1 - method.drawn)).sum())

    after = method.after_step

    def look(step: Step) -> None:
        old.append(sum_of_others())
        after(step)
        others.append(sum_of_others())

    method.after_step = look  # type: ignore[method-assign]
    next(trainer.rows(0))
    assert bool((method.drawn.sum(dim=1) == 2).all())
    assert set(method.facts().effective_rank.values()) == {2}
    assert {len(factors.a) for (factors,) in trainer.journal.tasks[0].values()} == {2}
    if pruned == "start":
        assert set(others) == {0.0}
    else:  # steps 4 to 7 of 8: each takes one of what is left of n steps
        assert others[:4] == old[:4]
        assert [new / before for new, before in zip(others[4:], old[4:], strict=True)] == pytest.approx(
            [3 / 4, 2 / 3, 1 / 2, 0]
        )
