"""The run store: what is finished stays, what was changed behind a run's back is named, one damaged run concerns nobody else."""

from __future__ import annotations

import json
import os
import shutil
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from threading import Event, Thread

import numpy as np
import pytest

from suite.config import RunConfig
from suite.errors import ConfigError, DamagedRun, SuiteError
from suite.leaderboard.runs import load_runs
from suite.runs.outcomes import read_outcomes, write_outcomes
from suite.runs.record import RECORD, Record, read_record, write_record
from suite.runs.store import RunStore
from suite.tuning.run_queue import left_behind
from trainables.run import RunContext, execute


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, RunConfig, Record]:
    """A short run, stopped after its first of two tasks: what every test here copies and harms."""
    from suite.config import validate

    fields = {
        "benchmark": {"name": "mini-mtil", "domains": ["shapes", "digits"], "shots": 2},
        "method": {"name": "lora", "rank": 2},
        "training": {"steps": 2, "batch_size": 4},
    }
    config, out = validate(RunConfig, fields, where="test"), tmp_path_factory.mktemp("trained")
    return out, config, execute(config, RunContext(out, out, "cpu"), lambda report: report.row < 1)


@pytest.fixture
def harmed(trained: tuple[Path, RunConfig, Record], tmp_path: Path) -> tuple[RunStore, RunContext, RunConfig, Record]:
    out, config, record = trained
    shutil.copytree(out, tmp_path / "out")
    return RunStore(tmp_path / "out"), RunContext(tmp_path / "out", tmp_path, "cpu"), config, record


Harmed = tuple[RunStore, RunContext, RunConfig, Record]


def finish(store: RunStore, record: Record) -> Record:
    return store.end(record, "finished", None)


def test_a_finished_record_never_becomes_anything_else(harmed: Harmed) -> None:
    store, _, _, record = harmed
    finished = finish(store, record)
    before = (store.folder(record.run_id) / RECORD).read_bytes()
    for found in (
        store.mark(record.run_id, "failed", "a later command broke"),
        store.mark(record.run_id, "stopped", None),
        store.end(record, "failed", "again"),
        store.note_row(record, {}, {}, {}),
    ):
        assert found == finished
    assert (store.folder(record.run_id) / RECORD).read_bytes() == before
    assert store.reuse(finished, "night", 3) == finished.model_copy(update={"reused_by": {"night": 3}})
    assert store.mark(record.run_id, "failed", "x").status == "finished"


def test_a_dead_worker_is_found_by_its_attempt_alone(harmed: Harmed) -> None:
    """Of equal list number and config hash there may be many: of other code, of other data, long finished."""
    store, _, _, record = harmed
    for name, fields in {"other": {"code_version": "other"}, "older": {"status": "finished", "trial": 0}}.items():
        write_record(record.model_copy(update={"run_id": name, **fields}), store.folder(name))
    assert left_behind(store, "driver trial 0 part 0") is None
    with store.alone(record.run_id, "driver trial 0 part 0"):
        pass
    found = left_behind(store, "driver trial 0 part 0")
    assert found is not None
    assert found.run_id == record.run_id
    finish(store, record)
    assert left_behind(store, "driver trial 0 part 0") is None
    with store.alone(record.run_id, "another"):
        pass
    assert left_behind(store, "driver trial 0 part 0") is None


def test_a_run_names_its_attempt(make_config: Callable[..., RunConfig], tmp_path: Path) -> None:
    record = execute(make_config("zero-shot"), RunContext(tmp_path, tmp_path, "cpu", attempt="mine"))
    found = RunStore(tmp_path).attempted("mine")
    assert found is not None
    assert found.record == record


def change(file: Path, change: Callable[[dict[str, object]], object]) -> None:
    fields = json.loads(file.read_text())
    change(fields)
    file.write_text(json.dumps(fields))


def inverted(folder: Path) -> None:
    write_outcomes({key: np.float32(100) - scores for key, scores in read_outcomes(folder).items()}, folder)


