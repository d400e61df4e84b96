"""A run's folder taken away whole: it is moved out of the store in one step, then removed, so that nobody ever sees half of a run.

The ``.lock`` of a run that has ended stays until then. It is no sign of an owner, which the kernel's lock on it is, and a killed process lets
that go. Its first line says which attempt owned the folder last: a driver whose worker has died looks for it in the folders of all runs
(``RunStore.attempted``), finds what the run had stopped or failed with by that alone, and would break off on a file that the end of
another run takes away between its listing and its reading.
"""

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
