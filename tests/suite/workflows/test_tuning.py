"""A real small tuning: what it judges on, what it keeps, that it is carried out once, and that it survives a killed driver."""

from __future__ import annotations

import html
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from types import ModuleType
from typing import Any

import pandas as pd
import pytest
import yaml
from typer.testing import CliRunner

from suite.cli.main import app
from suite.errors import ConfigError, DamagedRun, SuiteError
from suite.leaderboard.runs import stored_runs
from suite.leaderboard.table import leaderboard_frame
from suite.leaderboard.tuned import Tuning
from suite.leaderboard.tuned_table import tuned_boards
from suite.leaderboard.tuned_words import closing
from suite.runs.costs import run_costs
from suite.runs.record import read_record
from suite.runs.store import RunStore
from suite.runs.validation_view import validation_view
from suite.tuning.run_queue import RunQueue, Suggestion
from suite.tuning.run_settings import RunSettings
from suite.tuning.sole_driver import sole_driver
from suite.tuning.tuning_folder import TuningFolder
from suite.workflows.deleting import deletable
from suite.workflows.planning import TuningPlan, plan
from suite.workflows.progress import Quiet
from suite.workflows.reporting import report
from suite.workflows.tune_files import outline, tune_config
from suite.workflows.tuning import tune
from suite.workflows.tunings import read_tuning, shown_tunings
from trainables.run import Report, RunContext, execute

FAIR: dict[str, Any] = {
    "name": "fair",
    "benchmarks": [{"name": "mini-mtil", "domains": ["shapes", "digits"], "shots": 4}],
    # All of LoRA but the learning rate is fixed, and that of the first task too: its runs share what they learn there.
    "methods": [
        "zero-shot",
        {"name": "lora", "rank": 4, "alpha": 4, "dropout": 0.0, "placement": "qkvo", "between": "merge"},
        {"name": "codyra", "kappa_levels": 2},
    ],
    "spaces": {"codyra": "codyra-quick"},
    "settings": {"training": {"steps": 4, "batch_size": 8, "per_task": {"shapes": {"lr": 1e-3}}}},
    "budget": {"trials": 2},
    "judge": {"seeds": [1]},
}


def carried_here(source: RunQueue, run_settings: RunSettings) -> bool:
    """What ``run_all`` does without Ray: one run after the other, trained in this process."""
    store = RunStore(run_settings.out)
    while isinstance(run := source.suggest(), Suggestion):
        where = RunContext(run_settings.out, run_settings.data_root, "cpu", run.study, run.trial, run_settings.selection)

        def listen(report: Report, run: Suggestion = run) -> bool:
            return source.may_go_on(run, validation_view(report.record))

        view = validation_view(execute(run.config, where, listen))
        assert run_settings.on_record is not None and run_settings.on_end is not None
        run_settings.on_record(run, view)
        source.ended(run, view, None)
        run_settings.on_end(run, view, None)
        assert store.open(view.run_id) is not None
    return True


@pytest.fixture(scope="module")
def without_ray() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("suite.workflows.tuning.run_all", carried_here)
        patch.setattr("suite.workflows.tuning.ray_session", lambda *_: nullcontext())
        yield


@pytest.fixture(scope="module")
def fair(without_ray: None, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Tuning]:
    """Carried without a Ray, which the slow tests have."""
    out = tmp_path_factory.mktemp("fair")
    return out, tune(FAIR, out=out, tracking="none")


