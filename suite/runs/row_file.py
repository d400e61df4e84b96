"""A file of a run's folder to which every row of the matrices is appended as one block, so that a task writes its own and nothing twice.

A block is a header (mark, row, bytes and CRC-32 of what follows) and the row's content. What a killed process has left behind the last
whole block is no row and is cut off by the next one that is appended. Of two blocks of one row the later one counts.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from suite.files import atomic_write

MARK = b"ROW\n"
HEADER = struct.Struct(">4sIII")  # mark, row, bytes and CRC-32 of the content


@dataclass(frozen=True)
class RowFile:
    """Where the blocks of one kind lie in a run's folder.

    Attributes:
        name: of the file.
        former: name of the file that runs of before have in its place; it goes when the new one is written.
    """

    name: str
    former: str

    def find(self, folder: Path) -> Path | None:
        """The file of a run's folder, of today's form or of the one before; None where there is neither."""
        return next((path for path in (folder / self.name, folder / self.former) if path.is_file()), None)

    def write(self, folder: Path, blocks: Iterable[bytes]) -> Path:
        """Write the whole file into ``folder`` atomically and return its path."""
        path = folder / self.name
        atomic_write(path, b"".join(blocks))
        (folder / self.former).unlink(missing_ok=True)
        return path

    def append(self, folder: Path, row: int, content: Callable[[int], bytes]) -> Path:
        """Add ``content(row)`` to the file in ``folder``, in the place of what follows the rows before it there.

        Where the file lacks one of them, as in the folder of a run of before, it is written anew with the contents of rows 0 to ``row``.

        Raises:
            OSError: the disk is full or broken; the rows before are still there.
        """
        path = folder / self.name
        end = _end_before(path, row)
        if end is None:
            return self.write(folder, (block(number, content(number)) for number in range(row + 1)))
        try:
            _put_at(path, end, block(row, content(row)))
        except OSError as error:
            error.filename = error.filename or str(path)
            raise
        return path


def block(row: int, content: bytes) -> bytes:
    """The bytes of one row."""
    return HEADER.pack(MARK, row, len(content), zlib.crc32(content)) + content


def contents(data: bytes) -> dict[int, bytes]:
    """Row -> content of the whole blocks of a file, from its beginning on; what follows the last one is left out.

    Raises:
        ValueError: there is none.
    """
    found: dict[int, bytes] = {}
    start = 0
    while start + HEADER.size <= len(data):
        mark, row, size, checksum = HEADER.unpack_from(data, start)
        content = data[start + HEADER.size : start + HEADER.size + size]
        if mark != MARK or len(content) < size or zlib.crc32(content) != checksum:
            break
        found[row] = content
        start += HEADER.size + size
    if not found:
        raise ValueError("it has no whole block")
    return found


def _put_at(path: Path, end: int, data: bytes) -> None:
    with path.open("r+b") as file:
        file.truncate(end)
        file.seek(end)
        try:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        except BaseException:
            with suppress(OSError):
                file.truncate(end)
            raise


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
