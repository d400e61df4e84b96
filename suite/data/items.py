"""Images of a data set before they are decoded: identities, labels and the place they are read from."""

from __future__ import annotations

import os
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image

from suite.errors import DataError
from suite.files import regular_bytes

MOST_PIXELS = 1 << 30  # 3 GiB as RGB
# EXIF orientation -> what undoes it; 1 is upright
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class ImageSource(Protocol):
    """Reads items by identity; safe to use from several threads."""

    @property
    def upright(self) -> bool:
        """Whether pictures are turned as their EXIF orientation says."""

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
    """Image files below one folder; an item is a path relative to it, with forward slashes.

    Attributes:
        stored_as: the path on disk of items whose name there is not the composed Unicode of their identity.
        upright: turn pictures as their EXIF orientation says, as everybody sees their own; no code base behind a published number does.
    """

    folder: Path
    stored_as: Mapping[str, str] = field(default_factory=dict)
    upright: bool = False

    def read(self, item: str) -> bytes:
        return regular_bytes(self.where(item))

    def image(self, raw: bytes) -> Image.Image:
        return turned_upright(open_picture(raw)) if self.upright else open_picture(raw)

    def where(self, item: str) -> str:
        return f"{self.folder}/{self.stored_as.get(item, item)}"

    def stamp(self, item: str) -> str:
        # os.stat on a plain string: this runs once per image and trial, and Path objects would double its time
        state = os.stat(self.where(item))  # noqa: PTH116
        return f"{state.st_size}:{state.st_mtime_ns}"


def open_picture(raw: bytes) -> Image.Image:
    """Stored bytes as a picture that still has to be loaded; ValueError for one of more than ``MOST_PIXELS``.

    Pillow's own limit warns at 90 and refuses at 180 million pixels, which scans and panoramas of a user's own exceed.
    """
    Image.MAX_IMAGE_PIXELS = None
    image = Image.open(BytesIO(raw))
    if image.width * image.height > MOST_PIXELS:
        raise ValueError(f"{image.width} x {image.height} pixels, {MOST_PIXELS} at most")
    return image


def turned_upright(image: Image.Image) -> Image.Image:
    """``image`` as its camera was held; as it is when it has no EXIF orientation, or none that can be read."""
    try:
        orientation = image.getexif().get(ExifTags.Base.Orientation)
    except (OSError, SyntaxError, ValueError, EOFError, struct.error):
        return image
    return image.transpose(TURNS[orientation]) if orientation in TURNS else image


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
