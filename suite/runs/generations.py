"""Generated answers of a run, so that other scoring conventions can be computed without generating again.

One ``generations.rows`` per run that generated any (``suite.runs.row_file``). The content of a row is zlib-compressed JSON: key
split/row/task -> answers in the order of the split. Runs of before have ``generations.json.z``, the same for all rows together.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Mapping
from pathlib import Path

from suite.errors import DamagedRun
from suite.runs.row_file import RowFile, block, contents

GENERATIONS = "generations.rows"
FORMER = "generations.json.z"
FILE = RowFile(GENERATIONS, FORMER)
Texts = Mapping[str, list[str]]


def answers_digest(texts: Texts, row: int) -> str:
    """sha256 over the answers given after ``row`` tasks."""
    return hashlib.sha256(json.dumps(_of_row(texts, row), sort_keys=True).encode()).hexdigest()


def write_generations(texts: Texts, folder: Path) -> None:
    """Write the whole file atomically, when there is anything to write."""
    if texts:
        FILE.write(folder, (block(row, _content(texts, row)) for row in sorted({row_of(key) for key in texts})))


def append_generations(texts: Texts, folder: Path, row: int) -> None:
    """Add what was answered after ``row`` tasks to the file in ``folder``; see ``RowFile.append``. ``texts`` holds earlier rows too.

    A run that has answered nothing so far gets no file.
    """
    if texts:
        FILE.append(folder, row, lambda number: _content(texts, number))


def stored_generations(folder: Path) -> Path | None:
    """The answers of a run's folder, of today's form or of the one before; None where there is neither."""
    return FILE.find(folder)


def read_generations(folder: Path, rows: int) -> dict[str, list[str]]:
    """Answers of rows 0 to ``rows``; empty for a run that generated none.

    Raises:
        DamagedRun: the file is damaged.
    """
    path = stored_generations(folder)
    if path is None:
        return {}
    try:
        data = path.read_bytes()
        parts = [data] if path.name == FORMER else [part for row, part in contents(data).items() if row <= rows]
        texts: dict[str, list[str]] = {key: value for part in parts for key, value in json.loads(zlib.decompress(part)).items()}
    except (zlib.error, ValueError) as error:
        raise DamagedRun(f"{path}: is damaged ({error}); remove the run's folder and run again.") from None
    return {key: value for key, value in texts.items() if row_of(key) <= rows}


def row_of(key: str) -> int:
    """The row of a key ``split/row/task``."""
    return int(key.split("/")[1])


def _of_row(texts: Texts, row: int) -> dict[str, list[str]]:
    return {key: value for key, value in texts.items() if row_of(key) == row}


def _content(texts: Texts, row: int) -> bytes:
    """What the block of a row holds."""
    return zlib.compress(json.dumps(_of_row(texts, row), ensure_ascii=False).encode())
