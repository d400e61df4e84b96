"""Per-example outcomes of a run, stored compactly: bits for right/wrong, float16 for graded scores.

One ``outcomes.rows`` per run, to which every row of the matrices is appended as one block, so that a task writes its own scores and
nothing twice. A block is a header (mark, row, bytes and CRC-32 of what follows) and zlib-compressed content: a line of JSON, a list
of [split, task, examples, ``bits`` or a number type] for each cell, then the cells' bytes one after the other. What a killed process
has left behind the last whole block is no row and is cut off by the next one that is appended. Ids are not repeated: the record's
item digests say which examples, in which order, and equal digests make two runs comparable example by example.

Runs of before have ``outcomes.npz``, an array per split, row and task (``test/3/1/bits``); they are read as they are.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from suite.errors import DamagedRun
from suite.files import atomic_write

OUTCOMES = "outcomes.rows"
FORMER = "outcomes.npz"
MARK = b"ROW\n"
HEADER = struct.Struct(">4sIII")  # mark, row, bytes and CRC-32 of the content
Scores = NDArray[np.float32]
Key = tuple[str, int, int]  # split, row, task


class _Block(NamedTuple):
    row: int
    content: bytes


def pack(outcomes: Mapping[Key, Scores], graded: type[np.floating[Any]] = np.float16) -> bytes:
    """The bytes of ``outcomes``, a block per row; scores are 0 to 100, those that are not 0 or 100 are kept as ``graded``."""
    rows = sorted({row for _, row, _ in outcomes})
    return b"".join(_packed(row, {key: found for key, found in outcomes.items() if key[1] == row}, graded) for row in rows)


def _packed(row: int, outcomes: Mapping[Key, Scores], graded: type[np.floating[Any]]) -> bytes:
    cells, parts = [], []
    for (split, _, task), scores in sorted(outcomes.items()):
        is_right_or_wrong = np.isin(scores, (0.0, 100.0)).all()
        cells.append([split, task, len(scores), "bits" if is_right_or_wrong else np.dtype(graded).name])
        parts.append(np.packbits(scores == 100.0) if is_right_or_wrong else scores.astype(graded))
    content = zlib.compress(json.dumps(cells).encode() + b"\n" + b"".join(part.tobytes() for part in parts))
    return HEADER.pack(MARK, row, len(content), zlib.crc32(content)) + content


def unpack(data: bytes, *, where: str, row: int | None = None) -> dict[Key, Scores]:
    """Inverse of ``pack`` (graded scores to the precision they were kept in); with ``row`` only what was measured after so many tasks.

    Of two blocks of one row the later one counts; what follows the last whole block is left out.

    Raises:
        DamagedRun: not an outcomes file.
    """
    try:
        if data.startswith(b"PK"):
            return _of_arrays(data, row)
        blocks = {block.row: block.content for block in _blocks(data)}
        if not blocks:
            raise ValueError("it has no whole block")
        wanted = blocks if row is None else {row} & blocks.keys()
        return {key: scores for number in wanted for key, scores in _cells(number, blocks[number])}
    except (ValueError, OSError, EOFError, KeyError, TypeError, zipfile.BadZipFile, zlib.error) as error:
        reason = str(error).partition(".")[0]
        raise DamagedRun(f"{where}: is not an outcomes file ({reason}); remove the run's folder and run again.") from None


def _blocks(data: bytes) -> Iterator[_Block]:
    """The whole blocks from the beginning on."""
    start = 0
    while start + HEADER.size <= len(data):
        mark, row, size, checksum = HEADER.unpack_from(data, start)
        content = data[start + HEADER.size : start + HEADER.size + size]
        if mark != MARK or len(content) < size or zlib.crc32(content) != checksum:
            return
        yield _Block(row, content)
        start += HEADER.size + size


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
    path = folder / OUTCOMES
    atomic_write(path, pack(outcomes, graded))
    (folder / FORMER).unlink(missing_ok=True)
    return path


def append_outcomes(outcomes: Mapping[Key, Scores], folder: Path, row: int) -> Path:
    """Add what was measured after ``row`` tasks to the file in ``folder``, in the place of what follows the rows before it there.

    Where the file lacks one of them, as in the folder of a run of before, it is written anew from ``outcomes``, which holds them all.

    Raises:
        OSError: the disk is full or broken; the rows before are still there.
    """
    path = folder / OUTCOMES
    end = _end_before(path, row)
    if end is None:
        return write_outcomes(outcomes, folder)
    block = _packed(row, {key: found for key, found in outcomes.items() if key[1] == row}, np.float16)
    try:
        with path.open("r+b") as file:
            file.truncate(end)
            file.seek(end)
            try:
                file.write(block)
                file.flush()
                os.fsync(file.fileno())
            except BaseException:
                with suppress(OSError):
                    file.truncate(end)
                raise
    except OSError as error:
        error.filename = error.filename or str(path)
        raise
    return path


def _end_before(path: Path, row: int) -> int | None:
    """Where block ``row`` of a file begins or is to begin; None if the blocks before it are not those of rows 0 to ``row`` - 1.

    Headers alone are read: their contents were whole when the next one was appended, and are checked whenever they are read.
    """
    if row == 0 or not path.is_file():
        return None
    end, length = 0, path.stat().st_size
    with path.open("rb") as file:
        for number in range(row):
            file.seek(end)
            header = file.read(HEADER.size)
            if len(header) < HEADER.size:
                return None
            mark, found, size, _ = HEADER.unpack(header)
            end += HEADER.size + size
            if mark != MARK or found != number or end > length:
                return None
    return end


def stored_outcomes(folder: Path) -> Path | None:
    """The outcomes file of a run's folder, of today's form or of the one before; None where there is neither."""
    return next((path for path in (folder / OUTCOMES, folder / FORMER) if path.is_file()), None)


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
