"""What whole commands take: seconds and memory of all their processes together."""

from __future__ import annotations

import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

from suite.errors import ConfigError

PROGRAM = (sys.executable, "-m", "suite.cli.main")


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


def measure_startup(repeats: int) -> list[float]:
    """Seconds until ``--help`` is answered, ``repeats`` times after one that warms the disk's cache."""
    return [measure_command([*PROGRAM, "--help"], every=0.01).seconds for _ in range(repeats + 1)][1:]


def measure_demo(folder: Path) -> CommandCost:
    """What the demo takes in ``folder``, which is made.

    Raises:
        ConfigError: the folder holds something that the demo might reuse.
    """
    if folder.exists() and any(folder.iterdir()):
        raise ConfigError(f"--folder {folder}: is not empty; name an empty folder so that nothing is reused.")
    folder.mkdir(parents=True, exist_ok=True)
    return measure_command([*PROGRAM, "demo"], folder=folder)


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
