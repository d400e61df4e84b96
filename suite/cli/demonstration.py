"""What ``demo`` does: a comparison, a study, the leaderboard and one picture."""

from __future__ import annotations

import time
from importlib.resources import as_file, files
from pathlib import Path

import typer

from suite.cli.compare import carry_list
from suite.cli.leaderboard import print_board
from suite.cli.run import run_config
from suite.cli.sweeping import read_sweep, run_study
from suite.errors import SuiteError
from suite.leaderboard.export import write_frame
from suite.leaderboard.figure_style import save_figure
from suite.leaderboard.figures import accuracy_matrix_figure
from suite.runs.store import RunStore
from suite.tuning.carriage import Carriage
from suite.tuning.ray_session import ray_session
from trainables.resources import Resources

METHODS = ("zero-shot", "lora", "codyra", "olora", "replay")
BENCHMARKS = ("mini-mtil", "mini-xtail", "mini-trace")
STEPS = 60
# 50 levels need more steps than the demo takes; this kappa_max leaves the share of gates without signal that the release does.
FITTED = {"codyra": ["method.kappa_levels=20", "method.kappa_max=0.0325"]}


def run_demo(out: Path, csv: Path, tracking: str | None) -> None:
    """Comparison, study, table, CSV and picture; says what it does and how long it took."""
    start = time.perf_counter()
    configs = [
        run_config(benchmark, method=method, seed=0, settings=[f"training.steps={STEPS}", *FITTED.get(method, [])])
        for benchmark in BENCHMARKS
        for method in METHODS
    ]
    with as_file(files("suite.cli") / "examples" / "demo_sweep.yaml") as path:
        study = read_sweep(path)
    carriage = Carriage(out, Path("data"), "cpu")
    typer.echo(f"1/3  {len(METHODS)} methods on {', '.join(BENCHMARKS)}, {STEPS} steps per task")
    with ray_session(None, Resources()):
        failures = carry_list(configs, carriage, tracking, title="methods")
        typer.echo(f"2/3  study of CoDyRA: {study.budget.trials} trials over sparsity strength and placement")
        resumed = (out / "studies" / study.name / "sweep.yaml").is_file()
        run_study(study, carriage, tracking, resume=resumed, accept_changes=True)
    typer.echo("3/3  leaderboard")
    frame = print_board(tracking, out)
    write_frame(frame, "csv", csv)
    picture = _picture(out)
    typer.echo(f"table: {csv}   picture: {picture}   runs: {out}   {time.perf_counter() - start:.0f} s")
    if failures:
        raise SuiteError("demo: " + "; ".join(failures))


def _picture(out: Path) -> Path:
    """Accuracy matrix of CoDyRA on mini-xtail."""
    records = (run.record for run in RunStore(out).all().runs)
    chosen = next(r for r in records if r.benchmark == "mini-xtail" and r.config["method"]["name"] == "codyra")
    return save_figure(accuracy_matrix_figure(chosen), out / "figures" / "accuracy_matrix")[1]