class Told(Quiet):
    """A watcher that remembers what it was told."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, sentence: str) -> None:
        self.said.append(sentence)


def stamps(out: Path) -> dict[Path, int]:
    """When every record and every choice below ``out`` was written."""
    return {path: path.stat().st_mtime_ns for path in (*out.glob("runs/*/record.json"), *out.glob("tunings/*/chosen/*"))}


def facts(tuning: Tuning) -> list[object]:
    """What the table is made from, as far as it does not depend on the clock."""
    return [
        (
            one.method,
            one.chosen,
            [(trial.number, trial.state, trial.score) for trial in one.trials],
            [[record.run_id for record in setting.records] if setting else None for setting in (one.default, one.tuned)],
        )
        for one in tuning.methods
    ]


def test_settings_are_judged_on_what_no_trial_used(fair: tuple[Path, Tuning]) -> None:
    out, tuning = fair
    by_method = {one.method: one for one in tuning.methods}
    assert list(by_method) == ["zero-shot", "lora", "codyra"]
    records = [read_record(path) for path in out.glob("runs/*/record.json")]
    searched = {record.run_id for record in records if record.study is not None}
    for one in tuning.methods:
        settings = [setting for setting in (one.default, one.tuned) if setting]
        assert len(settings) == (2 if one.has_space else 1) and not one.problem
        for setting in settings:
            assert [record.config["seed"] for record in setting.finished] == [1]
            assert not searched & {record.run_id for record in setting.records}
    assert {record.config["seed"] for record in records if record.run_id in searched} == {0}
    assert not by_method["zero-shot"].has_space and by_method["zero-shot"].tuned is None


def test_a_run_that_judges_is_not_deleted_while_its_tuning_lives(fair: tuple[Path, Tuning]) -> None:
    out, tuning = fair
    judge = tuning.methods[0].records[0].run_id
    assert [record.run_id for record in deletable([judge], out)] == [judge]
    with (
        sole_driver(TuningFolder(out, tuning.name).place, tuning.name, "tuning"),
        pytest.raises(
            ConfigError, match=rf"run {judge}: is not deleted, it judges a method of tuning '{tuning.name}' \(process"
        ),
    ):
        deletable([judge], out)


def test_what_is_chosen_is_the_best_on_validation_and_what_is_judged(fair: tuple[Path, Tuning]) -> None:
    out, tuning = fair
    for one in tuning.methods[1:]:
        assert (one.budget, one.spent, len(one.trials)) == (2, 2, 2)
        scores = {trial.number: trial.score for trial in one.trials}
        assert one.chosen is not None and scores[one.chosen] == max(score for score in scores.values() if score is not None)
        assert "training.lr" in one.default.values and one.tuned is not None
        (record,) = one.tuned.records
        assert record.config["training"]["lr"] == one.tuned.values["training.lr"]
        assert [trial.is_random for trial in one.trials] == [False, True]  # the default setting comes first
    assert {path.name for path in (out / "studies").iterdir()} == {"fair.mini-mtil.lora", "fair.mini-mtil.codyra"}


def test_it_is_carried_out_once(fair: tuple[Path, Tuning]) -> None:
    out, tuning = fair
    before = stamps(out)
    with pytest.raises(ConfigError, match="tuning 'fair' exists below .*; add --resume"):
        tune(FAIR, out=out, tracking="none")
    with pytest.raises(ConfigError, match="the file has changed since it began: budget.trials: 2 -> 3; undo that"):
        tune({**FAIR, "budget": {"trials": 3}}, resume=True, out=out, tracking="none")
    with pytest.raises(ConfigError, match="tuning 'other': nothing to resume"):
        tune({**FAIR, "name": "other"}, resume=True, out=out, tracking="none")
    with (
        sole_driver(out / "tunings" / "fair", "fair", "tuning"),
        pytest.raises(ConfigError, match=f"tuning 'fair': process {os.getpid()} on .* carries it out"),
    ):
        tune(FAIR, resume=True, out=out, tracking="none")
    elsewhere = {**FAIR, "concurrency": 1, "resources": {"memory_gib": 2}}
    for fields in (elsewhere, FAIR):
        assert facts(tune(fields, resume=True, out=out, tracking="none")) == facts(tuning)
    assert stamps(out) == before


def test_a_changed_file_is_named_at_once_and_its_remedy_works(fair: tuple[Path, Tuning], tmp_path: Path) -> None:
    out, tuning = tmp_path / "copy", fair[1]
    shutil.copytree(fair[0], out)
    files = {file: file.read_text() for file in (out / "tunings" / "fair").glob("*/fair.mini-mtil.lora.json")}
    assert {file.parent.name for file in files} == {"chosen", "judged"}
    for file, before in files.items():
        file.write_text(before.replace(": ", ": 1", 1))
        with pytest.raises(SuiteError, match=rf"{file.name}: .*; put back a copy, or remove this one file: 'tune --resume'"):
            read_tuning("fair", out)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("suite.workflows.tuning.require_able", lambda *_: pytest.fail("data was read first"))
            with pytest.raises(SuiteError, match=f"{file.name}: "):
                tune(FAIR, resume=True, out=out, tracking="none")
        file.unlink()
    assert facts(tune(FAIR, resume=True, out=out, tracking="none")) == facts(tuning)
    assert {file: file.read_text() for file in files} == files


def test_an_altered_run_that_judges_is_named_and_run_again_once_removed(fair: tuple[Path, Tuning], tmp_path: Path) -> None:
    out, tuning = tmp_path / "copy", fair[1]
    shutil.copytree(fair[0], out)
    judging = next(one for one in tuning.methods if one.method == "lora").default.records[0]
    file = out / "runs" / judging.run_id / "record.json"
    file.write_text(file.read_text().replace('"status": "finished"', '"status": "stopped"'))
    for read in (lambda: read_tuning("fair", out), lambda: tune(FAIR, resume=True, out=out, tracking="none")):
        with pytest.raises(DamagedRun, match=f"{judging.run_id}/record.json: .* run again"):
            read()
    shutil.rmtree(file.parent)
    assert facts(tune(FAIR, resume=True, out=out, tracking="none")) == facts(tuning)


def test_a_judging_run_that_leaves_no_record_is_said(fair: tuple[Path, Tuning], tmp_path: Path) -> None:
    shutil.copytree(fair[0], tmp_path / "copy")
    for folder in ("judged", "chosen"):
        shutil.rmtree(tmp_path / "copy" / "tunings" / "fair" / folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("suite.workflows.tuning.run_all", failing)
        tuning = tune(FAIR, resume=True, out=tmp_path / "copy", tracking="none")
    assert {one.problem for one in tuning.methods} == {"a judging run failed: out of memory: no room"}


def test_a_lost_folder_is_said_with_what_can_be_done(fair: tuple[Path, Tuning], tmp_path: Path) -> None:
    out = tmp_path / "copy"
    shutil.copytree(fair[0], out)
    database = out / "studies" / "fair.mini-mtil.codyra" / "optuna.db"
    for lose in (lambda: database.write_bytes(b""), database.unlink):
        lose()
        with pytest.raises(
            ConfigError, match="codyra/optuna.db with the trials that it chose among is missing or empty; put it"
        ):
            tune(FAIR, resume=True, out=out, tracking="none")
    shutil.rmtree(out / "tunings")
    for resume in (False, True):
        with pytest.raises(ConfigError, match="its own folder .*/fair does not; put that back and add --resume, or rename"):
            tune(FAIR, resume=resume, out=out, tracking="none")


def failing(source: RunQueue, run_settings: RunSettings) -> bool:
    """What ``run_all`` does where every worker dies."""
    while isinstance(run := source.suggest(), Suggestion):
        source.ended(run, None, "out of memory: no room")
    return True


def test_nothing_is_chosen_where_all_trials_fail_for_what_is_around_them(fair: tuple[Path, Tuning], tmp_path: Path) -> None:
    """With the machine mended, the same trials are learned and the same one is chosen."""
    shutil.copytree(fair[0] / "runs", tmp_path / "runs")  # trained once
    fields = {**FAIR, "methods": FAIR["methods"][1:2], "spaces": {}}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("suite.workflows.tuning.run_all", failing)
        tuning = tune(fields, out=tmp_path, tracking="none")
    assert tuning.methods[0].problem == "its first 2 trials all failed (out of memory: no room)"
    (board,) = tuned_boards(tuning)
    told = "Next: correct what made lora fail, then the same command with --resume, or other fields for it under another name."
    assert closing(tuning, board).endswith(told)
    assert not (tmp_path / "tunings" / "fair" / "chosen").exists()
    assert facts(tune(fields, resume=True, out=tmp_path, tracking="none")) == facts(fair[1])[1:2]


@pytest.mark.slow
def test_what_diverged_is_said_once_and_not_run_again(without_ray: None, tmp_path: Path) -> None:
    training = {"steps": 4, "batch_size": 8, "lr": 1e30}
    fields = {**FAIR, "methods": ["lora"], "spaces": {}, "settings": {"training": training}, "budget": {"trials": 1}}
    tuning = tune(fields, out=tmp_path, tracking="none")
    (board,) = tuned_boards(tuning)
    words = closing(tuning, board)
    assert "Nothing more will come of this (lora: a judging run failed: task 'shapes', step " in words
    assert words.endswith(
        "Next: correct what made lora fail and tune under another name (runs that are finished are reused), or leave it at that."
    )
    before = stamps(tmp_path)
    assert facts(tune(fields, resume=True, out=tmp_path, tracking="none")) == facts(tuning)
    assert stamps(tmp_path) == before


def test_the_leaderboard_has_the_numbers_of_the_tunings_table(fair: tuple[Path, Tuning]) -> None:
    """Its row of a tuned setting is without the seed that chose it, and chooses what the tuning chose."""
    out, tuning = fair
    frame = leaderboard_frame(stored_runs({}, out).records)
    for one in tuning.methods[1:]:
        (row,) = frame[(frame["method"] == one.method) & (frame["trials"] > 1)].to_dict("records")
        assert one.tuned is not None
        assert row["seeds"] == "1"
        assert set(row["runs"].split(",")) == {record.run_id for record in one.tuned.records}
        assert row["left_out"]
    assert {record.selection for record in stored_runs({}, out).records} == {"two-phase of zscl.last"}


def test_the_outline_counts_what_there_is() -> None:
    some = outline(tune_config({**FAIR, "spaces": {}, "methods": ["zero-shot", "lora"]}))
    assert some == "tuning fair: 1 study with 2 trials, then default and chosen settings on seed 1"
    assert (
        outline(tune_config({**FAIR, "spaces": {}, "methods": ["zero-shot"]}))
        == "tuning fair: nothing to tune, settings on seed 1"
    )


def test_what_shared_beginnings_saved_is_counted_and_said(fair: tuple[Path, Tuning]) -> None:
    """Both trials of LoRA, and default and chosen setting on the judging seed, learn the first task alike."""
    out, tuning = fair
    (board,) = tuned_boards(tuning)
    saved = dict(zip(board.rows["method"], board.rows["saved seconds"], strict=True))
    borrowed = [run_costs(read_record(path).results).borrowed_seconds for path in out.glob("runs/*/record.json")]
    assert sum(seconds > 0 for seconds in borrowed) == 1 + (tuning.methods[1].chosen == 1)
    assert saved["lora"] == pytest.approx(sum(borrowed)) and saved["codyra"] == saved["zero-shot"] == 0
    assert f"of them judging; shared beginnings saved {saved['lora']:.0f} s of that." in closing(tuning, board)


def test_a_finished_one_is_shown_again_and_written_in_three_forms(fair: tuple[Path, Tuning], tmp_path: Path) -> None:
    out, tuning = fair
    (tmp_path / "fair.yaml").write_text(yaml.safe_dump(FAIR))
    forms = [f"--{form}={tmp_path / 'table'}.{form}" for form in ("csv", "markdown", "latex")]
    words = ["tune", str(tmp_path / "fair.yaml"), "--resume", "--out", str(out), "--tracking", "none", *forms]
    done = CliRunner().invoke(app, words, catch_exceptions=False)
    assert done.exit_code == 0
    (board,) = tuned_boards(tuning)
    assert done.stdout.endswith(f"{closing(tuning, board)}\n")
    table = pd.read_csv(tmp_path / "table.csv")
    assert table["method"].tolist() == board.rows["method"].tolist()
    assert table["tuned"].tolist() == pytest.approx(board.rows["tuned"].tolist())
    for form in ("markdown", "latex"):
        text = (tmp_path / f"table.{form}").read_text()
        assert all(method in text for method in board.rows["method"])


def test_the_page_shows_the_tunings_whose_runs_are_on_it(fair: tuple[Path, Tuning], tmp_path: Path) -> None:
    out, tuning = fair
    shutil.copytree(out / "tunings" / "fair", tmp_path / "out" / "tunings" / "broken")
    for folder in ("runs", "studies", "tunings"):
        shutil.copytree(out / folder, tmp_path / "out" / folder, dirs_exist_ok=True)
    (tmp_path / "out" / "tunings" / "broken" / "tune.yaml").write_text("name: broken\nmethods: 3\n")
    told = Told()
    found = shown_tunings(stored_runs({}, tmp_path / "out"), tmp_path / "out", told)
    assert [one.name for one in found] == ["fair"]
    assert [sentence.startswith(f"left out: {tmp_path / 'out' / 'tunings' / 'broken'}: ") for sentence in told.said] == [True]
    assert shown_tunings(stored_runs({"study": "fair.mini-mtil.lora"}, out), out, told) == []  # what a study ran judges nothing
    page = report(tmp_path / "page.html", method="zero-shot", out=out, tracking="none").html
    (board,) = tuned_boards(tuning)
    assert closing(tuning, board) in html.unescape(page)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"methods": ["rail-dual"], "benchmarks": [{"name": "mini-trace", "tasks": ["FOMC"]}]},
            "tuning 'fair': cannot begin: mini-trace rail-dual: ",
        ),
        ({"methods": [{"name": "codyra", "kappa_levels": 50}]}, "cannot begin: mini-mtil codyra: .* leave no room for 50"),
    ],
)
def test_what_cannot_begin_leaves_nothing(fields: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(Exception, match=message) as told:
        tune({**FAIR, "spaces": {}, **fields}, out=tmp_path / "out", tracking="none")
    assert "\n" not in str(told.value)
    assert not (tmp_path / "out" / "tunings").exists() or not any((tmp_path / "out" / "tunings").iterdir())


@pytest.mark.slow
def test_a_killed_driver_costs_no_more_than_tasks(fair: tuple[Path, Tuning], tmp_path: Path) -> None:
    """SIGKILL in the middle, then --resume: the same choices, the same runs, each trained once."""
    (tmp_path / "fair.yaml").write_text(yaml.safe_dump(FAIR))
    command = [sys.executable, "-m", "suite.cli.main", "tune", "fair.yaml", "--tracking", "none"]
    environment = {key: value for key, value in os.environ.items() if key != "RAY_ADDRESS"}
    process = subprocess.Popen(command, cwd=tmp_path, env=environment, start_new_session=True)
    out = tmp_path / "codyra-runs"
    while process.poll() is None and not any(out.glob("tunings/fair/chosen/*.json")):
        time.sleep(0.05)
    assert process.poll() is None
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    half = read_tuning("fair", out)  # a table of what is finished
    assert any(one.chosen is None or not one.tuned or not one.tuned.finished for one in half.methods[1:])
    before = {path: stamp for path, stamp in stamps(out).items() if "chosen" in str(path) or is_finished(path)}
    done = subprocess.run([*command, "--resume"], cwd=tmp_path, env=environment, check=True, capture_output=True, text=True)
    assert "Next: judge with at least 3 seeds" in done.stdout
    assert {path: stamps(out)[path] for path in before} == before
    assert facts(read_tuning("fair", out)) == facts(fair[1])


def is_finished(record: Path) -> bool:
    return read_record(record).status == "finished"


@pytest.mark.slow
def test_typed_on_a_terminal_it_fits_and_can_be_planned(tmp_path: Path, terminal: ModuleType) -> None:
    (tmp_path / "fair.yaml").write_text(yaml.safe_dump({**FAIR, "methods": ["zero-shot", "lora"], "spaces": {}}))
    found = plan(tmp_path / "fair.yaml", out=tmp_path)
    assert isinstance(found, TuningPlan)
    assert found.judged == {"fair.mini-mtil.zero-shot": 1, "fair.mini-mtil.lora": 2}
    shown = terminal.run_in_terminal(terminal.suite("tune", "fair.yaml"), tmp_path)
    shown.require_whole()
    assert "tuning fair: 1 study with 2 trials, then default and chosen settings on seed 1" in " ".join(shown.lines)
    again = terminal.run_in_terminal(terminal.suite("tune", "fair.yaml"), tmp_path)
    assert again.code == 2 and "Traceback" not in again.text and "add --resume" in " ".join(again.lines)
