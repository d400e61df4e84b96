"""How many trials a device should run at once: the same steps in 1, 2, 4 ... processes side by side."""

from __future__ import annotations

import multiprocessing
import statistics
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing.managers import SyncManager
from threading import Barrier

import torch

from suite.measuring.step import WARM_UP
from suite.measuring.workload import Workload

STEPS = 30
WORTH_IT = 1.1  # more trials at once pay when together they do at least this many times the steps


@dataclass(frozen=True)
class Packing:
    """``count`` trials at once: steps per second of all together, and how many times longer one trial's step takes than alone."""

    count: int
    steps_per_second: float
    slowdown: float


def measure_packing(work: Workload, most: int) -> list[Packing]:
    """1, 2, 4 ... up to ``most`` processes, each with its own network, one CPU thread each."""
    found: list[Packing] = []
    counts = [count for count in (2**power for power in range(most.bit_length())) if count <= most]
    for count in counts:
        seconds = _together(work, count)
        step = statistics.mean(seconds)
        found.append(Packing(count, sum(1 / each for each in seconds), step * found[0].steps_per_second if found else 1.0))
    return found


def best_count(rows: list[Packing]) -> int:
    """Most trials at once of which every doubling so far has brought at least a tenth more steps."""
    best = rows[0]
    for row in rows[1:]:
        if row.steps_per_second < WORTH_IT * best.steps_per_second:
            break
        best = row
    return best.count


def _together(work: Workload, count: int) -> list[float]:
    """Median seconds of a step in each of ``count`` processes that begin together."""
    context = multiprocessing.get_context("spawn")
    with SyncManager(ctx=context) as manager, ProcessPoolExecutor(count, mp_context=context) as pool:
        start = manager.Barrier(count)
        return [task.result() for task in [pool.submit(_sampled, work, start) for _ in range(count)]]


def _sampled(work: Workload, start: Barrier) -> float:
    torch.set_num_threads(1)
    trainer = work.stepping_trainer(work.stream(), plain=False)
    trainer.sample_steps(0, WARM_UP)
    start.wait()
    return statistics.median(trainer.sample_steps(0, WARM_UP + STEPS).seconds[WARM_UP:])
