"""Tags and notes: plain words of bounded length beside the record, which stays as it is to the byte."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest

from suite.errors import ConfigError, DamagedRun
from suite.runs.labels import FILE, Labels, all_labels, change_labels, read_labels


@pytest.fixture
def folder(some_runs: Path) -> Path:
    return next(path for path in sorted((some_runs / "runs").iterdir()))


def test_labels_lie_beside_the_record_and_come_back(folder: Path) -> None:
    before = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    labels = Labels.checked(("paper", "Tabelle 2", "paper"), "<b>bold?</b>\nsecond line")
    assert change_labels(folder, lambda _: labels) == read_labels(folder) == labels
    assert labels.tags == ("paper", "Tabelle 2")
    after = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    assert after.pop(FILE) and after == before
    assert all_labels(folder.parent) == {folder.name: labels}
    change_labels(folder, lambda _: Labels())
    assert all_labels(folder.parent) == {}


@pytest.mark.parametrize(
    ("tags", "note", "reason"),
    [
        (("x" * 10_000,), "", "64 characters at most, this one has 10000"),
        (("a,b",), "", "is not a tag"),
        ((" ",), "", "is not a tag"),
        (("a\nb",), "", "is not a tag"),
        (("",), "", "is not a tag"),
        (tuple(map(str, range(33))), "", "32 tags at most, these are 33"),
        ((), "x" * 4001, "4000 characters at most, this one has 4001"),
        ((), "bell \a", "control characters"),
    ],
)
def test_what_is_no_label_is_one_short_sentence(tags: tuple[str, ...], note: str, reason: str) -> None:
    with pytest.raises(ConfigError, match=reason) as refused:
        Labels.checked(tags, note)
    assert len(str(refused.value)) < 200 and "\n" not in str(refused.value)


def test_two_that_change_labels_at_once_both_succeed(folder: Path) -> None:
    def add(tag: str, before: Labels) -> Labels:
        return Labels.checked((*before.tags, tag), before.note)

    names = [f"tag {number}" for number in range(24)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda name: change_labels(folder, partial(add, name)), names))
    assert sorted(read_labels(folder).tags) == sorted(names)
    assert [path.name for path in folder.iterdir() if path.name.startswith(".labels")] == []


def test_damaged_labels_are_named_and_hold_up_nobody_else(folder: Path) -> None:
    (folder / FILE).write_text('{"tags": 3}')
    with pytest.raises(DamagedRun, match=r"labels.json: cannot be read .* the run itself is whole"):
        read_labels(folder)
    assert all_labels(folder.parent) == {}
    with pytest.raises(DamagedRun, match="there is no record"):
        change_labels(folder.parent / "none", lambda before: before)
