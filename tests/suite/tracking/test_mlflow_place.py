"""Tracking URIs under which nothing would be kept, or something else would be overwritten: refused before anything is done."""

from __future__ import annotations

from pathlib import Path

import pytest

from suite.errors import ConfigError
from suite.tracking.delivery import open_delivery
from suite.tracking.spool import Spool
from suite.tracking.trackers import tracker_for
from suite.workflows.tracking import say_waiting
from tests.suite.workflows.test_python_api import Notebook


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("sqlite://", "names no file that would be kept"),
        ("sqlite:///", "names no file that would be kept"),
        ("sqlite:///:memory:", "names no file that would be kept"),
        ("sqlite+pysqlite://", "names no file that would be kept"),
        ("sqlite:mlflow.db", "names no file that would be kept"),
        ("none:x", "'none' takes nothing behind it"),
        ("", "names no tracker"),
        ("http://", "names no server"),
        ("https://:443", "names no server"),
    ],
)
def test_a_uri_that_keeps_nothing_is_refused(uri: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        tracker_for(uri, tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_file_that_is_no_database_is_left_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / "notes.txt"
    file.write_bytes(b"mine")  # SQLite took it for an empty database
    with pytest.raises(ConfigError, match=r"cannot be used \(file is not a database\) and is left as it is"):
        open_delivery(f"sqlite:///{file}", tmp_path / "out")
    assert file.read_bytes() == b"mine"


def test_what_waits_is_said_for_the_tracker_in_use(tmp_path: Path) -> None:
    Spool.of(tmp_path, "mlflow").hold_run("0123", "Connection refused")
    for uri, count in (("none", 0), ("tensorboard:events", 0), (None, 1)):
        watcher = Notebook()
        say_waiting(tracker_for(uri, tmp_path), watcher)
        assert len(watcher.said) == count, uri
