"""A run goes whole or stays whole, and never from under a process that writes it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from suite.errors import ConfigError
from suite.runs.removal import MOVED, remove_run, require_unowned
from suite.runs.store import RunStore


def test_a_run_that_a_process_writes_stays(some_runs: Path) -> None:
    store = RunStore(some_runs)
    run_id = store.all().runs[0].record.run_id
    with store.alone(run_id):
        for refuse in (require_unowned, remove_run):
            with pytest.raises(ConfigError, match=rf"run {run_id}: is not deleted, process \d+ on .* is at it"):
                refuse(store, run_id)
    require_unowned(store, run_id)
    assert store.open(run_id) is not None


def test_a_removal_that_was_killed_leaves_no_half_run(some_runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = RunStore(some_runs)
    one, other = (run.record.run_id for run in store.all().runs)
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", _killed)
        with pytest.raises(KeyboardInterrupt):
            remove_run(store, one)
    assert [run.record.run_id for run in store.all().runs] == [other] and not store.all().damaged
    assert list(some_runs.glob(f"{MOVED}*"))
    remove_run(store, other)
    assert not list(some_runs.glob(f"{MOVED}*")) and not store.all().runs


def _killed(*_: object, **__: object) -> None:
    raise KeyboardInterrupt
