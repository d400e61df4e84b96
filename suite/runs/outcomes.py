"""Per-example outcomes of a run, stored compactly: bits for right/wrong, float16 for graded scores.

One ``outcomes.npz`` per run with an array per split, row and task (key ``test/3/1`` = row 3, task 1): uint8 from
``numpy.packbits`` plus the count for accuracies, float16 otherwise. Ids are not repeated: the record's item digests say
which examples, in which order, and equal digests make two runs comparable example by example.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from suite.errors import DamagedRun
from suite.files import atomic_write

OUTCOMES = "outcomes.npz"
Scores = NDArray[np.float32]
Key = tuple[str, int, int]  # split, row, task


def pack(outcomes: Mapping[Key, Scores], graded: type[np.floating[Any]] = np.float16) -> bytes:
    """Compressed npz bytes of ``outcomes``; scores are 0 to 100, those that are not 0 or 100 are kept as ``graded``."""
    arrays: dict[str, NDArray[np.generic]] = {}
    for (split, row, task), scores in outcomes.items():
        name = f"{split}/{row}/{task}"
        if np.isin(scores, (0.0, 100.0)).all():
            arrays[f"{name}/bits"] = np.packbits(scores == 100.0)
            arrays[f"{name}/count"] = np.array([len(scores)], dtype=np.int32)
        else:
            arrays[f"{name}/scores"] = scores.astype(graded)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]
    return buffer.getvalue()


def unpack(data: bytes, *, where: str, row: int | None = None) -> dict[Key, Scores]:
    """Inverse of ``pack`` (graded scores to the precision they were kept in); with ``row`` only what was measured after so many tasks.

    Raises:
        DamagedRun: not an outcomes file.
    """
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            names = [name for name in arrays.files if not name.endswith("/count")]
            return {_key(name): _scores(name, arrays) for name in names if row is None or _key(name)[1] == row}
    except (ValueError, OSError, EOFError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        reason = str(error).partition(".")[0]
        raise DamagedRun(f"{where}: is not an outcomes file ({reason}); remove the run's folder and run again.") from None


def outcomes_digest(outcomes: Mapping[Key, Scores], row: int) -> str:
    """sha256 over what was measured after ``row`` tasks, at the precision that is stored."""
    digest = hashlib.sha256()
    for key in sorted(key for key in outcomes if key[1] == row):
        data = outcomes[key].astype(np.float16).tobytes()
        digest.update(f"{'/'.join(map(str, key))}\0{len(data)}\0".encode() + data)
    return digest.hexdigest()


def write_outcomes(outcomes: Mapping[Key, Scores], folder: Path, graded: type[np.floating[Any]] = np.float16) -> Path:
    """Write ``outcomes.npz`` into ``folder`` atomically and return its path."""
    path = folder / OUTCOMES
    atomic_write(path, pack(outcomes, graded))
    return path


def read_outcomes(folder: Path) -> dict[Key, Scores]:
    """All outcomes of a run's folder."""
    path = folder / OUTCOMES
    if not path.is_file():
        raise DamagedRun(f"{path}: no outcomes there; the run stored none or was not finished.")
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
