"""Hashes of texts, of values and of files. The hash of a large file is kept, so that nothing is read twice to be named.

What is kept lies in small files of their own below ``cache_root()``, named after device, inode, size and the times of change
of the file they speak of. They are written whole or not at all, by any number of processes, and one that is damaged is
computed again; a file that was written, replaced or restored to an older time has another name there.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from suite.errors import DataError
from suite.files import atomic_write

READ_DIRECTLY = 1 << 20  # bytes; below, hashing a file costs no more than asking what is known of it
SETTLED_NS = 3_000_000_000  # a file changed more recently may change again without another time of change


def text_hash(parts: Iterable[str]) -> str:
    """sha256 over length-prefixed UTF-8 parts, so that no two lists share a hash by concatenation; 64 hex digits."""
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode("utf-8", "surrogatepass")
        digest.update(len(data).to_bytes(8, "big"))
        digest.update(data)
    return digest.hexdigest()


def canonical_hash(value: Any) -> str:
    """First 16 hex digits of the sha256 of ``value`` as JSON with sorted keys."""
    return text_hash([json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)])[:16]


def cache_root() -> Path:
    """``$CODYRA_SUITE_CACHE``, or ``codyra-suite`` in the user's cache folder; should be on a local disk."""
    named = os.environ.get("CODYRA_SUITE_CACHE")
    if named:
        return Path(named)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "codyra-suite"


def file_hash(path: Path) -> str:
    """sha256 over the bytes of a file, 64 hex digits; OSError when it cannot be read."""
    state = path.stat()
    if state.st_size < READ_DIRECTLY:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    newest = max(state.st_mtime_ns, state.st_ctime_ns)
    key = text_hash(map(str, (state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns, state.st_ctime_ns)))
    known = cache_root() / "hashes" / key[:2] / key[2:]
    found = _read(known, key)
    if found is None:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if time.time_ns() - newest > SETTLED_NS:
            _keep(known, key, found)
    return found


def files_hash(files: Iterable[Path], folder: Path) -> str:
    """Hash over names relative to ``folder`` and bytes of some files below it, in any order; 64 hex digits."""
    named = sorted((path.relative_to(folder).as_posix(), path) for path in files)
    return text_hash(part for name, path in named for part in (name, file_hash(path)))


def place_hash(path: Path) -> str:
    """Hash over the bytes of a file, or of all files below a folder with their names there, hidden ones left out."""
    if path.is_file():
        return file_hash(path)
    files = (file for file in path.rglob("*") if file.is_file())
    return files_hash((file for file in files if not any(part.startswith(".") for part in file.relative_to(path).parts)), path)


def _read(known: Path, key: str) -> str | None:
    """What is kept about ``key``; None when there is nothing, or nothing whole."""
    try:
        found, _, check = known.read_text(encoding="ascii").partition(" ")
    except (OSError, UnicodeDecodeError):
        return None
    return found if check == text_hash([key, found]) else None


def _keep(known: Path, key: str, found: str) -> None:
    """Keep ``found`` where that is possible; a cache that cannot be written costs time and nothing else."""
    with suppress(OSError, DataError):
        atomic_write(known, f"{found} {text_hash([key, found])}".encode("ascii"))
