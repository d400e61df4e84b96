"""A machine whose memory runs out while runs are learning: they fail in one sentence each, and the same command finishes them later."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

ROOM = 3 * 2**30  # bytes that are free for the runs before Ray's memory monitor ends them
COMMAND = ["-m", "suite.cli.main", "compare", "-b", "mini-mtil", "-m", "lora", "--seeds", "0-1", "--set=training.steps=60"]
HOG = "import sys, time\nheld = bytearray(int(sys.argv[1]))\nheld[::4096] = bytes([1]) * len(held[::4096])\nprint(flush=True)\ntime.sleep(600)"


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_runs_that_the_memory_monitor_ends_fail_alone(tmp_path: Path) -> None:
    memory = psutil.virtual_memory()
    if memory.available < 3 * ROOM:
        pytest.skip(f"needs {3 * ROOM / 2**30:.0f} GiB of free memory")
    threshold = (memory.total - memory.available + ROOM) / memory.total
    environment = {key: value for key, value in os.environ.items() if key != "RAY_ADDRESS"}
    command = [sys.executable, *COMMAND, "--out", "out", "--tracking", "none"]
    with (tmp_path / "said.txt").open("w") as said:
        process = subprocess.Popen(
            command,
            cwd=tmp_path,
            env=environment | {"RAY_memory_usage_threshold": f"{threshold:.3f}"},
            stdout=said,
            stderr=said,
        )
        while process.poll() is None and not list((tmp_path / "out").glob("runs/*/checkpoints/*")):
            time.sleep(0.2)
        hog = subprocess.Popen([sys.executable, "-c", HOG, str(ROOM + 2**30)], stdout=subprocess.DEVNULL)
        try:
            process.wait(timeout=300)
        finally:
            hog.kill()
            process.kill()
    text = (tmp_path / "said.txt").read_text()
    assert process.returncode == 1 and "out of memory: Ray's memory monitor ended the worker" in text, text
    assert "Traceback" not in text and "Refer to the documentation" not in text, text
    again = subprocess.run(command, cwd=tmp_path, env=environment, timeout=400, check=False, capture_output=True, text=True)
    assert again.returncode == 0, again.stderr
    assert len(list((tmp_path / "out").glob("runs/*/record.json"))) == 2
