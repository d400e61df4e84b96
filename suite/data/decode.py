"""One image file to one uint8 square, with the geometry that CLIP's own preprocessing has.

Source: open_clip v2.12.0, src/open_clip/transform.py (Resize(bicubic), CenterCrop, convert RGB), the same in all four
code bases behind MTIL and X-TAIL. EXIF orientation is not applied there; whether it is here says the source of the pictures.
"""

from __future__ import annotations

import hashlib
import struct
import zlib
from collections.abc import Iterable
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from suite.counting import counted
from suite.data.items import ImageItems, ImageSource
from suite.errors import DataError

Geometry = Literal["centre", "whole"]
"""``centre``: shortest side to the size, then centre crop (test). ``whole``: both sides to the size (training)."""

EIGHT_BIT = ("1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "LAB", "HSV")
LEAST_OF_SIXTEEN = 1 << 12  # 16-bit grey that stays below it would keep fewer than 16 levels
SIXTEEN_BIT = ("I;16", "I;16L", "I;16B", "I;16N")
MOST_SCALED = 1 << 26  # pixels of a resized picture before its middle is cut out
UNREADABLE = (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error, Image.DecompressionBombError)


def decode(source: ImageSource, item: str, size: int, geometry: Geometry = "centre") -> NDArray[np.uint8]:
    """One item as uint8 (3, size, size).

    Raises:
        DataError: file missing, truncated or not an image, or with a pixel format that has no known range.
    """
    return decode_raw(source, item, read_raw(source, item), size, geometry).pixels


def read_raw(source: ImageSource, item: str) -> bytes:
    """The stored bytes of an item; DataError when they cannot be read."""
    try:
        return source.read(item)
    except FileNotFoundError:
        raise DataError(f"{source.where(item)}: there is no such file; restore it or take it out of the list.") from None
    except OSError as error:
        raise DataError(f"{source.where(item)}: cannot be read ({error.strerror}); check the file and the disk.") from None


class Square(NamedTuple):
    """A decoded image, uint8 (3, size, size), and width / height of the picture it came from."""

    pixels: NDArray[np.uint8]
    aspect: float


def decode_raw(source: ImageSource, item: str, raw: bytes, size: int, geometry: Geometry) -> Square:
    """Stored bytes as a square; DataError as ``decode``."""
    try:
        with source.image(raw) as image:
            image.load()
            square = to_square(to_rgb(image, source.where(item)), size, geometry)
            aspect = image.width / image.height
    except UNREADABLE as error:
        raise _no_picture(source.where(item), error) from None
    return Square(np.ascontiguousarray(np.asarray(square).transpose(2, 0, 1)), aspect)


def require_picture(source: ImageSource, item: str, raw: bytes) -> None:
    """DataError as ``decode`` unless ``raw`` can be decoded to its end; JPEG files are only decoded coarsely."""
    try:
        with source.image(raw) as image:
            image.draft("RGB", (1, 1))
            image.load()
            if image.mode not in EIGHT_BIT:
                to_rgb(image, source.where(item))
    except UNREADABLE as error:
        raise _no_picture(source.where(item), error) from None


def _no_picture(where: str, error: BaseException) -> DataError:
    # Pillow's own words name an object in memory and no cause
    reason = "no known format" if isinstance(error, UnidentifiedImageError) else " ".join(str(error).split())
    return DataError(f"{where}: cannot be read as an image ({reason}); replace the file with an intact copy.")


def to_rgb(image: Image.Image, where: str) -> Image.Image:
    """``image`` as 8-bit RGB. Transparency is dropped (the colour below it stays), as PIL's own conversion does.

    16-bit grey keeps its high byte, as libpng does for 16-bit colour; PIL would clip it to white instead. DataError for a picture of
    which that would leave next to nothing: its range is a smaller one, such as the 10 or 12 bits of a sensor.
    """
    if image.mode in EIGHT_BIT:
        return image.convert("RGB")
    values = np.asarray(image)
    if image.mode in SIXTEEN_BIT or (image.mode == "I" and values.min() >= 0 and values.max() < 1 << 16):
        if values.min() < values.max() < LEAST_OF_SIXTEEN:
            raise DataError(
                f"{where}: holds 16-bit grey from {values.min()} to {values.max()}, of which the 8 bits that are read keep "
                f"{counted(int(values.max() >> 8) + 1, 'level')}; stretch it to the range 0 to 65535, or save it as 8-bit grey."
            )
        return Image.fromarray((values.astype(np.uint32) >> 8).astype(np.uint8)).convert("RGB")
    raise DataError(f"{where}: has pixel format '{image.mode}', whose range is unknown; convert it to 8-bit RGB or grey.")


def to_square(image: Image.Image, size: int, geometry: Geometry) -> Image.Image:
    """Bicubic resize to ``size``; byte for byte what torchvision's Resize and CenterCrop give for PIL images.

    Of a strip that would have more than ``MOST_SCALED`` pixels, the same middle is resized alone.
    """
    if geometry == "whole":
        return image.resize((size, size), Image.Resampling.BICUBIC)
    width, height = image.size
    short, long = min(width, height), max(width, height)
    scaled_long = int(size * long / short)
    if scaled_long * size > MOST_SCALED:  # nobody needs the gigabytes that the whole of a strip would take
        step = long / scaled_long
        start = round((scaled_long - size) / 2.0) * step
        end = start + size * step
        box = (0.0, start, float(width), end) if width <= height else (start, 0.0, end, float(height))
        return image.resize((size, size), Image.Resampling.BICUBIC, box=box)
    scaled = (size, scaled_long) if width <= height else (scaled_long, size)
    if scaled != image.size:
        image = image.resize(scaled, Image.Resampling.BICUBIC)
    left = round((scaled[0] - size) / 2.0)
    top = round((scaled[1] - size) / 2.0)
    return image.crop((left, top, left + size, top + size))


class Decoded(NamedTuple):
    """Images in memory, uint8 (n, 3, size, size), hash over all their stored bytes, and a digest of each one's alone."""

    pixels: NDArray[np.uint8]
    content: str
    digests: tuple[str, ...]


def decode_all(items: ImageItems, size: int, geometry: Geometry = "centre") -> Decoded:
    """Every item; for sets that are small at that size."""
    pixels = np.empty((len(items), 3, size, size), dtype=np.uint8)
    contents, digests = [], []
    for row, item in enumerate(items.ids):
        raw = read_raw(items.source, item)
        contents.append(content_of(item, raw))
        digests.append(digest_of(raw))
        pixels[row] = decode_raw(items.source, item, raw, size, geometry).pixels
    return Decoded(pixels, fold_contents(contents), tuple(digests))


def digest_of(raw: bytes) -> str:
    """16 hex digits over an item's stored bytes alone: equal for exact copies under any name."""
    return hashlib.sha256(raw).hexdigest()[:16]


def content_of(item: str, raw: bytes) -> str:
    """64 hex digits over an item's identity and its stored bytes."""
    return hashlib.sha256(item.encode() + b"\0" + raw).hexdigest()


def fold_contents(contents: Iterable[str]) -> str:
    """Sum modulo 2^256, so that parts folded in any order and in any grouping give one hash; 64 hex digits."""
    return f"{sum(int(content, 16) for content in contents) % (1 << 256):064x}"
