"""What ``dev perf significance`` does: seconds that all pairs of a table's rows take, on made-up outcomes."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from suite.leaderboard.comparison import Contestant, pairwise_frame
from suite.leaderboard.significance import rank_table
from suite.measuring.leaderboard import EXAMPLES, TASKS
from suite.randomness import numpy_generator


@dataclass(frozen=True)
class SignificanceCost:
    """Wall seconds of a table of so many rows: tests of all its pairs, ranks over its tasks."""

    rows: int
    pairs: float
    ranks: float


def measure_significance(sizes: Sequence[int]) -> Iterator[SignificanceCost]:
    """One seed per row, right or wrong outcomes: the case in which every pair has a bootstrap and McNemar's test."""
    for size in sizes:
        rows = [_row(number) for number in range(size)]
        begun = time.perf_counter()
        pairwise_frame(rows)
        paired = time.perf_counter()
        rank_table(rows)
        yield SignificanceCost(size, paired - begun, time.perf_counter() - paired)


def _row(number: int) -> Contestant:
    draws = numpy_generator("perf significance", number)
    tasks = tuple(f"task{index:02d}" for index in range(TASKS))
    level = draws.uniform(0.5, 0.7)
    scores = [np.where(draws.random(EXAMPLES) < level, 100.0, 0.0) for _ in tasks]
    return Contestant(f"row {number}", tasks, {(0, tasks): scores}, ("made up",))
