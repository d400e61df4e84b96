"""Measuring: a fast path against its plain twin as a ratio, and what a whole command takes."""

from __future__ import annotations

import statistics
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil
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


def compare_times(
    name: str, plain: Callable[[], object], fast: Callable[[], object], *, repeats: int = 15, device: torch.device | None = None
) -> PerfRow:
    """Median milliseconds of two callables, called in turn ``repeats`` times after one warm-up each."""
    times: dict[str, list[float]] = {"plain": [], "fast": []}
    for round_ in range(repeats + 1):
        for key, call in (("plain", plain), ("fast", fast)):
            start = time.perf_counter()
            call()
            if device is not None and device.type == "cuda":
                torch.cuda.synchronize(device)
            if round_:
                times[key].append((time.perf_counter() - start) * 1000)
    slow, quick = statistics.median(times["plain"]), statistics.median(times["fast"])
    return PerfRow(name, slow, quick, "ms", slow / quick)


@dataclass(frozen=True)
class CommandCost:
    """Wall seconds of a command, peak memory of its whole process tree in bytes (shared pages counted once), exit code."""

    seconds: float
    peak_bytes: int
    code: int


def measure_command(command: list[str], *, folder: Path | None = None, every: float = 0.25) -> CommandCost:
    """Run ``command`` (no shell) and sample the proportional set size of all its processes ``every`` seconds."""
    start = time.perf_counter()
    peak = 0
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        while process.poll() is None:
            peak = max(peak, _tree_bytes(process.pid))
            time.sleep(every)
    return CommandCost(time.perf_counter() - start, peak, process.returncode)


def _tree_bytes(pid: int) -> int:
    try:
        root = psutil.Process(pid)
        members = [root, *root.children(recursive=True)]
    except psutil.Error:
        return 0
    return sum(_own_bytes(member) for member in members)


def _own_bytes(process: psutil.Process) -> int:
    try:
        memory = process.memory_full_info()
        return int(getattr(memory, "pss", memory.uss))
    except (psutil.Error, OSError):
        return 0
