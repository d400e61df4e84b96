"""Images of a data set before they are decoded: identities, labels and the place they are read from."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from suite.errors import DataError


class ImageSource(Protocol):
    """Reads items by identity; safe to use from several threads."""

    def read(self, item: str) -> bytes:
        """The item's bytes as they are stored; OSError or DataError when there are none."""

    def image(self, raw: bytes) -> Image.Image:
        """Stored bytes as an image that may still have to be loaded."""

    def where(self, item: str) -> str:
        """The place of the item for messages: a path, or a path and a position."""

    def stamp(self, item: str) -> str:
        """Changes when the stored bytes are replaced, without reading them; FileNotFoundError when they are gone."""


@dataclass(frozen=True)
class FileSource:
    """Image files below one folder; an item is a path relative to it, with forward slashes."""

    folder: Path

    def read(self, item: str) -> bytes:
        return (self.folder / item).read_bytes()

    def image(self, raw: bytes) -> Image.Image:
        return Image.open(BytesIO(raw))

    def where(self, item: str) -> str:
        return str(self.folder / item)

    def stamp(self, item: str) -> str:
        # os.stat on a plain string: this runs once per image and trial, and Path objects would double its time
        state = os.stat(f"{self.folder}/{item}")  # noqa: PTH116
        return f"{state.st_size}:{state.st_mtime_ns}"


@dataclass(frozen=True, eq=False)
class ImageItems:
    """One split of an image set, not decoded.

    Attributes:
        ids: n identities that do not depend on where the data root is; the source reads them.
        labels: int64 (n,), indices into the data set's class names.
    """

    ids: tuple[str, ...]
    labels: NDArray[np.int64]
    source: ImageSource

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, rows: Sequence[int] | NDArray[np.int64]) -> ImageItems:
        """The items at ``rows``, in that order; repeats are allowed."""
        chosen = np.asarray(rows, dtype=np.int64)
        return ImageItems(tuple(self.ids[row] for row in chosen.tolist()), self.labels[chosen], self.source)


def image_items(ids: Sequence[str], labels: Sequence[int], source: ImageSource) -> ImageItems:
    """Items from plain sequences.

    Raises:
        DataError: if one identity occurs twice.
    """
    if len(set(ids)) < len(ids):
        seen: set[str] = set()
        twice = next(item for item in ids if item in seen or seen.add(item))  # type: ignore[func-returns-value]
        raise DataError(f"{source.where(twice)}: is listed twice in one split; remove one of the two lines.")
    return ImageItems(tuple(ids), np.asarray(labels, dtype=np.int64).reshape(len(ids)), source)
