"""Per-example outcomes of a run, stored compactly: bits for right/wrong, float16 for graded scores.

One ``outcomes.rows`` per run (``suite.runs.row_file``). The content of a row is zlib-compressed: a line of JSON, a list of [split, task,
examples, ``bits`` or a number type] for each cell, then the cells' bytes one after the other. Ids are not repeated: the record's item
digests say which examples, in which order, and equal digests make two runs comparable example by example.

Runs of before have ``outcomes.npz``, an array per split, row and task (``test/3/1/bits``); they are read as they are.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from suite.errors import DamagedRun
from suite.runs.row_file import RowFile, block, contents

OUTCOMES = "outcomes.rows"
FORMER = "outcomes.npz"
FILE = RowFile(OUTCOMES, FORMER)
Scores = NDArray[np.float32]
Key = tuple[str, int, int]  # split, row, task


def pack(outcomes: Mapping[Key, Scores], graded: type[np.floating[Any]] = np.float16) -> bytes:
    """The bytes of ``outcomes``, a block per row; scores are 0 to 100, those that are not 0 or 100 are kept as ``graded``."""
    return b"".join(_blocks(outcomes, graded))


def _blocks(outcomes: Mapping[Key, Scores], graded: type[np.floating[Any]]) -> Iterator[bytes]:
    for row in sorted({row for _, row, _ in outcomes}):
        yield block(row, _content(row, outcomes, graded))


def _content(row: int, outcomes: Mapping[Key, Scores], graded: type[np.floating[Any]] = np.float16) -> bytes:
    """What the block of a row holds."""
    cells, parts = [], []
    for split, _, task in sorted(key for key in outcomes if key[1] == row):
        scores = outcomes[split, row, task]
        is_right_or_wrong = np.isin(scores, (0.0, 100.0)).all()
        cells.append([split, task, len(scores), "bits" if is_right_or_wrong else np.dtype(graded).name])
        parts.append(np.packbits(scores == 100.0) if is_right_or_wrong else scores.astype(graded))
    return zlib.compress(json.dumps(cells).encode() + b"\n" + b"".join(part.tobytes() for part in parts))


def unpack(data: bytes, *, where: str, row: int | None = None) -> dict[Key, Scores]:
    """Inverse of ``pack`` (graded scores to the precision they were kept in); with ``row`` only what was measured after so many tasks.

    Of two blocks of one row the later one counts; what follows the last whole block is left out.

    Raises:
        DamagedRun: not an outcomes file.
    """
    try:
        if data.startswith(b"PK"):
            return _of_arrays(data, row)
        blocks = contents(data)
        wanted = blocks if row is None else {row} & blocks.keys()
        return {key: scores for number in wanted for key, scores in _cells(number, blocks[number])}
    except (ValueError, OSError, EOFError, KeyError, TypeError, zipfile.BadZipFile, zlib.error) as error:
        reason = str(error).partition(".")[0]
        raise DamagedRun(f"{where}: is not an outcomes file ({reason}); remove the run's folder and run again.") from None


def _cells(row: int, content: bytes) -> Iterator[tuple[Key, Scores]]:
    line, _, numbers = zlib.decompress(content).partition(b"\n")
    start = 0
    for split, task, count, kind in json.loads(line):
        dtype = np.dtype(np.uint8 if kind == "bits" else kind)
        found = np.frombuffer(numbers, dtype, -(-count // 8) if kind == "bits" else count, start)
        start += found.nbytes
        if kind == "bits":
            found = np.unpackbits(found, count=count) * np.float32(100.0)
        yield (split, row, task), found.astype(np.float32)


def _of_arrays(data: bytes, row: int | None) -> dict[Key, Scores]:
    """What a file of before holds."""
    with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
        names = [name for name in arrays.files if not name.endswith("/count")]
        return {_key(name): _scores(name, arrays) for name in names if row is None or _key(name)[1] == row}


def outcomes_digest(outcomes: Mapping[Key, Scores], row: int) -> str:
    """sha256 over what was measured after ``row`` tasks, at the precision that is stored."""
    digest = hashlib.sha256()
    for key in sorted(key for key in outcomes if key[1] == row):
        data = outcomes[key].astype(np.float16).tobytes()
        digest.update(f"{'/'.join(map(str, key))}\0{len(data)}\0".encode() + data)
    return digest.hexdigest()


def write_outcomes(outcomes: Mapping[Key, Scores], folder: Path, graded: type[np.floating[Any]] = np.float16) -> Path:
    """Write the whole file into ``folder`` atomically and return its path."""
    return FILE.write(folder, _blocks(outcomes, graded))


def append_outcomes(outcomes: Mapping[Key, Scores], folder: Path, row: int) -> Path:
    """Add what was measured after ``row`` tasks to the file in ``folder``; see ``RowFile.append``. ``outcomes`` holds earlier rows too."""
    return FILE.append(folder, row, lambda number: _content(number, outcomes))


def stored_outcomes(folder: Path) -> Path | None:
    """The outcomes file of a run's folder, of today's form or of the one before; None where there is neither."""
    return FILE.find(folder)


def read_outcomes(folder: Path) -> dict[Key, Scores]:
    """All outcomes of a run's folder."""
    path = stored_outcomes(folder)
    if path is None:
        raise DamagedRun(f"{folder / OUTCOMES}: no outcomes there; the run stored none or was not finished.")
    return unpack(path.read_bytes(), where=str(path))


def _key(name: str) -> Key:
    split, row, task, _ = name.split("/")
    return split, int(row), int(task)


def _scores(name: str, arrays: Mapping[str, NDArray[np.generic]]) -> Scores:
    if name.endswith("/bits"):
        count = int(arrays[name.removesuffix("bits") + "count"][0])
        bits = np.unpackbits(np.asarray(arrays[name], dtype=np.uint8), count=count)
        return bits.astype(np.float32) * np.float32(100.0)
    return np.asarray(arrays[name]).astype(np.float32)
