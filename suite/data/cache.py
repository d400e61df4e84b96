"""Decoded images on disk: one file of uint8 squares per split, built once per node and memory-mapped by all its trials.

A cache folder holds ``pixels.u8`` (rows of 3 x size x size bytes in item order) and ``index.json``. It is written by
``suite.data.cache_build``; whatever does not fit the images asked for is refused here with its path and the remedy.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError

from suite.counting import counted
from suite.data.decode import Geometry
from suite.data.items import ImageItems
from suite.data.pixel_map import PixelMap
from suite.errors import DataError
from suite.hashing import text_hash

CACHE_VERSION = 2  # raise when decoding, chunking or the file format changes
CHUNK_IMAGES = 64  # decoded and written at a time by one thread, fewer when they are large
CHUNK_BYTES = 16 << 20
LONGEST_TITLE = 120  # bytes of a folder's name; what is cut off is in the identity


def readable_size(count: int) -> str:
    """Bytes in MB below one GB and in GB from there on."""
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"


class CacheIndex(BaseModel):
    """``index.json``: what a finished cache holds.

    Attributes:
        identity: hash over the images' identities in order, size and geometry.
        content: hash over the stored bytes of all image files, equal on every machine that has the same files.
        stamps: per chunk a hash over size and change time of its files.
        crcs: per chunk the CRC-32 of its pixels.
        aspects: width / height of every picture before it became a square.
        digests: of every image's stored bytes alone; equal for exact copies.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: int
    title: str
    identity: str
    images: int
    size: int
    geometry: str
    content: str
    stamps: list[str]
    crcs: list[int]
    aspects: list[float]
    digests: list[str]


class CachedPixels(NamedTuple):
    """A finished cache: read-only pixels (n, 3, size, size), digest of all image files, width / height and digest of each."""

    pixels: PixelMap
    content: str
    aspects: NDArray[np.float32]
    digests: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class ImageCache:
    """The cache of one split below ``root``; ``title`` says whose it is in paths and messages (``xtail-dtd-test``)."""

    items: ImageItems
    title: str
    size: int
    geometry: Geometry
    root: Path

    @property
    def identity(self) -> str:
        turned = ["upright"] if self.items.source.upright else []
        return text_hash([*self.items.ids, str(self.size), self.geometry, *turned])

    @property
    def folder(self) -> Path:
        title = re.sub(r"[^\w.-]+", "_", self.title).encode()[:LONGEST_TITLE].decode(errors="ignore")
        return self.root / f"{title}-{self.geometry}{self.size}-{self.identity[:12]}"

    @property
    def pixels(self) -> Path:
        return self.folder / "pixels.u8"

    @property
    def row_bytes(self) -> int:
        return 3 * self.size * self.size

    @property
    def total_bytes(self) -> int:
        return self.row_bytes * len(self.items)

    @property
    def is_built(self) -> bool:
        return (self.folder / "index.json").is_file()

    @property
    def remedy(self) -> str:
        return f"delete {self.folder} or run 'codyra-suite data cache' with --rebuild"

    def chunks(self) -> list[range]:
        """Rows of each chunk; all but the last have one length."""
        length = max(1, min(CHUNK_IMAGES, CHUNK_BYTES // self.row_bytes))
        return [range(first, min(first + length, len(self.items))) for first in range(0, len(self.items), length)]

    def stamps(self) -> list[str]:
        """Stamp of each chunk's files as they are now; DataError that counts the missing files."""
        missing: list[str] = []
        stamps = []
        for rows in self.chunks():
            states = []
            for row in rows:
                try:
                    states.append(self.items.source.stamp(self.items.ids[row]))
                except OSError:
                    missing.append(self.items.ids[row])
            stamps.append(text_hash(states)[:16])
        if missing:
            raise DataError(
                f"{self.title}: {len(missing)} of {counted(len(self.items), 'image')} missing, first "
                f"{self.items.source.where(missing[0])}; restore them or pull the data set again."
            )
        return stamps

    def open(self) -> CachedPixels:
        """The pixels of a finished cache after checking that they are those asked for.

        Raises:
            DataError: built by another code version, from other images, from files that changed since, or cut short.
        """
        index = self.index()
        for rows, then, now in zip(self.chunks(), index.stamps, self.stamps(), strict=True):
            if then != now:
                first = self.items.source.where(self.items.ids[rows[0]])
                raise DataError(
                    f"{self.folder}: was built from other files: some of the {counted(len(rows), 'image')} from {first} on have "
                    f"changed since; {self.remedy}."
                )
        if not self.pixels.is_file() or self.pixels.stat().st_size != self.total_bytes:
            raise DataError(f"{self.pixels}: is not {self.total_bytes} bytes long; {self.remedy}.")
        pixels = PixelMap.over(self.pixels, (len(self.items), 3, self.size, self.size))
        return CachedPixels(pixels, index.content, np.asarray(index.aspects, dtype=np.float32), tuple(index.digests))

    def index(self) -> CacheIndex:
        """The index of a finished cache, refused when it is not about these images or not of this code version."""
        path = self.folder / "index.json"
        try:
            index = CacheIndex.model_validate_json(path.read_text(encoding="utf-8"))
        except (OSError, ValidationError, UnicodeDecodeError):
            raise DataError(f"{path}: is missing or unreadable; {self.remedy}.") from None
        if index.version != CACHE_VERSION:
            raise DataError(
                f"{self.folder}: was built by cache version {index.version}, this code has version {CACHE_VERSION}; "
                f"{self.remedy}."
            )
        if index.identity != self.identity or not self._fits(index):
            raise DataError(f"{self.folder}: holds other images than '{self.title}' has; {self.remedy}.")
        return index

    def _fits(self, index: CacheIndex) -> bool:
        return len(index.stamps) == len(index.crcs) == len(self.chunks()) and len(index.aspects) == len(index.digests) == len(
            self.items
        )

    def damaged(self) -> list[range]:
        """Rows of the chunks whose pixels lost the checksum they were written with; reads the whole file."""
        crcs = zip(self.chunks(), self.index().crcs, self.checksums(self.pixels, self.chunks()), strict=True)
        return [rows for rows, then, now in crcs if then != now]

    def checksums(self, pixels: Path, chunks: Iterable[range]) -> list[int]:
        """CRC-32 of the pixels of some chunks as they are on disk."""
        sums = []
        with pixels.open("rb") as file:
            for rows in chunks:
                file.seek(rows[0] * self.row_bytes)
                sums.append(zlib.crc32(file.read(len(rows) * self.row_bytes)))
        return sums
