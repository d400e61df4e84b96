"""Lock files: one process at a time, on one machine and on shared folders that carry locks; a killed process lets go."""

from __future__ import annotations

import fcntl
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO


def this_process() -> str:
    """As the owner of a lock is called in messages."""
    return f"process {os.getpid()} on {socket.gethostname()}"


@contextmanager
def locked(place: Path, wait: Callable[[str], None]) -> Iterator[TextIO]:
    """The open, locked file ``place``; whoever had it before may have removed it and its folder in the meantime.

    ``wait`` is told the file's second line, by which its owner is called, before it is waited for.
    """
    while True:
        with suppress(
            FileExistsError
        ):  # removed while ``mkdir`` was looking at it; what is no folder is told when it is opened
            place.parent.mkdir(parents=True, exist_ok=True)
        try:
            lock = place.open("a+", encoding="utf-8")
        except FileNotFoundError:
            if place.parent.is_symlink():
                raise
            continue
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                lock.seek(0)
                wait(lock.read().partition("\n")[2] or "another process")
                fcntl.flock(lock, fcntl.LOCK_EX)
            if _is_at(place, lock):
                yield lock
                return


def write_lock(lock: TextIO, first: str, owner: str) -> None:
    """Put two lines into a file that is locked."""
    lock.truncate(0)
    lock.write(f"{first}\n{owner}")
    lock.flush()


def _is_at(place: Path, file: TextIO) -> bool:
    try:
        return os.path.samestat(place.stat(), os.fstat(file.fileno()))
    except FileNotFoundError:
        return False
