"""What a span of work cost: wall time, device time, peak memory."""

from __future__ import annotations

import re
import resource
import time
from pathlib import Path

import torch

_CLEAR = Path("/proc/self/clear_refs")
_STATUS = Path("/proc/self/status")


class CostMeter:
    """Measures from construction to ``read``; peaks are reset at construction where the system allows it."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.evaluate_seconds = self.train_seconds = self.wait_seconds = 0.0
        self.steps = 0
        reset_peak(device)
        self._event = None
        if device.type == "cuda":
            self._event = torch.cuda.Event(enable_timing=True)
            self._event.record()
        self._start = time.perf_counter()

    def wall_seconds(self) -> float:
        return time.perf_counter() - self._start

    def device_seconds(self) -> float | None:
        """Seconds between the device events around the span, None without an accelerator."""
        if self._event is None:
            return None
        end = torch.cuda.Event(enable_timing=True)
        end.record()
        end.synchronize()
        return float(self._event.elapsed_time(end)) / 1000.0

    def device_peak_bytes(self) -> int | None:
        return torch.cuda.max_memory_allocated(self.device) if self.device.type == "cuda" else None


def reset_peak(device: torch.device) -> None:
    """Start a new peak: of the process (Linux) and of the device's allocator."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    try:
        _CLEAR.write_text("5")
    except OSError:
        return  # not Linux or not permitted: the peak is the process's so far


def peak_bytes() -> int:
    """Largest resident memory of this process since the last reset, in bytes."""
    try:
        found = re.search(r"VmHWM:\s+(\d+) kB", _STATUS.read_text())
    except OSError:
        found = None
    if found:
        return int(found.group(1)) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
