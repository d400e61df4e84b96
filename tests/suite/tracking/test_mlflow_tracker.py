"""Records in a real MLflow database and back; a server that is away loses nothing."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from mlflow.entities import Run

from suite.config import RunConfig
from suite.errors import ConfigError, DataError, SuiteError
from suite.leaderboard.runs import load_runs
from suite.runs.labels import Labels, change_labels
from suite.runs.outcomes import read_outcomes
from suite.runs.record import Record, write_record
from suite.tracking.about import About
from suite.tracking.delivery import Delivery, open_delivery
from suite.tracking.mlflow_client import quoted
from suite.tracking.mlflow_file import MlflowFile
from suite.tracking.mlflow_reader import read_runs
from suite.tracking.mlflow_tracker import MlflowTracker
from suite.tracking.run_metrics import row_metrics, summary_metrics
from suite.tracking.tracker import Target, Tracker
from suite.tuning.run_titles import trial_title
from trainables.run import RunContext, execute

NOBODY = "http://127.0.0.1:9"


@pytest.fixture
def finished(make_config: Callable[..., RunConfig], run_context: RunContext) -> tuple[Record, Path]:
    record = execute(make_config("codyra"), run_context)
    return record, run_context.out / "runs" / record.run_id


@pytest.fixture
def tracker(tmp_path: Path) -> MlflowTracker:
    return MlflowTracker(f"sqlite:///{tmp_path / 'mlflow.db'}", tmp_path / "out")


@pytest.fixture
def delivery(tracker: MlflowTracker) -> Delivery:
    return Delivery(tracker, patience_seconds=1.0)


def study_run(tracker: Tracker, name: str) -> Run:
    """MLflow's one run of a study."""
    assert isinstance(tracker, MlflowTracker)
    (run,) = tracker._find("codyra.study", name)
    return run


def test_what_goes_in_comes_out(
    finished: tuple[Record, Path], delivery: Delivery, tracker: MlflowTracker, capfd: pytest.CaptureFixture[str]
) -> None:
    record, folder = finished[0].model_copy(update={"study": "night", "trial": 0}), finished[1]
    write_record(record, folder)
    assert delivery.log_study("night", {"name": "night", "budget": {"trials": 3}})
    for _ in range(2):
        assert delivery.log_run(record)
        assert delivery.log_study("night", {"name": "night"})
    parent = study_run(tracker, "night").info.run_id
    (stored,) = read_runs(tracker.uri)
    assert stored.record == record
    outcomes = read_outcomes(folder)
    assert stored.outcomes().keys() == outcomes.keys()
    assert all((stored.outcomes()[key] == scores).all() for key, scores in outcomes.items())
    assert {key[1] for key in stored.outcomes(row=3)} == {3}
    run = tracker.client.get_run(stored.mlflow_run_id)
    assert run.info.status == "FINISHED"
    assert run.data.tags["mlflow.parentRunId"] == parent
    assert run.data.params["method.rank"] == "16"
    assert run.data.metrics["test.zscl.last"] == pytest.approx(summary_metrics(record)["test.zscl.last"])
    history = tracker.client.get_metric_history(stored.mlflow_run_id, "test/faces")
    assert [(m.step, m.value) for m in history] == [(row, record.test[row][1]) for row in range(4)]
    assert capfd.readouterr().err == ""