HARMS: dict[str, tuple[Callable[[Path], object], str]] = {
    "cell": (
        lambda folder: change(folder / RECORD, lambda fields: fields["test"][1].__setitem__(0, 99.0)),
        "its checksum differs",
    ),
    "cost": (lambda folder: change(folder / RECORD, lambda fields: fields.update(commit="f" * 40)), "its checksum differs"),
    "no checksum": (lambda folder: change(folder / RECORD, lambda fields: fields.pop("checksum")), "its checksum differs"),
    "half": (lambda folder: (folder / RECORD).write_bytes((folder / RECORD).read_bytes()[:400]), "is not a record"),
    "binary": (lambda folder: (folder / RECORD).write_bytes(b"\xff\xfe\x00"), "is not a record"),
    "another run's": (
        lambda folder: write_record(read_record(folder).model_copy(update={"run_id": "0" * 16}), folder),
        "is the record of run 0000000000000000, not of",
    ),
    "another config's": (
        lambda folder: write_record(read_record(folder).model_copy(update={"config_hash": "0" * 16}), folder),
        "is of another config",
    ),
}


@pytest.mark.parametrize("harm", HARMS)
def test_a_changed_record_is_one_sentence_and_changes_nothing(harm: str, harmed: Harmed) -> None:
    store, run_context, config, record = harmed
    finish(store, record)
    folder = store.folder(record.run_id)
    HARMS[harm][0](folder)
    before = (folder / RECORD).read_bytes()
    with pytest.raises(DamagedRun, match=HARMS[harm][1]) as told:
        execute(config, run_context)
    assert str(folder) in str(told.value)
    assert "\n" not in str(told.value)
    assert (folder / RECORD).read_bytes() == before


@pytest.mark.parametrize(
    ("harm", "match"),
    [
        (inverted, "outcomes of run .* are not those that the run wrote"),
        (lambda folder: (folder / "outcomes.rows").unlink(), "no outcomes there"),
        (lambda folder: (folder / "outcomes.rows").write_bytes(b"PK"), "is not an outcomes file"),
    ],
)
def test_a_finished_run_is_shown_with_its_own_outcomes_only(harm: Callable[[Path], object], match: str, harmed: Harmed) -> None:
    store, run_context, config, record = harmed
    finish(store, record)
    assert execute(config, run_context).status == "finished"
    harm(store.folder(record.run_id))
    with pytest.raises(DamagedRun, match=match):
        execute(config, run_context)


def test_outcomes_of_an_older_record_are_held_against_its_matrix(harmed: Harmed) -> None:
    """A record of schema 2 has no checksums."""
    store, _, _, record = harmed
    folder = store.folder(record.run_id)
    fields = json.loads((folder / RECORD).read_text())
    fields = {key: value for key, value in fields.items() if key != "checksum"} | {"schema_version": 2}
    for result in fields["results"]:
        del result["digests"]
    (folder / RECORD).write_text(json.dumps(fields))
    run = store.find(record.run_id[:6])
    assert run.record.test == record.test
    assert run.outcomes().keys() == read_outcomes(folder).keys()
    inverted(folder)
    with pytest.raises(DamagedRun, match=r"outcomes\.rows: the outcomes of run .* average .*, its matrix says"):
        run.outcomes()


@pytest.mark.parametrize("name", ["merged_1.safetensors", "state_1.safetensors"])
def test_a_flipped_bit_in_a_checkpoint_is_not_gone_on_with(name: str, harmed: Harmed) -> None:
    store, run_context, config, record = harmed
    file = store.folder(record.run_id) / "checkpoints" / name
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    with pytest.raises(DamagedRun, match=rf"{name}: has changed since the run wrote it \(its checksum differs\)"):
        execute(config, run_context)
    assert store.find(record.run_id).record == record


def test_changed_outcomes_of_an_unfinished_run_begin_it_again(harmed: Harmed) -> None:
    store, run_context, config, record = harmed
    inverted(store.folder(record.run_id))
    rows: list[int] = []
    again = execute(config, run_context, lambda report: bool(rows.append(report.row)) or True)
    assert (rows, again.test[:2]) == ([0, 1, 2], record.test)
    assert again.results[1].digests["merged"] == record.results[1].digests["merged"]


