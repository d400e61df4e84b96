from __future__ import annotations

import sys
from pathlib import Path

import pytest

from suite.errors import ConfigError
from suite.measuring.commands import measure_command, measure_demo


def test_a_command_is_measured_with_its_children() -> None:
    """A child that holds 64 MiB, and the exit code of the command itself."""
    child = "held = bytearray(64 * 2**20); import time; time.sleep(1)"
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}]); sys.exit(3)"
    cost = measure_command([sys.executable, "-c", parent], every=0.05)
    assert cost.code == 3
    assert cost.seconds > 1
    assert cost.peak_bytes > 64 * 2**20


def test_a_demo_is_measured_in_an_empty_folder_only(tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").touch()
    with pytest.raises(ConfigError, match=r"is not empty; name an empty folder"):
        measure_demo(tmp_path)