def test_a_trial_and_its_study_say_what_they_are(
    finished: tuple[Record, Path], delivery: Delivery, tracker: MlflowTracker
) -> None:
    record = finished[0].model_copy(update={"study": "night", "trial": 7, "status": "failed", "reason": "loss <nan>"})
    title = trial_title(7, {"method.placement": "text:qkvoinout", "method.kappa_max": 0.0234})
    assert delivery.log_study("night", {"name": "night"})
    for command in ("codyra-suite sweep night.yaml", "codyra-suite compare"):
        assert delivery.log_run(record, About(title, command))
    (run,) = tracker._find("codyra.run_id", record.run_id)
    assert run.info.run_name == title == "trial 7 · text:qkvoinout · kappa_max 0.0234"
    told = {key: run.data.tags[f"mlflow.{key}"] for key in ("source.name", "source.git.commit", "note.content")}
    assert told["source.name"] == "codyra-suite sweep night.yaml"  # who made it, not who looked at it later
    assert told["note.content"] == f"**failed** after 3 of {len(record.tasks)} tasks: loss &lt;nan&gt;"
    assert told["source.git.commit"] == record.commit and run.info.user_id not in ("", "unknown")
    (given,) = run.inputs.dataset_inputs
    assert (given.dataset.name, given.dataset.digest) == (record.benchmark, record.data_fingerprint[:36])
    study = Target("study", "night")
    for text, value in (("**Chosen trial**: 3", 40.0), ("**Chosen trial**: 7", 50.0)):
        assert delivery.describe(study, About(text=text, metrics={"best/zscl.last": value}))
    parent = study_run(tracker, "night")
    assert (parent.data.tags["mlflow.note.content"], parent.data.metrics) == ("**Chosen trial**: 7", {"best/zscl.last": 50.0})
    tracker.client.set_tag(parent.info.run_id, "mlflow.note.content", "written in MLflow")
    assert delivery.describe(study, About(text="**Chosen trial**: 9"))
    assert study_run(tracker, "night").data.tags["mlflow.note.content"] == "written in MLflow"
    found = tracker.client.search_runs([parent.info.experiment_id], "metrics.`best/zscl.last` > 40")
    assert [one.info.run_id for one in found] == [parent.info.run_id]
    assert tracker.pages()[-1].endswith(f"/#/experiments/{parent.info.experiment_id}/runs?workflowType=machine_learning")


def test_statuses_are_mlflows(finished: tuple[Record, Path], delivery: Delivery, tracker: MlflowTracker) -> None:
    record = finished[0]
    for status, expected in (("stopped", "KILLED"), ("failed", "FAILED"), ("finished", "FINISHED")):
        (tracker.out / "runs" / status).mkdir()
        assert delivery.log_run(record.model_copy(update={"run_id": status, "status": status, "reason": "why"}))
        (run,) = tracker._find("codyra.run_id", status)
        assert (run.info.status, run.data.tags["status"], run.data.tags["reason"]) == (expected, status, "why")


