"""One run is trained, timed and tested where there is neither Ray nor a tracker, neither a search nor tables.

``make test-alone`` has these tests run where they are really absent, beside the versions of a cluster that is behind.
"""

from __future__ import annotations

import os
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
    "triton",
)
# What Python runs first in every process, those that a command starts too: to be told that a module is None is to be told that there is none.
FIRST = f"import sys; sys.modules.update(dict.fromkeys({ABSENT!r}))"
CLI = "from suite.cli.main import main; main()"
GPU_TESTS = "import os; os.environ['PYTEST_DISABLE_PLUGIN_AUTOLOAD'] = '1'; import pytest; sys.exit(pytest.main(sys.argv[1:]))"
SMALL = ["--set", "benchmark.domains=[shapes]", "--set", "training.steps=3"]
CHECKPOINTED = [
    *("--set", "benchmark.tasks=[C-STANCE]", "--set", "training.steps=2", "--set", "training.batch_size=4"),
    *("--set", "backbone.gradient_checkpointing=true"),
]


@pytest.fixture
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """One in which every Python lacks what is ``ABSENT``."""
    first = tmp_path_factory.mktemp("first")
    (first / "sitecustomize.py").write_text(FIRST)
    return {**os.environ, "PYTHONPATH": str(first)}


def without(arguments: list[str], begin: str, folder: Path, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    command = f"import sys; sys.argv = {arguments!r}; {begin}"
    return subprocess.run(
        [sys.executable, "-c", command], capture_output=True, text=True, cwd=folder, timeout=280, env=environment
    )


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
        ["dev", "perf", "packing", "--most", "2", "--batch-size", "4"],
        ["run", "mini-trace", "--method", "lora", "--tracking", "none", *CHECKPOINTED],
    ],
    ids=lambda arguments: " ".join(arguments[:3]),
)
def test_a_run_and_its_measurements(arguments: list[str], tmp_path: Path, environment: dict[str, str]) -> None:
    done = without(["codyra-suite", *arguments], CLI, tmp_path, environment)
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.slow
def test_the_tests_for_a_gpu_are_collected(repository: Path, environment: dict[str, str]) -> None:
    arguments = ["pytest", "-m", "gpu", "--collect-only", "-p", "no:cacheprovider", "tests/gpu"]
    done = without(arguments, GPU_TESTS, repository, environment)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert "test_recorded_steps.py" in done.stdout
