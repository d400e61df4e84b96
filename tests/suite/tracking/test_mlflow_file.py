"""MLflow's database file asked without MLflow: the same answers, and MLflow itself where the file gives none."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from suite.config import RunConfig
from suite.runs.record import Record
from suite.tracking.delivery import open_delivery
from suite.tracking.mlflow_tracker import MlflowTracker
from suite.tracking.tracker import Target
from suite.workflows.pictures import attach_run_pictures
from trainables.run import RunContext, execute

SHOW_AGAIN = """
import sys
from pathlib import Path
from suite.runs.store import RunStore
from suite.workflows.tracking import opened_tracking, track
from suite.workflows.progress import QUIET

out = Path(sys.argv[1])
records = [run.record for run in RunStore(out).all().runs]
with opened_tracking(sys.argv[2], out, QUIET) as delivery:
    track(records, delivery, QUIET)
tracker = delivery.tracker
assert [run.record.run_id for run in tracker.read_runs({}, [])] == [record.run_id for record in records]
assert [fields.benchmark for fields in tracker.read_fields()] == [record.benchmark for record in records]
print(len(records), *sorted({"mlflow", "sqlalchemy", "pandas"} & {*sys.modules}))
"""


@pytest.fixture(scope="module")
def logged_once(
    make_config: Callable[..., RunConfig], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Record, MlflowTracker, bytes]:
    """A finished run whose record and pictures are in MLflow, and the bytes of the database."""
    folder = tmp_path_factory.mktemp("logged")
    record, database = execute(make_config("zero-shot"), RunContext(folder / "out", folder, "cpu")), folder / "m.db"
    with open_delivery(f"sqlite:///{database}", folder / "out") as delivery:
        assert delivery.log_run(record)
        attach_run_pictures(delivery, [record], folder / "out")
    return record, MlflowTracker(f"sqlite:///{database}", folder / "out"), database.read_bytes()


@pytest.fixture
def logged(logged_once: tuple[Record, MlflowTracker, bytes]) -> tuple[Record, MlflowTracker]:
    """The same with the database as it was then."""
    record, tracker, content = logged_once
    Path(tracker.uri.removeprefix("sqlite:///")).write_bytes(content)
    return record, tracker


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What MLflow itself was asked for."""
    found: list[str] = []
    for name in ("_check", "_log_run", "_holds"):
        monkeypatch.setattr(MlflowTracker, name, lambda *_, name=name: found.append(name))
    return found


def deliver(record: Record, tracker: MlflowTracker) -> None:
    """What every command does with a finished run at its end."""
    fresh = MlflowTracker(tracker.uri, tracker.out)
    fresh.check()
    fresh.log_run(record)
    fresh.holds(Target("run", record.run_id), [*(tracker.out / "figures" / record.run_id).iterdir()], "pictures")


def change(tracker: MlflowTracker, *statements: str) -> None:
    with closing(sqlite3.connect(tracker.uri.removeprefix("sqlite:///"))) as connection, connection:
        for statement in statements:
            connection.execute(statement)


def test_a_run_that_is_there_needs_no_mlflow(logged: tuple[Record, MlflowTracker]) -> None:
    _, tracker = logged
    command = [sys.executable, "-c", SHOW_AGAIN, str(tracker.out), tracker.uri]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.stdout.strip(), done.stderr) == ("1", "")


@pytest.mark.parametrize(
    ("statements", "expected"),
    [
        ([], []),
        (["UPDATE alembic_version SET version_num = 'later'"], ["_check"]),
        (["UPDATE experiments SET lifecycle_stage = 'deleted'"], ["_check"]),
        (["UPDATE experiments SET artifact_location = 'file:///elsewhere/mlartifacts'"], ["_check"]),
        (["DELETE FROM experiment_tags WHERE key = 'codyra.checked.kind'"], ["_check"]),
        (["UPDATE tags SET value = 'running/1' WHERE key = 'codyra.stored'"], ["_log_run"]),
        (["UPDATE runs SET lifecycle_stage = 'deleted'"], ["_log_run", "_holds"]),
        (["DROP TABLE experiment_tags", "DROP TABLE tags"], ["_check", "_log_run", "_holds"]),
    ],
    ids=lambda found: found[0][:40] if found else "as it was",
)
def test_what_is_not_as_it_was_left_mlflow_decides(
    statements: list[str], expected: list[str], logged: tuple[Record, MlflowTracker], asked: list[str]
) -> None:
    record, tracker = logged
    change(tracker, *statements)
    deliver(record, tracker)
    assert asked == expected


def test_what_the_file_does_not_hold_mlflow_takes(logged: tuple[Record, MlflowTracker], asked: list[str]) -> None:
    record, tracker = logged
    database = Path(tracker.uri.removeprefix("sqlite:///"))
    deliver(record.model_copy(update={"status": "stopped"}), tracker)  # another state
    deliver(record.model_copy(update={"reused_by": {"night": 0}}), tracker)  # a study that came later
    picture = next((database.parent / "mlartifacts").rglob("accuracy_matrix.png"))
    picture.rename(picture.with_suffix(".moved"))
    deliver(record, tracker)
    picture.with_suffix(".moved").rename(picture)
    assert asked == ["_log_run", "_log_run", "_holds"]
    database.write_bytes(b"no database at all" * 100)
    deliver(record, tracker)
    assert asked[3:] == ["_check", "_log_run", "_holds"]


def test_a_file_that_cannot_be_written_is_no_usable_one(logged: tuple[Record, MlflowTracker], asked: list[str]) -> None:
    record, tracker = logged
    with closing(sqlite3.connect(tracker.uri.removeprefix("sqlite:///"))) as other:
        other.execute("BEGIN IMMEDIATE")
        deliver(record, tracker)
    assert asked == ["_check"]
