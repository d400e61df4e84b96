"""A mirrored run goes on on another machine: folders that share nothing but the storage."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from fsspec.implementations.memory import MemoryFile

from suite.config import RunConfig, validate
from suite.errors import ConfigError, DamagedRun, DataError, SuiteError
from suite.runs.mirror import RunMirror
from suite.runs.record import read_record, write_record
from trainables.run import RunContext, execute


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a short run, stopped after its first of two tasks."""
    fields = {
        "benchmark": {"name": "mini-mtil", "domains": ["shapes", "digits"], "shots": 2},
        "method": {"name": "lora", "rank": 2},
        "training": {"steps": 2, "batch_size": 4},
    }
    out = tmp_path_factory.mktemp("stopped")
    record = execute(validate(RunConfig, fields, where="test"), RunContext(out, out, "cpu"), lambda report: report.row < 1)
    return out / "runs" / record.run_id


@pytest.fixture
def run(stopped: Path, tmp_path: Path) -> Path:
    """A copy of it under its own name."""
    shutil.copytree(stopped, tmp_path / stopped.name)
    return tmp_path / stopped.name


def test_a_run_goes_on_from_the_mirror(make_config: Callable[..., RunConfig], tmp_path: Path) -> None:
    config = make_config("replay")
    whole = execute(config, RunContext(tmp_path / "whole", tmp_path, "cpu"))
    storage = f"file://{tmp_path}/shared"
    stopped = execute(config, RunContext(tmp_path / "a", tmp_path, "cpu", storage=storage), lambda report: report.row < 1)
    assert stopped.tasks_done == 1
    trained: list[int] = []
    there = RunContext(tmp_path / "b", tmp_path, "cpu", storage=storage)
    finished = execute(config, there, lambda report: trained.append(report.row) is None)
    assert trained == [2, 3]
    assert (finished.test, finished.validation) == (whole.test, whole.validation)
    here = {
        path.relative_to(tmp_path / "b" / "runs").as_posix()
        for path in (tmp_path / "b" / "runs").rglob("*.*")
        if path.is_file()
    }
    mirrored = {
        path.relative_to(tmp_path / "shared" / "runs").as_posix()
        for path in (tmp_path / "shared" / "runs").rglob("*.*")
        if path.is_file()
    }
    assert {name for name in here if "/." not in name} == mirrored


