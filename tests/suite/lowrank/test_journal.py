"""What is known of the sizes of the shifts, and what it costs to know it."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from suite.lowrank.journal import Journal
from suite.lowrank.layer import Branch, Factors, Slot

WIDTH, RANK = 24, 4


def one_slot() -> tuple[Slot, Journal]:
    slot = Slot("s", nn.Parameter(torch.zeros(WIDTH, WIDTH)))
    return slot, Journal({"s": slot})


def update(draws: torch.Generator) -> Factors:
    return Factors(torch.randn(RANK, WIDTH, generator=draws), torch.randn(WIDTH, RANK, generator=draws))


def test_the_cumulative_norm_is_that_of_the_whole_shift() -> None:
    """Several updates in a task, a task without any, one that takes an earlier one back, and a branch that still learns."""
    slot, journal = one_slot()
    draws = torch.Generator().manual_seed(0)
    first, live = update(draws), update(draws)
    tasks = [[first], [update(draws), update(draws)], [], [Factors(first.a, -first.b)], [update(draws)]]
    for found in tasks:
        journal.apply({"s": found} if found else {})
        expected = float(slot.weight.detach().double().norm())
        assert journal.cumulative_norms().get("s", 0.0) == pytest.approx(expected, rel=1e-5)
    slot.parts["task"] = Branch(*live)
    expected = float((slot.weight.detach().double() + live.b.double() @ live.a.double()).norm())
    assert journal.cumulative_norms()["s"] == journal.cumulative_norms()["s"] == pytest.approx(expected, rel=1e-5)


def test_the_work_of_a_task_grows_at_most_in_proportion_to_the_tasks_before_it() -> None:
    _, journal = one_slot()
    draws, work = torch.Generator().manual_seed(0), []
    for _ in range(128):
        journal.apply({"s": [update(draws)]})
        with FlopCounterMode(display=False) as counter:
            journal.update_norms()
            journal.cumulative_norms()
        work.append(counter.get_total_flops())
    assert work[31] > 0
    assert math.log(work[127] / work[31]) / math.log(128 / 32) <= 1.05
