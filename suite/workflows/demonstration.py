"""What ``demo`` does: a comparison, a study, a tuning and the table of them all, small enough for a laptop without data."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path
from typing import TYPE_CHECKING

from suite.counting import counted
from suite.errors import ConfigError
from suite.leaderboard.figure_style import save_figure
from suite.leaderboard.figures import accuracy_matrix_figure
from suite.leaderboard.tuned import Tuning
from suite.tuning.cluster import ray_session
from suite.tuning.run_settings import RunSettings
from suite.tuning.study_config import StudyConfig
from suite.tuning.study_result import Study
from suite.tuning.tune_config import TuneConfig
from suite.tuning.tuning_folder import TuningFolder
from suite.workflows.comparing import Comparison, carry_runs
from suite.workflows.configs import run_config
from suite.workflows.places import DATA
from suite.workflows.progress import Watcher
from suite.workflows.sweeping import FILE, changed_fields, of_today, read_sweep, run_study
from suite.workflows.tables import leaderboard
from suite.workflows.tune_files import outline, tune_config
from suite.workflows.tuning import run_tuning
from trainables.resources import Resources

if TYPE_CHECKING:
    import pandas as pd

    from suite.config import RunConfig

METHODS = ("replay", "lora", "codyra", "olora", "zero-shot")  # the longest first, so that no core is idle at the end
COMPARED = ("mini-mtil", "mini-trace")  # at one setting per method; mini-xtail is what the tuning is on
STEPS = 60
# 50 levels need more steps than the demo takes; this kappa_max leaves the share of gates without signal that the release does.
FITTED = {"codyra": ["method.kappa_levels=20", "method.kappa_max=0.031"]}
# Learning rates where another than the benchmark's is best on validation data: docs/mini.md has the sweeps.
IMAGE_RATES = {"olora": 1e-3, "replay": 1e-3, "codyra": 2e-3}
TEXT_RATES = {"lora": 1e-3}


@dataclass(frozen=True)
class Demonstration:
    """What the demo came to.

    Attributes:
        compared: every method on the benchmarks in ``COMPARED``.
        study: of CoDyRA.
        tuning: of four methods on four tasks of mini-xtail.
        board: the leaderboard of all of these runs.
        picture: accuracy matrix of CoDyRA on mini-xtail with its tuned setting, or its default one where none was chosen; a PNG file.
    """

    compared: Comparison
    study: Study
    tuning: Tuning
    board: pd.DataFrame
    picture: Path | None

    @property
    def failures(self) -> list[str]:
        """One sentence for each run or method that failed."""
        return [
            *self.compared.failures,
            *(f"{one.benchmark} {one.method}: {one.problem}" for one in self.tuning.methods if one.problem),
        ]


def demonstrate(out: Path, tracking: str | None, watcher: Watcher) -> Demonstration:
    """Carry the demo out, or go on with it; what is finished is reused.

    Raises:
        SuiteError: ``out`` holds the tuning of another version's demo; no Ray; a full disk.
        SweepInterrupted, TuningInterrupted, KeyboardInterrupt: Ctrl-C came; what was finished is kept.
    """
    study, (tuning, goes_on) = _demo_study(), demo_tuning(out)
    run_settings = RunSettings(out, DATA, "cpu")
    with ray_session(None, Resources()):
        watcher.say(f"1/4  {counted(len(METHODS), 'method')} on {' and '.join(COMPARED)}, {STEPS} steps per task")
        compared = carry_runs(_compared_runs(), run_settings, tracking, title="methods", watcher=watcher)
        watcher.say(f"2/4  study of CoDyRA: {study.budget.trials} trials over sparsity strength and placement")
        has_begun = (out / "studies" / study.name / FILE).is_file()
        searched = run_study(study, run_settings, tracking, resume=has_begun, accept_changes=True, watcher=watcher)
        watcher.say(f"3/4  {outline(tuning)}")
        tuned = run_tuning(tuning, run_settings, tracking, resume=goes_on, watcher=watcher)
    watcher.say("4/4  leaderboard")
    board = leaderboard(out=out, tracking=tracking, watcher=watcher)
    return Demonstration(compared, searched, tuned, board, _draw(tuned, out))


def _compared_runs() -> list[RunConfig]:
    return [
        run_config(benchmark, method=method, seed=0, settings=fitted(benchmark, method))
        for benchmark in COMPARED
        for method in METHODS
    ]


def fitted(benchmark: str, method: str) -> list[str]:
    """The demo's budget of a method, and what was fitted to it."""
    rates = TEXT_RATES if benchmark == "mini-trace" else IMAGE_RATES
    rate = [f"training.lr={rates[method]}"] if method in rates else []
    return [f"training.steps={STEPS}", *rate, *FITTED.get(method, [])]


def _demo_study() -> StudyConfig:
    with _example("demo_sweep.yaml") as path:
        return read_sweep(path)


def demo_tuning(out: Path) -> tuple[TuneConfig, bool]:
    """The demo's tuning, and whether it has begun below ``out``.

    Raises:
        ConfigError: another version of the suite has begun it, with other settings.
    """
    with _example("demo_tune.yaml") as path:
        config = tune_config(path)
    folder = TuningFolder(out.resolve(), config.name)
    if folder.exists and changed_fields(of_today(TuneConfig, folder.fields()), config.model_dump(mode="json")):
        raise ConfigError(f"demo: {folder.place} is the tuning of another version's demo; name another folder: --out FOLDER.")
    return config, folder.exists


@contextmanager
def _example(name: str) -> Iterator[Path]:
    with as_file(files("suite.workflows") / "examples" / name) as path:
        yield path


def _draw(tuning: Tuning, out: Path) -> Path | None:
    """The last judging run of CoDyRA, else of the first method that has one; None without any."""
    methods = sorted(tuning.methods, key=lambda one: one.method != "codyra")
    records = [record for one in methods for record in one.records[-1:]]
    return save_figure(accuracy_matrix_figure(records[0]), out / "figures" / "accuracy_matrix")[1] if records else None