def test_what_left_the_folder_leaves_the_mirror_and_the_record_goes_last(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    (folder / "checkpoints").mkdir(parents=True)
    (folder / "checkpoints" / "state_1.safetensors").write_bytes(b"one")
    (folder / "record.json").write_text("{}")
    mirror = RunMirror(f"file://{tmp_path}/shared")
    mirror.push(folder)
    (folder / "checkpoints" / "state_1.safetensors").unlink()
    (folder / "checkpoints" / "state_2.safetensors").write_bytes(b"two")
    (folder / "record.json").write_text('{"tasks": 2}')
    mirror.push(folder)
    there = tmp_path / "shared" / "runs" / "run"
    assert sorted(path.name for path in there.rglob("*.*")) == ["record.json", "state_2.safetensors"]
    stamps = [path.stat().st_mtime_ns for path in (there / "checkpoints" / "state_2.safetensors", there / "record.json")]
    assert stamps == sorted(stamps)


def test_a_record_that_is_the_mirrors_is_not_fetched_again(run: Path, tmp_path: Path) -> None:
    mirror = RunMirror(f"file://{tmp_path}/shared")
    mirror.push(run)
    before = (run / "outcomes.rows").read_bytes()
    (run / "outcomes.rows").write_bytes(b"y")
    mirror.pull(run)
    assert (run / "outcomes.rows").read_bytes() == b"y"
    (run / "record.json").unlink()
    mirror.pull(run)
    assert (run / "outcomes.rows").read_bytes() == before


def test_a_finished_record_gives_way_on_neither_side(run: Path, tmp_path: Path) -> None:
    """A mirror that missed the end of a run, and a second machine that trains what the first has finished."""
    mirror, other, there = (
        RunMirror(f"file://{tmp_path}/shared"),
        tmp_path / "other" / run.name,
        tmp_path / "shared" / "runs" / run.name,
    )
    mirror.push(run)
    shutil.copytree(run, other)
    record = read_record(run)
    finished = record.model_copy(update={"status": "finished", "reason": None})
    write_record(finished, run)
    mirror.pull(run)
    assert read_record(run) == finished
    mirror.push(run)
    assert read_record(there) == finished
    mirror.push(other)
    assert read_record(there) == finished
    mirror.pull(other)
    assert read_record(other) == finished
    asked = finished.model_copy(update={"reused_by": {"night": 3}})
    write_record(asked, other)
    mirror.push(other)
    mirror.pull(run)
    assert read_record(run) == asked
    (there / "record.json").write_text("{}")
    with pytest.raises(DamagedRun, match=f"shared: runs/{run.name}/record.json: is not a record"):
        mirror.pull(run)
    mirror.push(run)
    assert read_record(there) == asked


def test_a_checkpoint_of_equal_size_and_other_content_is_mirrored(run: Path, tmp_path: Path) -> None:
    mirror, name = RunMirror(f"file://{tmp_path}/shared"), "checkpoints/merged_1.safetensors"
    mirror.push(run)
    there = tmp_path / "shared" / "runs" / run.name / name
    before = there.stat().st_mtime_ns
    mirror.push(run)
    assert there.stat().st_mtime_ns == before
    changed = bytes([*(run / name).read_bytes()[:-1], 7])
    (run / name).write_bytes(changed)
    record = read_record(run)
    results = [
        *record.results[:1],
        record.results[1].model_copy(update={"digests": {**record.results[1].digests, "merged": "other"}}),
    ]
    write_record(record.model_copy(update={"results": results}), run)
    mirror.push(run)
    assert there.read_bytes() == changed


def test_fsspec_schemes_work_too(run: Path) -> None:
    before = (run / "record.json").read_bytes()
    RunMirror("memory://codyra").push(run)
    (run / "record.json").unlink()
    RunMirror("memory://codyra").pull(run)
    assert (run / "record.json").read_bytes() == before


def test_no_storage_does_nothing_and_a_wrong_one_is_named(tmp_path: Path) -> None:
    RunMirror(None).push(tmp_path)
    RunMirror(None).pull(tmp_path / "x")
    with pytest.raises(ConfigError, match="storage: 'nope://x' cannot be opened"):
        RunMirror("nope://x").pull(tmp_path / "x")


@pytest.mark.parametrize("name", ["../../../escaped", "a/../../escaped", "/etc/escaped", "a//b", "a\\b"])
def test_names_that_lead_out_of_the_run_are_refused(name: str, tmp_path: Path) -> None:
    """An object store takes any name: whoever can write it would write any file of whoever reads it, or have it deleted."""
    import fsspec

    store = fsspec.filesystem("memory")
    place = f"/escapes-{tmp_path.name}/runs/run"
    for object_name in ("record.json", name):
        store.store[f"{place}/{object_name}"] = MemoryFile(store, f"{place}/{object_name}", b"{}")
    mirror, folder = RunMirror(f"memory://escapes-{tmp_path.name}"), tmp_path / "a" / "b" / "run"
    folder.mkdir(parents=True)
    (folder / "record.json").write_text("[]")
    for call in (mirror.pull, mirror.push):
        with pytest.raises(DataError, match="leads out of the run's folder"):
            call(folder)
    assert {path.name for path in tmp_path.rglob("*") if path.is_file()} == {"record.json"}
    assert (folder / "record.json").read_text() == "[]"


@pytest.mark.parametrize("uri", ["file:///proc/nowhere", "file:///dev/null/x", "gopher://x", "rel/path", "file://rel/path"])
def test_a_storage_that_cannot_be_used_is_one_sentence(uri: str, tmp_path: Path) -> None:
    for call in (RunMirror(uri).require_writable, lambda: RunMirror(uri).push(tmp_path)):
        (tmp_path / "record.json").write_text("{}")
        with pytest.raises(SuiteError, match=f"^storage: '{uri}' (cannot be|is relative)[^\n]*$"):
            call()


def test_a_storage_that_can_be_written_keeps_no_trace_of_the_try(tmp_path: Path) -> None:
    RunMirror(f"file://{tmp_path}/shared").require_writable()
    assert [path.name for path in (tmp_path / "shared").rglob("*")] == ["runs"]
