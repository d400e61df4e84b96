"""Generated answers of a run, so that other scoring conventions can be computed without generating again."""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Mapping
from pathlib import Path

from suite.errors import DamagedRun
from suite.files import atomic_write

FILE = "generations.json.z"  # zlib-compressed JSON: key split/row/task -> answers in the order of the split


def answers_digest(texts: Mapping[str, list[str]], row: int) -> str:
    """sha256 over the answers given after ``row`` tasks."""
    given = {key: value for key, value in texts.items() if int(key.split("/")[1]) == row}
    return hashlib.sha256(json.dumps(given, sort_keys=True).encode()).hexdigest()


def write_generations(texts: dict[str, list[str]], folder: Path) -> None:
    """Write the file when there is anything to write."""
    if texts:
        atomic_write(folder / FILE, zlib.compress(json.dumps(texts, ensure_ascii=False).encode()))


def read_generations(folder: Path, rows: int) -> dict[str, list[str]]:
    """Answers of rows 0 to ``rows``; empty for a run that generated none.

    Raises:
        DamagedRun: the file is damaged.
    """
    path = folder / FILE
    if not path.is_file():
        return {}
    try:
        texts: dict[str, list[str]] = json.loads(zlib.decompress(path.read_bytes()))
    except (zlib.error, ValueError) as error:
        raise DamagedRun(f"{path}: is damaged ({error}); remove the run's folder and run again.") from None
    return {key: value for key, value in texts.items() if int(key.split("/")[1]) <= rows}