def test_a_driver_killed_before_the_end_of_a_run_ends_it_later(
    finished: tuple[Record, Path], delivery: Delivery, tracker: MlflowTracker, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as killed:
        killed.setattr(tracker.client, "set_terminated", die)
        with pytest.raises(KeyboardInterrupt):
            delivery.log_run(finished[0])
    delivery.log_run(finished[0])
    (run,) = tracker._find("codyra.run_id", finished[0].run_id)
    assert run.info.status == "FINISHED"
    assert len(tracker.client.get_metric_history(run.info.run_id, "test/shapes")) == 4


def test_a_study_runs_while_it_is_carried_out(delivery: Delivery, tracker: MlflowTracker) -> None:
    for finished, expected in ((False, "KILLED"), (True, "FINISHED")):
        assert delivery.log_study("night", {"name": "night"})
        assert study_run(tracker, "night").info.status == "RUNNING"
        assert delivery.end_study("night", finished=finished)
        assert study_run(tracker, "night").info.status == expected


def test_a_run_stays_with_the_study_that_made_it(
    finished: tuple[Record, Path], delivery: Delivery, tracker: MlflowTracker
) -> None:
    """Another study with the same configuration reuses the record; the run shall not change hands in MLflow."""
    record = finished[0].model_copy(update={"study": "first", "trial": 0})
    for name in ("first", "second"):
        assert delivery.log_study(name, {"name": name})
        delivery.log_run(record)
    (run,) = tracker._find("codyra.run_id", record.run_id)
    assert run.data.tags["mlflow.parentRunId"] == study_run(tracker, "first").info.run_id


def test_a_reuse_that_came_later_reaches_the_stored_record(
    finished: tuple[Record, Path], delivery: Delivery, tracker: MlflowTracker
) -> None:
    record, folder = finished
    delivery.log_run(record)
    again = record.model_copy(update={"reused_by": {"late": 4}})
    write_record(again, folder)
    delivery.log_run(again)
    (stored,) = read_runs(tracker.uri)
    assert stored.record.trials == {"late": 4}


def test_filters_find_what_matches_and_read_nothing_else(
    finished: tuple[Record, Path], delivery: Delivery, tracker: MlflowTracker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the database file, and where it says nothing, by MLflow."""
    record, folder = finished
    notes = {"order": "II", "notes": "[100 %_\\'\"é] " + "x" * 6000}
    child = record.model_copy(update={"study": "Night_1", "trial": 0, "reused_by": {"day": 1}, "setting": notes})
    write_record(child, folder)
    delivery.log_run(child)
    found = {"study": ("Night_1", "day"), "setting": ("order II", "[100 %_\\'\"é]", "x" * 5500), "method": ("codyra",)}
    (artifact,) = (tracker.out.parent / "mlartifacts").rglob("record.json")
    for _ in ("file", "MLflow"):
        for name, values in found.items():
            for value in values:
                assert len(load_runs(tracker.uri, {name: value}, tracker.out).records) == 1, (name, value)
        artifact.rename(artifact.with_suffix(".hidden"))
        for name, value, near in (("study", "night2", "Night_1"), ("method", "codira", "codyra")):
            said = rf"no run matches {name} = '{value}' \({name} alone leaves 0 of 1\).*nearest: '{near}'"
            with pytest.raises(ConfigError, match=said):
                load_runs(tracker.uri, {name: value}, tracker.out)
        artifact.with_suffix(".hidden").rename(artifact)
        monkeypatch.setattr(MlflowFile, "runs", lambda *_: None)
        monkeypatch.setattr(MlflowFile, "tags", lambda *_: None)


def test_tags_and_notes_follow_the_run_and_are_asked_for(
    delivery: Delivery, tracker: MlflowTracker, finished: tuple[Record, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    record, folder = finished
    delivery.log_run(record)
    labels = Labels(tags=("paper", "table 2"), note="<b>plain</b>")
    change_labels(folder, lambda _: labels)
    delivery.log_run(record)
    (run,) = tracker._find("codyra.run_id", record.run_id)
    assert run.data.tags["codyra.tags"] == "paper, table 2" and run.data.tags["mlflow.note.content"] == "<b>plain</b>"
    tracker.client.set_tag(run.info.run_id, "mlflow.note.content", "written in MLflow")
    change_labels(folder, lambda _: labels.model_copy(update={"tags": ("table 2",)}))
    delivery.log_run(record)
    (run,) = tracker._find("codyra.run_id", record.run_id)
    assert run.data.tags["mlflow.note.content"] == "written in MLflow"
    for _ in ("file", "MLflow"):
        found = load_runs(tracker.uri, {"tag": "table 2"}, tracker.out)
        assert found.tags([record.run_id]) == ["table 2"] and found.labels[record.run_id].note == "<b>plain</b>"
        with pytest.raises(ConfigError, match="tag alone leaves 0 of 1.*nearest: 'table 2'"):
            load_runs(tracker.uri, {"tag": "table"}, tracker.out)
        monkeypatch.setattr(MlflowFile, "runs", lambda *_: None)
        monkeypatch.setattr(MlflowFile, "tags", lambda *_: None)
    tracker.forget(record.run_id)
    with pytest.raises(ConfigError, match="holds no run"):
        load_runs(tracker.uri, {}, tracker.out)


def test_row_metrics_name_ranks_and_costs(finished: tuple[Record, Path]) -> None:
    metrics = row_metrics(finished[0], 1)
    assert {"test/shapes", "validation/digits", "rank/effective_mean", "rank/no_signal", "update/norm"} <= metrics.keys()
    assert "rank/effective_mean" not in row_metrics(finished[0], 0)


def test_a_resumed_run_adds_only_its_new_rows(
    finished: tuple[Record, Path], delivery: Delivery, tracker: MlflowTracker
) -> None:
    record = finished[0]
    part = record.model_copy(
        update={
            "status": "stopped",
            "test": record.test[:2],
            "validation": record.validation[:2],
            "results": record.results[:2],
        }
    )
    delivery.log_run(part)
    delivery.log_run(record)
    (run,) = tracker._find("codyra.run_id", record.run_id)
    assert [point.step for point in tracker.client.get_metric_history(run.info.run_id, "test/shapes")] == [0, 1, 2, 3]
    assert run.info.status == "FINISHED"
    assert run.info.start_time == int(record.started_at.timestamp() * 1000)


def test_a_spooled_child_finds_its_study_later(
    finished: tuple[Record, Path], delivery: Delivery, tracker: MlflowTracker
) -> None:
    record, folder = finished
    child = record.model_copy(update={"study": "it's late", "trial": 4})
    write_record(child, folder)
    for name in (child.run_id, "gone"):
        delivery.spool.hold_run(name, "away")
    assert delivery.flush() == 0
    assert delivery.log_study("it's late", {"name": "x"})
    (run,) = tracker._find("codyra.run_id", child.run_id)
    assert run.data.tags["mlflow.parentRunId"] == study_run(tracker, "it's late").info.run_id
    assert len(list(read_runs(tracker.uri, filters={"study": "it's late"}))) == 1
    with pytest.raises(ConfigError, match="both kinds of quotes"):
        quoted("'\"")


def test_a_store_in_a_folder_with_odd_names_is_read_back(finished: tuple[Record, Path], tmp_path: Path) -> None:
    place = tmp_path / "my runs #1 100%"
    place.mkdir()
    tracker = MlflowTracker(f"sqlite:///{place / 'mlflow.db'}", finished[1].parent.parent)
    tracker.log_run(finished[0])
    (stored,) = read_runs(tracker.uri)
    assert stored.record == finished[0]
    assert stored.outcomes()


def test_files_and_tables_are_attached(
    finished: tuple[Record, Path], delivery: Delivery, tracker: MlflowTracker, tmp_path: Path
) -> None:
    record = finished[0]
    delivery.log_study("night", {"name": "night"})
    delivery.log_run(record)
    picture = tmp_path / "matrix.svg"
    picture.write_text("<svg/>")
    for target, there in (
        (Target("run", record.run_id), True),
        (Target("study", "night"), True),
        (Target("run", "unknown"), False),
    ):
        assert delivery.attach(target, [picture], "figures") == there
        assert delivery.holds(target, [picture], "figures") == there
    (stored,) = read_runs(tracker.uri)
    found = stored.files.path("figures/matrix.svg")
    assert found is not None
    assert found.read_text() == "<svg/>"
    for last in (1.0, 2.0):
        assert delivery.log_table("night", {"trial": [0], "zscl.last": [last]}, "trials.json")
    table = tracker.client.download_artifacts(study_run(tracker, "night").info.run_id, "trials.json", str(tmp_path))
    assert json.loads(Path(table).read_text()) == {"columns": ["trial", "zscl.last"], "data": [[0, 2.0]]}


def test_a_server_that_is_away_is_not_waited_for_again(
    finished: tuple[Record, Path], delivery: Delivery, tracker: MlflowTracker
) -> None:
    away = open_delivery(NOBODY, tracker.out)  # patience is 20 seconds, and there is none left for the calls after the first
    assert away.is_away
    assert away.trouble == "Connection refused"
    tries, log_run = list[Record](), away.tracker.log_run
    away.tracker.log_run = lambda record: tries.append(record) or log_run(record)  # type: ignore[method-assign, func-returns-value]
    for _ in range(2):
        assert not away.log_run(finished[0])
    assert len(tries) == 2
    assert "1 run waits" in str(away.spool.sentence())
    with pytest.raises(SuiteError, match="cannot be read"):
        list(read_runs(NOBODY))


def test_a_study_that_was_away_ends_once_it_is_delivered(tmp_path: Path) -> None:
    away = open_delivery(NOBODY, tmp_path)
    for name in ("night", "day", "damaged"):
        assert not away.log_study(name, {"seed": 3})
    assert not away.end_study("night", finished=True)
    assert not away.end_study("day", finished=False)
    (tmp_path / "spool" / "mlflow" / "studies" / "damaged.json").write_bytes(b"\xff")
    assert "3 studies wait" in str(away.spool.sentence())
    back = open_delivery(f"sqlite:///{tmp_path / 'mlflow.db'}", tmp_path)
    assert back.spool.sentence() is None
    found = {name: study_run(back.tracker, name) for name in ("night", "day", "damaged")}
    assert {name: run.info.status for name, run in found.items()} == {
        "night": "FINISHED",
        "day": "KILLED",
        "damaged": "RUNNING",
    }
    assert [run.data.params for run in found.values()] == [{"seed": "3"}, {"seed": "3"}, {}]


def test_a_record_that_is_refused_ends_nothing(
    finished: tuple[Record, Path], delivery: Delivery, tracker: MlflowTracker
) -> None:
    delivery.open()
    tracker.client.delete_experiment(tracker._experiment_id())  # somebody does so in MLflow's own pages
    assert not delivery.log_run(finished[0])
    assert "refused: " in str(delivery.spool.sentence())
    with pytest.raises(ConfigError, match="cannot be used"):
        open_delivery(tracker.uri, tracker.out)
    tracker.client.restore_experiment(tracker._experiment_id())
    assert open_delivery(tracker.uri, tracker.out).spool.sentence() is None
    assert len(list(read_runs(tracker.uri))) == 1


def test_a_lost_answer_leaves_one_run(
    finished: tuple[Record, Path], delivery: Delivery, tracker: MlflowTracker, monkeypatch: pytest.MonkeyPatch
) -> None:
    create, answers = tracker.client.create_run, [ConnectionError("lost"), None]

    def lose(*given: object, **named: object) -> object:
        """What a web client does that repeats a request whose first answer was lost."""
        create(*given, **named)  # type: ignore[arg-type]
        lost = answers.pop(0)
        if lost is not None:
            raise lost
        return create(*given, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(tracker.client, "create_run", lose)
    monkeypatch.setattr("suite.tracking.mlflow_tracker.is_away", lambda error, uri: isinstance(error, ConnectionError))
    assert delivery.log_study("night", {})
    assert delivery.log_run(finished[0])
    assert [len(tracker._find(*tag)) for tag in (("codyra.study", "night"), ("codyra.run_id", finished[0].run_id))] == [1, 1]


def test_what_cannot_be_read_is_named(finished: tuple[Record, Path], delivery: Delivery, tracker: MlflowTracker) -> None:
    delivery.log_run(finished[0])
    artifacts = tracker.out.parent / "mlartifacts"
    artifacts.rename(tracker.out.parent / "moved")
    with pytest.raises(
        DataError, match="none of the 1 run here can be read; the first one: MLflow run .* there is no record.json at file:"
    ):
        load_runs(tracker.uri, {}, tracker.out)
    other = finished[0].model_copy(update={"run_id": "other"})
    write_record(other, tracker.out / "runs" / "other")
    delivery.log_run(other)
    runs = load_runs(tracker.uri, {}, tracker.out)
    assert [record.run_id for record in runs.records] == ["other"]
    assert len(runs.unreadable) == 1
    for file in artifacts.rglob("record.json"):
        file.write_text('{"schema_version": 2}')
    with pytest.raises(DataError, match="none of the 2 runs here can be read"):
        load_runs(tracker.uri, {}, tracker.out)


def test_the_documented_search_finds_runs(
    finished: tuple[Record, Path], delivery: Delivery, tracker: MlflowTracker, repository: Path
) -> None:
    text = (repository / "docs" / "mlflow.md").read_text()
    (query,) = re.findall(r"^tags\.benchmark = .*$", text, flags=re.MULTILINE)
    query, changed = re.subn(r"> [\d.]+$", "> -1", query.replace("mini-xtail", finished[0].benchmark))
    assert changed
    delivery.log_run(finished[0])
    experiment = tracker._experiment_id()
    assert len(tracker.client.search_runs([experiment], query)) == 1
    (run,) = tracker._find("codyra.run_id", finished[0].run_id)
    named = set(re.findall(r"`((?:test|validation)[./][\w.]+)`", text))
    assert "test.zscl.last" in named
    assert named <= run.data.metrics.keys()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Callable[[], tuple[str, subprocess.Popen[bytes]]]]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    processes = []

    def start() -> tuple[str, subprocess.Popen[bytes]]:
        command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
        command += [
            "--backend-store-uri",
            f"sqlite:///{tmp_path / 'server.db'}",
            "--artifacts-destination",
            str(tmp_path / "art"),
        ]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
        processes.append(process)
        uri = f"http://127.0.0.1:{port}"
        for _ in range(300):
            try:
                urllib.request.urlopen(f"{uri}/health", timeout=1)
                return uri, process
            except OSError:
                time.sleep(0.3)
        raise AssertionError("the server did not start")

    yield start
    for process in processes:
        os.killpg(process.pid, signal.SIGKILL)  # the server and its workers
        process.wait(timeout=250)


@pytest.mark.slow
def test_a_server_that_is_away_loses_nothing(
    finished: tuple[Record, Path],
    tmp_path: Path,
    server: Callable[[], tuple[str, subprocess.Popen[bytes]]],
) -> None:
    record, folder = finished
    out = folder.parent.parent
    away = open_delivery(NOBODY, out)
    away.log_study("night", {"seed": 3})
    assert not away.log_run(record)
    assert not away.end_study("night", finished=True)
    assert (away.spool.runs(), away.spool.studies()) == ([record.run_id], ["night"])
    uri, _ = server()
    back = open_delivery(uri, out)
    assert back.spool.count() == 0
    (remote,) = read_runs(uri)
    assert remote.record == record
    assert remote.outcomes().keys() == read_outcomes(folder).keys()
    assert remote.files.path("nothing.json") is None
    parent = study_run(back.tracker, "night")
    assert (parent.info.status, parent.data.params) == ("FINISHED", {"seed": "3"})


@pytest.mark.parametrize("copied", [False, True])
def test_a_folder_of_results_that_was_moved_still_shows_its_runs(
    copied: bool, make_config: Callable[..., RunConfig], tmp_path: Path
) -> None:
    """MLflow stores absolute paths; database and artifacts that moved together are found, and nothing goes to the old place."""
    before, after = tmp_path / "A", tmp_path / "B with blank"
    record = execute(make_config("zero-shot"), RunContext(before / "runs-here", before, "cpu"))
    MlflowTracker(f"sqlite:///{before / 'mlflow.db'}", before / "runs-here").log_run(record)
    if copied:
        shutil.copytree(before, after)
        for file in (before / "mlartifacts").rglob("record.json"):
            file.write_text("of the first folder")
    else:
        before.rename(after)
    uri = f"sqlite:///{after / 'mlflow.db'}"
    (stored,) = load_runs(uri, {}, after / "runs-here").records
    assert stored == record
    later = record.model_copy(update={"run_id": "later"})
    write_record(later, after / "runs-here" / "runs" / "later")
    MlflowTracker(uri, after / "runs-here").log_run(later)
    assert {run.record.run_id for run in read_runs(uri)} == {record.run_id, "later"}
    assert before.is_dir() == copied
    if not copied:
        shutil.rmtree(after / "mlartifacts")
        with pytest.raises(SuiteError, match="none of the 2 runs here can be read"):
            load_runs(uri, {}, after / "runs-here")
