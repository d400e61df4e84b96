"""The parts of ``demo``: a comparison, a study and one picture, small enough for a laptop without data."""

from __future__ import annotations

from importlib.resources import as_file, files
from pathlib import Path

from suite.leaderboard.figure_style import save_figure
from suite.leaderboard.figures import accuracy_matrix_figure
from suite.runs.store import RunStore
from suite.tuning.run_settings import RunSettings
from suite.tuning.study_config import StudyConfig
from suite.tuning.study_result import Study
from suite.workflows.comparing import Comparison, carry_runs
from suite.workflows.configs import run_config
from suite.workflows.places import DATA
from suite.workflows.progress import Watcher
from suite.workflows.sweeping import FILE, read_sweep, run_study

METHODS = ("zero-shot", "lora", "codyra", "olora", "replay")
BENCHMARKS = ("mini-mtil", "mini-xtail", "mini-trace")
STEPS = 60
# 50 levels need more steps than the demo takes; this kappa_max leaves the share of gates without signal that the release does.
FITTED = {"codyra": ["method.kappa_levels=20", "method.kappa_max=0.031"]}
# Learning rates where another than the benchmark's is best on validation data: docs/mini.md has the sweeps.
IMAGE_RATES = {"olora": 1e-3, "replay": 1e-3, "codyra": 2e-3}
TEXT_RATES = {"lora": 1e-3}


def compare_methods(out: Path, tracking: str | None, watcher: Watcher) -> Comparison:
    """Every method of the demo on every embedded benchmark."""
    configs = [
        run_config(benchmark, method=method, seed=0, settings=fitted(benchmark, method))
        for benchmark in BENCHMARKS
        for method in METHODS
    ]
    return carry_runs(configs, _carriage(out), tracking, title="methods", watcher=watcher)


def fitted(benchmark: str, method: str) -> list[str]:
    """The demo's budget of a method, and what was fitted to it."""
    rates = TEXT_RATES if benchmark == "mini-trace" else IMAGE_RATES
    rate = [f"training.lr={rates[method]}"] if method in rates else []
    return [f"training.steps={STEPS}", *rate, *FITTED.get(method, [])]


def demo_study() -> StudyConfig:
    """The demo's study of CoDyRA."""
    with as_file(files("suite.workflows") / "examples" / "demo_sweep.yaml") as path:
        return read_sweep(path)


def search(out: Path, tracking: str | None, watcher: Watcher) -> Study:
    """Carry the demo's study out, or go on with it."""
    config = demo_study()
    has_begun = (out / "studies" / config.name / FILE).is_file()
    return run_study(config, _carriage(out), tracking, resume=has_begun, accept_changes=True, watcher=watcher)


def _carriage(out: Path) -> RunSettings:
    return RunSettings(out, DATA, "cpu")


def draw(out: Path) -> Path:
    """Accuracy matrix of CoDyRA on mini-xtail."""
    records = (run.record for run in RunStore(out).all().runs)
    chosen = next(r for r in records if r.benchmark == "mini-xtail" and r.method == "codyra")
    return save_figure(accuracy_matrix_figure(chosen), out / "figures" / "accuracy_matrix")[1]