def test_a_kill_after_going_back_does_not_make_new_checkpoints_look_changed(
    harmed: Harmed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The state of task 1 is lost, so it is learned again; killed between its new checkpoint and its record, the run goes on."""
    store, run_context, config, record = harmed
    (store.folder(record.run_id) / "checkpoints" / "state_1.safetensors").unlink()
    with monkeypatch.context() as patch:
        patch.setattr(RunStore, "note_row", lambda *_: (_ for _ in ()).throw(OSError("killed")))
        with pytest.raises(OSError, match="killed"):
            execute(config, run_context)
    assert (store.folder(record.run_id) / "checkpoints" / "state_1.safetensors").is_file()
    assert len(store.find(record.run_id).record.test) == 1
    assert execute(config, run_context).status == "finished"


def test_a_damaged_run_concerns_nobody_else(harmed: Harmed) -> None:
    store, run_context, _, record = harmed
    finish(store, record)
    for name, text in {"half": "{", "alien": "[1]", "newer": '{"schema_version": 99}'}.items():
        store.folder(name).mkdir()
        (store.folder(name) / RECORD).write_text(text)
    listing = store.all()
    assert [run.record.run_id for run in listing.runs] == [record.run_id]
    assert [sentence.partition(":")[0] for sentence in listing.damaged] == [
        str(store.folder(n) / RECORD) for n in ("alien", "half", "newer")
    ]
    runs = load_runs("none", {}, run_context.out)
    assert [found.run_id for found in runs.records] == [record.run_id]
    assert list(runs.unreadable) == listing.damaged
    with pytest.raises(DamagedRun):
        store.find("half")
    with pytest.raises(ConfigError, match="no such run"):
        store.find("nothing")


def test_what_a_killed_process_left_ahead_of_its_record_is_ignored(harmed: Harmed) -> None:
    """Outcomes are written before the record: a kill in between leaves a row more in the file than in the record."""
    store, run_context, config, record = harmed
    folder = store.folder(record.run_id)
    whole = execute(config, RunContext(run_context.out.parent / "whole", run_context.out, "cpu"))
    ahead = read_outcomes(RunStore(run_context.out.parent / "whole").folder(record.run_id))
    write_outcomes(ahead, folder)
    assert {key[1] for key in store.find(record.run_id).outcomes()} == {0, 1}
    rows: list[int] = []
    assert execute(config, run_context, lambda report: bool(rows.append(report.row)) or True).test == whole.test
    assert rows == [2]


def test_a_run_that_is_refused_leaves_nothing(harmed: Harmed, make_config: Callable[..., RunConfig], tmp_path: Path) -> None:
    """After its data was read and its folder was owned; one that had stored a row before keeps it."""
    store, run_context, config, record = harmed
    before = {path: path.read_bytes() for path in store.place.rglob("*") if path.is_file() and path.name != ".lock"}
    for refused in (config, make_config("lora")):
        with pytest.raises(SuiteError, match="cuda:99"):
            execute(refused, replace(run_context, device="cuda:99"))
    assert [path.name for path in store.place.iterdir()] == [record.run_id]
    assert before == {path: path.read_bytes() for path in before}


def test_a_folder_has_one_owner_while_others_come_and_leave_nothing(tmp_path: Path) -> None:
    """Each owner removes the empty folder, with the lock that the next ones are waiting for."""
    store, inside, most = RunStore(tmp_path), 0, 0

    def own(_: int) -> None:
        nonlocal inside, most
        for _ in range(40):
            with store.alone("run"):
                inside += 1
                most = max(most, inside)
                (store.folder("run") / ".lock").stat()
                inside -= 1

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(own, range(6)))
    assert most == 1
    assert not list(store.place.iterdir())


def test_who_waits_is_told_for_whom(tmp_path: Path) -> None:
    store, heard, told = RunStore(tmp_path), list[str](), Event()

    def say(sentence: str) -> None:
        heard.append(sentence)
        told.set()

    def second() -> None:
        with store.alone("run", say=say):
            pass

    with store.alone("run", "driver trial 0"):
        other = Thread(target=second)
        other.start()
        assert told.wait(60)
    other.join()
    assert heard == [
        f"run run: process {os.getpid()} on {socket.gethostname()} is at it; waiting for it to end, then its result is shown or gone on with."
    ]
    with store.alone("run", say=say):
        pass
    assert len(heard) == 1
