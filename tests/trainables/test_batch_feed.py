"""The feed gives every batch in its order, no more than there are steps, and counts what was waited for."""

from __future__ import annotations

import time

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


def test_waiting_is_preparation_and_not_the_step() -> None:
    def prepare() -> list[Pass]:
        time.sleep(0.02)
        return one_pass(0)

    feed = BatchFeed(prepare, 3, torch.device("cpu"), ahead=False)
    start = time.perf_counter()
    for _ in feed:
        time.sleep(0.05)
    whole = time.perf_counter() - start
    assert 0.06 <= feed.waited < whole - 0.15 + 0.01
