"""Where the time of training steps goes: kernels on a GPU, operations on a CPU; gaps between them, waiting for data."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from torch.profiler import ProfilerActivity, profile

from suite.measuring.step import WARM_UP
from suite.measuring.workload import Workload

STEPS = 10


@dataclass(frozen=True)
class Profile:
    """Shares of the wall time of ``STEPS`` steps.

    Attributes:
        top: (name, milliseconds per step, calls per step) of what took most of its own time.
        busy: share in which the device ran any kernel (GPU), or the host was inside an operation (CPU).
        waited: share in which steps waited for batches, measured without the profiler.
        seconds: of one step without the profiler, which slows small operations down; on a CPU, of all threads of this process.
    """

    top: list[tuple[str, float, float]]
    busy: float
    waited: float
    seconds: float


def profile_steps(work: Workload, rows: int) -> Profile:
    """Profile the fast step of ``work`` after its first steps; ``rows`` names of the most expensive kernels or operations."""
    trainer = work.stepping_trainer(work.stream(), plain=False)
    undisturbed = trainer.sample_steps(0, WARM_UP + STEPS)
    on_gpu = work.device.type == "cuda"
    kinds = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if on_gpu else [])]
    with profile(activities=kinds, schedule=None) as found:
        disturbed = trainer.sample_steps(0, WARM_UP + STEPS)
    wanted = "CUDA" if on_gpu else "CPU"
    events = [event for event in found.events() or [] if str(event.device_type).endswith(wanted)]
    steps = WARM_UP + STEPS
    totals: dict[str, list[float]] = {}
    for event in events:
        entry = totals.setdefault(event.name, [0.0, 0.0])
        entry[0] += _own_microseconds(event, on_gpu)
        entry[1] += 1
    top = sorted(
        ((name, spent / steps / 1000, calls / steps) for name, (spent, calls) in totals.items()), key=lambda row: -row[1]
    )
    wall = sum(disturbed.seconds)
    return Profile(
        top=top[:rows],
        busy=min(1.0, _covered((event.time_range.start, event.time_range.end) for event in events) / (wall * 1e6)),
        waited=undisturbed.waited / sum(undisturbed.seconds),
        seconds=sorted(undisturbed.measured_on(work.device)[WARM_UP:])[STEPS // 2],
    )


def _own_microseconds(event: Any, on_gpu: bool) -> float:
    return float(event.self_device_time_total if on_gpu else event.self_cpu_time_total)


def _covered(spans: Iterable[tuple[float, float]]) -> float:
    """Length of the union of ``spans``: parallel streams and nested operations count once."""
    total, end = 0.0, float("-inf")
    for start, stop in sorted(spans):
        total += max(0.0, stop - max(start, end))
        end = max(end, stop)
    return total
