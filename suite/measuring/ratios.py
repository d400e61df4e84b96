"""A fast path measured against its plain twin, as a ratio."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class PerfRow:
    """One comparison: medians of both sides in ``unit`` and their ratio (how many times better the fast side is)."""

    name: str
    plain: float
    fast: float
    unit: str
    ratio: float
    note: str = ""


def clock_of(device: torch.device) -> Callable[[], float]:
    """By what work on ``device`` is timed: on a CPU by the seconds that this process has computed, beside a GPU by the wall."""
    return time.process_time if device.type == "cpu" else time.perf_counter


def compare_times(
    name: str, plain: Callable[[], object], fast: Callable[[], object], *, device: torch.device, repeats: int = 15
) -> PerfRow:
    """Median milliseconds of two callables, called in turn ``repeats`` times after one warm-up each; see ``clock_of``."""
    clock = clock_of(device)
    times: dict[str, list[float]] = {"plain": [], "fast": []}
    for round_ in range(repeats + 1):
        for key, call in (("plain", plain), ("fast", fast)):
            start = clock()
            call()
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            if round_:
                times[key].append((clock() - start) * 1000)
    slow, quick = statistics.median(times["plain"]), statistics.median(times["fast"])
    return PerfRow(name, slow, quick, "ms", slow / quick)
