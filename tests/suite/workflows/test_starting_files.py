"""Files to start from are valid as they are, whatever benchmark and method they name, and never take the place of another file."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from suite.errors import ConfigError
from suite.registry import BENCHMARKS, METHODS, SPACES
from suite.workflows.configs import run_config
from suite.workflows.starting_files import init, starting_text
from suite.workflows.sweeping import read_sweep
from suite.workflows.tune_files import tune_config
from suite.yaml_files import parse_yaml

SEARCHED = sorted({SPACES[name].method for name in SPACES.usable()[0]})


@pytest.mark.parametrize("kind", ["run", "sweep", "tune"])
def test_a_file_is_valid_as_it_is(kind: str, tmp_path: Path) -> None:
    file = init(kind, tmp_path / f"{kind}.yaml")
    {"run": run_config, "sweep": read_sweep, "tune": tune_config}[kind](file)
    with pytest.raises(ConfigError, match=f"{kind}.yaml': is there already and is never overwritten"):
        init(kind, file)


def test_every_benchmark_and_method_makes_a_file(tmp_path: Path) -> None:
    file = tmp_path / "x.yaml"
    for benchmark in BENCHMARKS:
        assert parse_yaml(starting_text("run", file, benchmark, "lora"))["benchmark"] == {"name": benchmark}
    for method in METHODS:
        assert parse_yaml(starting_text("run", file, "mini-mtil", method))["method"] == {"name": method}
        assert parse_yaml(starting_text("tune", file, "mini-mtil", method))["methods"][-1] in (method, "lora")
    for method in SEARCHED:
        assert parse_yaml(starting_text("sweep", file, "mini-mtil", method))["space"] in SPACES


@pytest.mark.parametrize(
    ("kind", "names", "reason"),
    [
        ("sweeep", {}, "'sweeep' is not a kind of file.*nearest: 'sweep'"),
        ("run", {"method": "lorra"}, "nearest: 'lora'"),
        ("sweep", {"method": "zero-shot"}, "has no search space"),
        ("run", {"benchmark": "mini"}, "is not a benchmark"),
    ],
)
def test_a_mistake_writes_nothing(kind: str, names: dict[str, str], reason: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=reason):
        init(kind, tmp_path / "x.yaml", **names)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_smallest_runs(tmp_path: Path) -> None:
    """A run, a sweep and a tuning as they are written, with fewer trials, rows and seeds."""
    for kind in ("run", "sweep", "tune"):
        text = init(kind, tmp_path / f"{kind}.yaml").read_text()
        for long, short in (("trials: 8", "trials: 1"), ("trials: 4", "trials: 1"), ("seeds: [1, 2, 3]", "seeds: [1]")):
            text = text.replace(long, short)
        (tmp_path / f"{kind}.yaml").write_text(text)
        few = [] if kind == "sweep" else ["--limit", "40"]
        command = [sys.executable, "-m", "suite.cli.main", kind, f"{kind}.yaml", "--tracking", "none", *few]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=280, check=False)
        assert done.returncode == 0, done.stderr[-2000:]
