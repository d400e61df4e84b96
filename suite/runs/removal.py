"""A run's folder taken away whole: it is moved out of the store in one step, then removed, so that nobody ever sees half of a run."""

from __future__ import annotations

import secrets
import shutil
from pathlib import Path

from suite.errors import ConfigError
from suite.runs.locking import locked
from suite.runs.store import LOCK, RunStore

MOVED = ".deleted-"  # begins the name of a folder beside the store, on the same disk


def remove_run(store: RunStore, run_id: str) -> None:
    """Remove the folder of a run, and what a removal that was killed has left.

    Raises:
        ConfigError: a living process writes the run.
    """
    out = store.place.parent
    with locked(store.folder(run_id) / LOCK, lambda owner: _refuse(run_id, owner)):
        store.folder(run_id).rename(out / f"{MOVED}{run_id}-{secrets.token_hex(4)}")
    for moved in out.glob(f"{MOVED}*"):
        shutil.rmtree(moved, ignore_errors=True)


def require_unowned(store: RunStore, run_id: str) -> None:
    """Refuse a run that a living process writes.

    Raises:
        ConfigError: naming the process.
    """
    lock: Path = store.folder(run_id) / LOCK
    if lock.is_file():  # else nobody owns the folder
        with locked(lock, lambda owner: _refuse(run_id, owner)):
            pass


def _refuse(run_id: str, owner: str) -> None:
    raise ConfigError(f"run {run_id}: is not deleted, {owner} is at it; wait for its end or stop it first.")
