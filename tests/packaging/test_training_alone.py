"""One run is trained, timed and tested where there is neither Ray nor a tracker, neither a search nor tables."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ABSENT = (
    "ray",
    "mlflow",
    "optuna",
    "sklearn",
    "seaborn",
    "pandas",
    "matplotlib",
    "scipy",
    "sqlalchemy",
    "pyarrow",
    "hypothesis",
)
COMMAND = """
import sys

sys.modules.update(dict.fromkeys({absent!r}))  # to be told that a module is None is to be told that there is none
sys.argv = {arguments!r}
{begin}
"""
CLI = "from suite.cli.main import main; main()"
GPU_TESTS = "import os; os.environ['PYTEST_DISABLE_PLUGIN_AUTOLOAD'] = '1'; import pytest; sys.exit(pytest.main(sys.argv[1:]))"
SMALL = ["--set", "benchmark.domains=[shapes]", "--set", "training.steps=3"]


def without(arguments: list[str], begin: str, folder: Path) -> subprocess.CompletedProcess[str]:
    command = COMMAND.format(absent=ABSENT, arguments=arguments, begin=begin)
    return subprocess.run([sys.executable, "-c", command], capture_output=True, text=True, cwd=folder, timeout=280)


@pytest.mark.slow
@pytest.mark.parametrize(
    "arguments",
    [
        ["run", "mini-mtil", "--method", "lora", "--tracking", "none", *SMALL],
        ["dev", "perf", "step", "--rounds", "1"],
        ["dev", "perf", "step", "--rounds", "1", "--backbone", "mini-lm", "--batch-size", "2"],
        ["dev", "perf", "eval", "--rounds", "1", "--tasks", "1"],
        ["dev", "perf", "stream", "--tasks", "1", "--steps", "4"],
        ["dev", "perf", "profile"],
    ],
    ids=lambda arguments: " ".join(arguments[:3]),
)
def test_a_run_and_its_measurements(arguments: list[str], tmp_path: Path) -> None:
    done = without(["codyra-suite", *arguments], CLI, tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.slow
def test_the_tests_for_a_gpu_are_collected(repository: Path) -> None:
    arguments = ["pytest", "-m", "gpu", "--collect-only", "-p", "no:cacheprovider", "tests/gpu"]
    done = without(arguments, GPU_TESTS, repository)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert "test_recorded_steps.py" in done.stdout
