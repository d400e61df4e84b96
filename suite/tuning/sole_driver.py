"""One driver per study or tuning: it holds the trials in memory, so a second one at the same time would not see what the first writes."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from suite.errors import ConfigError
from suite.runs.locking import this_process

LOCK = ".driver"


@contextmanager
def sole_driver(folder: Path, name: str, kind: Literal["study", "tuning"] = "study") -> Iterator[None]:
    """Own the study or tuning in ``folder``, which is made, until the end or until this process dies.

    Raises:
        ConfigError: another process owns it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / LOCK).open("a+", encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            owner = lock.read() or "another process"
            raise ConfigError(
                f"{kind} '{name}': {owner} carries it out at the moment; wait for its end or stop it, then add --resume."
            ) from None
        lock.truncate(0)
        lock.write(this_process())
        lock.flush()
        yield


def require_undriven(folder: Path, what: str) -> None:
    """Refuse ``what`` while a living process carries out the study or tuning in ``folder``.

    Raises:
        ConfigError: naming the process.
    """
    if not (folder / LOCK).is_file():
        return
    with (folder / LOCK).open("r+", encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConfigError(f"{what} ({lock.read() or 'another process'}); wait for its end or stop it first.") from None
