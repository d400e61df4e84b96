"""The sweep file before anything happens: every mistake is one sentence that names the file, and leaves nothing behind."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from suite.cli.front import print_front
from suite.cli.main import app
from suite.cli.progress import TerminalWatcher
from suite.config import RunConfig
from suite.errors import ConfigError, SuiteError
from suite.runs.record import write_record
from suite.tracking.mlflow_tracker import MlflowTracker
from suite.tuning.run_settings import RunSettings
from suite.tuning.study import StudyQueue
from suite.tuning.study_result import study_of
from suite.workflows.sweeping import FILE, _may_begin, _say_other_code, read_sweep, run_study
from trainables.run import RunContext, execute

SWEEP: dict[str, Any] = {
    "name": "night",
    "run": {"benchmark": {"name": "mini-mtil", "domains": ["shapes", "digits"]}, "method": {"name": "codyra"}},
    "space": "codyra-quick",
    "budget": {"trials": 2},
}
RUN = SWEEP["run"]


def write(folder: Path, **fields: Any) -> Path:
    path = folder / "night.yaml"
    path.write_text(yaml.safe_dump({**SWEEP, **fields}))
    return path


@pytest.mark.parametrize(
    ("fields", "options", "message"),
    [
        ({"run": {**RUN, "method": {"name": "codyra", "rnak": 4}}}, [], "night.yaml: run: method.rnak: unknown key"),
        ({"run": {**RUN, "benchmark": "mini-mitl"}}, [], "benchmark.name: 'mini-mitl' is not a benchmark"),
        ({"run": {**RUN, "training": {"stepz": 4}}}, [], "night.yaml: run: training.stepz: unknown key"),
        ({"space": "codyra", "sampler": "gp"}, [], "night.yaml: sampler 'gp' cannot honour"),
        ({"sampler": "grid"}, [], "night.yaml: sampler 'grid': method.kappa_max is"),
        ({"points": [{"method.kapa_max": 1}]}, [], "night.yaml: points.0: 'method.kapa_max' is not"),
        ({"warm_start": {"study": "none"}}, [], "warm_start.study: no optuna.db in none"),
        ({"storage": "file:///proc/x"}, [], "storage: 'file:///proc/x' cannot be written"),
        ({"storage": "gopher://x"}, [], "storage: 'gopher://x' cannot be opened"),
        ({}, ["--address", "127.0.0.1:9"], "Ray at '127.0.0.1:9' does not answer"),
    ],
)
def test_a_mistake_leaves_no_study_behind(
    fields: dict[str, Any], options: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise the corrected file would be refused as one that has changed since the study began."""
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, ["sweep", write(tmp_path, **fields).name, "--tracking", "none", *options])
    assert isinstance(done.exception, SuiteError), done.exception
    assert message in str(done.exception) and "\n" not in str(done.exception)
    assert not any(path.is_file() for path in (tmp_path / "codyra-runs").rglob("*"))


def test_repetitions_are_counted_apart(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    point = {"method.kappa_max": 0.01, "method.placement": "inout"}
    source = StudyQueue(read_sweep(write(tmp_path, points=[point, point], budget={"trials": 2})), tmp_path)
    while not isinstance(run := source.suggest(), str):
        source.ended(run, None, "the worker died")
    print_front(study_of(source))
    shown = capsys.readouterr().out
    assert "failed (2): the worker died" in shown
    assert "trials: 2 failed (1 repetition of them)" in shown


def test_what_a_study_has_told_cannot_be_renamed_under_it(tmp_path: Path) -> None:
    """Optuna keeps the direction of the first file: a forgetting told later would be maximised."""
    copy = tmp_path / "studies" / "night" / FILE
    copy.parent.mkdir(parents=True)
    (copy.parent / "optuna.db").touch()
    before = read_sweep(write(tmp_path)).model_dump(mode="json")
    copy.write_text(yaml.safe_dump(before))
    longer = read_sweep(write(tmp_path, budget={"trials": 3})).model_dump(mode="json")
    _may_begin("night", copy, longer, resume=True, accept_changes=True)
    with pytest.raises(ConfigError, match="budget.trials: 2 -> 3"):
        _may_begin("night", copy, longer, resume=True, accept_changes=False)
    for fields in ({"objectives": ["codyra.forgetting"]}, {"space": "codyra"}):
        other = read_sweep(write(tmp_path, **fields)).model_dump(mode="json")
        with pytest.raises(ConfigError, match="its trials have results under other space and objectives"):
            _may_begin("night", copy, other, resume=True, accept_changes=True)


def test_a_study_that_goes_on_under_other_code_says_so(
    make_config: Callable[..., RunConfig], run_context: RunContext, capsys: pytest.CaptureFixture[str]
) -> None:
    record, watcher = execute(make_config("zero-shot"), replace(run_context, study="night", trial=0)), TerminalWatcher()
    _say_other_code("night", run_context.out, watcher)
    assert capsys.readouterr().err == ""
    write_record(record.model_copy(update={"code_version": "other"}), run_context.out / "runs" / record.run_id)
    _say_other_code("day", run_context.out, watcher)
    assert capsys.readouterr().err == ""
    _say_other_code("night", run_context.out, watcher)
    assert "study 'night': the code has changed since some of its trials" in capsys.readouterr().err


def test_a_crash_before_the_first_trial_leaves_no_study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def crash(*_: object) -> None:
        raise TypeError("cannot pickle '_thread.RLock' object")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("suite.workflows.sweeping.run_all", crash)
    monkeypatch.setattr("suite.workflows.sweeping.ray_session", lambda *_: nullcontext())
    config, out, uri = read_sweep(write(tmp_path)), tmp_path / "out", f"sqlite:///{tmp_path / 'mlflow.db'}"
    for _ in range(2):  # the same command begins it again
        with pytest.raises(TypeError, match="RLock"):
            run_study(config, RunSettings(out, tmp_path), uri, resume=False, accept_changes=False)
        assert not (out / "studies" / "night").exists()
    (parent,) = MlflowTracker(uri, out)._find("codyra.study", "night")
    assert parent.info.status == "KILLED"
