"""The feed gives every batch in its order, no more than there are steps, and counts what was waited for."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from suite.backbones.learner import Batch
from trainables.batch_feed import BatchFeed
from trainables.passes import Pass


def one_pass(number: int) -> list[Pass]:
    rows = torch.tensor([number])
    return [Pass([Batch(torch.zeros_like(rows), rows, {})], 1.0)]


def test_order_and_count_are_those_of_the_steps() -> None:
    drawn: list[int] = []

    def prepare() -> list[Pass]:
        drawn.append(len(drawn))
        return one_pass(drawn[-1])

    feed = BatchFeed(prepare, 5, torch.device("cpu"), ahead=True)
    assert [int(passes[0].batches[0].rows) for passes in feed] == [0, 1, 2, 3, 4]
    assert drawn == [0, 1, 2, 3, 4]


def test_waiting_is_preparation_and_not_the_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """By a clock that only preparation (2) and steps (5) move."""
    now = 0.0
    monkeypatch.setattr("trainables.batch_feed.time", SimpleNamespace(perf_counter=lambda: now))

    def prepare() -> list[Pass]:
        nonlocal now
        now += 2.0
        return one_pass(0)

    feed = BatchFeed(prepare, 3, torch.device("cpu"), ahead=False)
    for _ in feed:
        now += 5.0
    assert feed.waited == 6.0
