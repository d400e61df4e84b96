"""Published folders: what is in them, what a reader is told of one that was altered, and how those of several groups are merged."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from suite.config import RunConfig
from suite.errors import ConfigError, SuiteError
from suite.runs.finding import find_run
from suite.runs.labels import FILE as LABELS
from suite.runs.labels import Labels, change_labels
from suite.runs.outcomes import OUTCOMES
from suite.runs.publication import MANIFEST, copy_run, read_publication
from suite.runs.record import RECORD, SEAL, Record, sealed
from suite.runs.store import RunStore
from suite.workflows import publishing
from suite.workflows.merging import merge
from suite.workflows.publishing import publish, verify
from suite.workflows.run_rows import run_table
from suite.workflows.tables import leaderboard
from trainables.run import RunContext, execute


@pytest.fixture
def published(
    make_config: Callable[..., RunConfig], run_context: RunContext, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[Record, Path]:
    """One run with a note that holds HTML, published without a report, whose pictures take seconds."""
    monkeypatch.setattr(publishing, "MOST_REPORTED", 0)
    record = execute(make_config("zero-shot"), run_context)
    change_labels(RunStore(run_context.out).folder(record.run_id), lambda _: Labels(tags=("paper",), note="<b>ours</b>"))
    publish(tmp_path / "ours", group="ours", out=run_context.out, tracking="none")
    return record, tmp_path / "ours"


def said(folder: Path) -> str:
    """All that ``verify`` finds in a folder."""
    return "; ".join(fault for one in verify(folder) for fault in one.faults)


def other_numbers(record: Record, source: Path, folder: Path) -> None:
    """The same run in a published folder of another group, with outcomes turned round and a record that fits them."""
    shutil.copytree(source, folder)
    store = RunStore(folder)
    run = store.open(record.run_id)
    assert run is not None
    outcomes = {key: 100 - scores for key, scores in run.outcomes().items()}
    cells = {
        split: [[float(outcomes[split, row, task].mean()) for task in range(len(record.tasks))] for row in range(len(rows))]
        for split, rows in (("test", record.test), ("validation", record.validation))
    }
    shutil.rmtree(run.folder)
    store.note_all(record.model_copy(update=cells), outcomes, {})
    manifest = json.loads((folder / MANIFEST).read_text())
    promised = manifest["runs"][record.run_id]
    promised |= {"groups": ["theirs"], "files": copy_run(run.folder, run.folder)}
    (folder / MANIFEST).write_text(json.dumps(manifest))


def resealed(folder: Path, run_id: str, change: Callable[[dict[str, Any]], object]) -> None:
    """Rewrite a published record with new checksums, as whoever makes up numbers would."""
    file = folder / "runs" / run_id / RECORD
    fields = json.loads(file.read_text())
    change(fields)
    file.write_bytes(sealed({key: value for key, value in fields.items() if key != SEAL}))
    manifest = json.loads((folder / MANIFEST).read_text())
    manifest["runs"][run_id]["files"] = copy_run(file.parent, file.parent)
    (folder / MANIFEST).write_text(json.dumps(manifest))


NO_RUN_WRITES: list[tuple[str, Callable[[dict[str, Any]], object]]] = [
    ("names no method", lambda fields: fields["config"]["method"].pop("name")),
    ("names no method", lambda fields: fields["config"].update(method=None)),
    ("no training or no seed", lambda fields: fields["config"].pop("seed")),
    ("different numbers of rows", lambda fields: fields.update(validation=[])),
    ("tasks wide", lambda fields: fields["test"][0].pop()),
    ("not those of its tasks", lambda fields: fields["results"][1].update(row=7)),
    ("it names no metric", lambda fields: fields.update(metrics=[])),
    ("the examples of every task", lambda fields: fields["item_digests"].update(test=[])),
    ("config_hash differs", lambda fields: fields["config"]["training"].update(lr=3.0)),
    ("what no config can hold", lambda fields: fields["config"]["training"].update(lr=float("nan"))),
    ("settings_hash differs", lambda fields: fields.update(settings_hash="0" * 16)),
    ("outcomes without a cell: test of", lambda fields: fields["test"][-1].__setitem__(0, None)),
]


def test_a_published_folder_is_verified_and_gives_the_same_board(
    published: tuple[Record, Path], run_context: RunContext
) -> None:
    record, folder = published
    assert [(one.run_id, one.faults) for one in verify(folder)] == [(record.run_id, [])]
    assert [one.faults for one in verify(run_context.out)] == [[]]  # an output folder may be checked too
    ours, theirs = (leaderboard(out=out, tracking="none") for out in (run_context.out, folder))
    assert ours.to_csv() == theirs.to_csv() == merge([folder]).frame.to_csv()
    page = (folder / "index.html").read_text()
    assert "&lt;b&gt;ours&lt;/b&gt;" in page and "<b>ours" not in page
    assert f"codyra-suite repeat {record.run_id} --out ." in page and f"runs/{record.run_id}/record.json" in page
    table = run_table(out=folder)
    assert table.loc[0, ["run_id", "zscl.last"]].tolist() == [record.run_id, ours.loc[0, "zscl.last"]]
    publish(folder, group="ours", out=run_context.out, tracking="none")  # again, into its own folder
    assert said(folder) == ""


def test_what_was_altered_is_named_and_on_no_board(published: tuple[Record, Path], tmp_path: Path) -> None:
    record, folder = published
    for number, (fault, change) in enumerate(NO_RUN_WRITES):
        altered = shutil.copytree(folder, tmp_path / str(number))
        resealed(altered, record.run_id, change)
        assert fault in said(altered)
        with pytest.raises(ConfigError, match="no run of 1 folder can be believed"):
            merge([altered])
    for read in (
        lambda: leaderboard(out=tmp_path / "0", tracking="none"),
        lambda: find_run(RunStore(tmp_path / "0"), record.run_id),
    ):
        with pytest.raises(SuiteError, match="is not a record that a run wrote"):  # nor does any other reader trip over it
            read()
    run = folder / "runs" / record.run_id
    whole = (run / RECORD).read_text()
    (run / RECORD).write_text(whole.replace('"finished"', '"stopped"', 1))
    assert "record.json is not the file that was published" in said(folder) and "its checksum differs" in said(folder)
    with pytest.raises(ConfigError, match="no run of 1 folder can be believed"):
        merge([folder])
    (run / RECORD).write_text(whole)
    (run / LABELS).write_text(json.dumps({"tags": ["x" * 10_000], "note": ""}))
    assert "it holds no tags and note" in said(folder)
    (run / "more.txt").write_text("")
    (run / OUTCOMES).unlink()
    (run / OUTCOMES).symlink_to("/etc/hostname")
    assert "outcomes.rows is a link" in said(folder) and "more.txt was not published" in said(folder)


def test_folders_of_another_kind_are_refused(published: tuple[Record, Path], tmp_path: Path, run_context: RunContext) -> None:
    _, folder = published
    for group in ("", "g" * 65, "a\u202eb", "two\nlines", " g"):
        with pytest.raises(ConfigError, match="is no name for a group"):
            publish(tmp_path / "new", group=group, out=run_context.out, tracking="none")
    assert not (tmp_path / "new").exists()
    with pytest.raises(ConfigError, match="is the folder of these runs itself"):
        publish(folder, group="ours", out=folder, tracking="none")
    manifest = folder / MANIFEST
    manifest.write_text(manifest.read_text().replace('"schema_version": 1', '"schema_version": 99'))
    for act in (
        lambda: merge([folder]),
        lambda: verify(folder),
        lambda: publish(folder, group="g", out=run_context.out, tracking="none"),
    ):
        with pytest.raises(ConfigError, match="has schema '99', this suite reads 1"):
            act()
    manifest.write_text('{"schema_version": 1, "suite": "1", "made_at": "2026-01-01T00:00:00Z", "runs": {"../x": {}}}')
    with pytest.raises(ConfigError, match="runs"):
        read_publication(folder)
    with pytest.raises(ConfigError, match="is not a published folder"):
        merge([tmp_path])
    manifest.unlink()
    os.mkfifo(manifest)
    with pytest.raises(ConfigError, match="is no file"):  # and nobody waits for it
        verify(folder)
    manifest.unlink()
    manifest.symlink_to(MANIFEST)
    for act in (lambda: verify(folder), lambda: merge([folder])):
        with pytest.raises(ConfigError, match="is a link that leads nowhere"):
            act()
    manifest.unlink()
    with manifest.open("wb") as file:
        file.truncate(2**28 + 1)
    with pytest.raises(ConfigError, match="at most 256 can be read"):
        merge([folder])
    with pytest.raises(ConfigError, match="holds something else than published runs"):
        publish(run_context.out, group="g", out=run_context.out, tracking="none")


def test_what_was_not_published_there_is_never_deleted(
    published: tuple[Record, Path], make_config: Callable[..., RunConfig], run_context: RunContext, tmp_path: Path
) -> None:
    """A published folder is an output folder: a run that was trained in it is its owner's alone."""
    _, folder = published
    mine = execute(make_config("zero-shot", seed=1), replace(run_context, out=folder))
    for act in (
        lambda: publish(folder, group="ours", out=run_context.out, tracking="none"),
        lambda: merge([shutil.copytree(folder, tmp_path / "copy", dirs_exist_ok=True)], to=folder),
    ):
        with pytest.raises(ConfigError, match=rf"holds runs that were not published there \({mine.run_id}\)"):
            act()
    with pytest.raises(ConfigError, match="is one of the folders that are merged"):
        merge([folder], to=folder)
    assert RunStore(folder).records([mine.run_id])


def test_two_groups_with_other_numbers_of_one_run_are_a_conflict(published: tuple[Record, Path], tmp_path: Path) -> None:
    record, folder = published
    other_numbers(record, folder, tmp_path / "theirs")
    assert said(tmp_path / "theirs") == ""  # each of the two is whole
    shutil.copytree(folder, tmp_path / "copy")
    with pytest.raises(ConfigError, match="can be believed"):
        merge([folder, tmp_path / "theirs"])
    ranks = shutil.copytree(folder, tmp_path / "ranks")
    resealed(ranks, record.run_id, lambda fields: fields["results"][1].update(offered_rank=99))
    assert said(ranks) == ""
    with pytest.raises(ConfigError, match="can be believed"):  # equal accuracy is not enough
        merge([folder, ranks])
    both = merge([folder, tmp_path / "copy"], to=tmp_path / "both")
    assert len(both.frame) == 1 and both.groups == {record.run_id: ("ours",)}
    assert said(tmp_path / "both") == ""
