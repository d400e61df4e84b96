"""Data sets that are stored as arrays: MNIST's IDX files and CIFAR-100's pickle or binary files."""

from __future__ import annotations

import gzip
import hashlib
import io
import pickle
import zlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from suite.counting import counted
from suite.data.items import ImageItems, image_items
from suite.errors import DataError
from suite.files import read_bytes, read_text, regular_bytes

# md5 sums of torchvision.datasets.CIFAR100; the one pickle that is ever loaded must have them.
CIFAR_SUMS = {
    "train": "16019d7e3df5f24257cddd939b257f8d",
    "test": "f0ef6b0ae62326f3e7ffdfab6717acfc",
    "meta": "7973b15100ade9c7d40fb424638fde48",
}
CIFAR_ROW = 3 * 32 * 32
IDX_HEADERS = {"idx3": (0x803, 3), "idx1": (0x801, 1)}


@dataclass(frozen=True)
class IdxSource:
    """Grey images of one IDX file (plain or gzip); an item is ``<part>/<position>``. Format: LeCun's MNIST page."""

    path: Path
    upright: ClassVar[bool] = False

    def read(self, item: str) -> bytes:
        return bytes(_idx_array(self.path, _file_stamp(self.path))[_position(item)])

    def image(self, raw: bytes) -> Image.Image:
        _, height, width = _idx_array(self.path, _file_stamp(self.path)).shape
        return Image.frombytes("L", (width, height), raw)

    def where(self, item: str) -> str:
        return f"{self.path} image {_position(item)}"

    def stamp(self, item: str) -> str:
        return _file_stamp(self.path)


@dataclass(frozen=True)
class CifarSource:
    """Colour images of one CIFAR-100 file, read once per process; an item is ``<part>/<position>``."""

    path: Path
    upright: ClassVar[bool] = False

    def read(self, item: str) -> bytes:
        return bytes(_cifar_arrays(self.path, _file_stamp(self.path))[0][_position(item)])

    def image(self, raw: bytes) -> Image.Image:
        planes = np.frombuffer(raw, dtype=np.uint8).reshape(3, 32, 32)
        return Image.fromarray(np.ascontiguousarray(planes.transpose(1, 2, 0)))

    def where(self, item: str) -> str:
        return f"{self.path} image {_position(item)}"

    def stamp(self, item: str) -> str:
        return _file_stamp(self.path)


def idx_items(images: Path, labels: Path, part: str) -> ImageItems:
    """All items of an image file and its label file.

    Raises:
        DataError: if one of the two is no IDX file of its kind or their lengths differ.
    """
    pixels, numbers = (_idx_array(path, _file_stamp(path)) for path in (images, labels))
    if pixels.ndim != 3 or numbers.ndim != 1:
        raise DataError(f"{images}: is not an IDX image file beside an IDX label file; pull mnist again.")
    if len(pixels) != len(numbers):
        raise DataError(
            f"{images}: holds {counted(len(pixels), 'image')} but {labels} {counted(len(numbers), 'label')}; pull mnist again."
        )
    return image_items([f"{part}/{row:05d}" for row in range(len(pixels))], numbers.tolist(), IdxSource(images))


def cifar_items(path: Path, part: str) -> ImageItems:
    """All items of a CIFAR-100 file with their fine labels; DataError when it is not the official one."""
    pixels, labels = _cifar_arrays(path, _file_stamp(path))
    return image_items([f"{part}/{row:05d}" for row in range(len(pixels))], labels.tolist(), CifarSource(path))


def cifar_class_names(folder: Path) -> list[str]:
    """The 100 fine label names: ``fine_label_names.txt`` (binary version) or the pickle ``meta``."""
    text = folder / "fine_label_names.txt"
    if text.is_file():
        return read_text(text, "pull cifar100 again").split()
    return [str(name) for name in _checked_pickle(folder / "meta")["fine_label_names"]]


def _position(item: str) -> int:
    return int(item.rpartition("/")[2])


def _file_stamp(path: Path) -> str:
    state = path.stat()
    return f"{state.st_size}:{state.st_mtime_ns}"


@lru_cache(maxsize=8)
def _idx_array(file: Path, stamp: str) -> NDArray[np.uint8]:
    """uint8 array of an IDX file: (n, height, width) for images, (n,) for labels; ``stamp`` only keys the memory."""
    try:
        data = gzip.decompress(regular_bytes(file)) if file.suffix == ".gz" else regular_bytes(file)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{file}: cannot be read ({error}); pull mnist again.") from None
    magic, dimensions = IDX_HEADERS["idx1" if "idx1" in file.name else "idx3"]
    shape = tuple(int(size) for size in np.frombuffer(data[4 : 4 + 4 * dimensions], dtype=">u4"))
    header = 4 + 4 * dimensions
    if len(data) < header or int.from_bytes(data[:4], "big") != magic or len(data) - header != int(np.prod(shape)):
        raise DataError(f"{file}: is not a whole IDX file (header, sizes and length disagree); pull mnist again.")
    return np.frombuffer(data, dtype=np.uint8, offset=header).reshape(shape)


@lru_cache(maxsize=4)
def _cifar_arrays(file: Path, stamp: str) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """((n, 3072) uint8 in planes red, green, blue; (n,) fine labels) of ``train``/``test`` or their ``.bin``."""
    if file.suffix == ".bin":  # rows: coarse label, fine label, 3072 bytes
        data = np.frombuffer(read_bytes(file, "pull cifar100 again"), dtype=np.uint8)
        if len(data) == 0 or len(data) % (CIFAR_ROW + 2):
            raise DataError(f"{file}: is not made of rows of {CIFAR_ROW + 2} bytes; pull cifar100 again.")
        rows = data.reshape(-1, CIFAR_ROW + 2)
        return rows[:, 2:], rows[:, 1].astype(np.int64)
    entry = _checked_pickle(file)
    return np.asarray(entry["data"], dtype=np.uint8), np.asarray(entry["fine_labels"], dtype=np.int64)


class _ArraysOnly(pickle.Unpickler):
    """Second fence behind the checksum: only what NumPy needs to rebuild an array may be named."""

    def find_class(self, module: str, name: str) -> Any:
        if module.startswith("numpy") and name in ("_reconstruct", "ndarray", "dtype"):
            return super().find_class(module, name)
        if (module, name) == ("_codecs", "encode"):
            return super().find_class(module, name)
        raise DataError(f"a CIFAR pickle names '{module}.{name}', which is not an array; pull cifar100 again.")


def _checked_pickle(path: Path) -> dict[str, Any]:
    """CIFAR's own pickle after its md5 matched torchvision's; nothing is unpickled before."""
    data = read_bytes(path, "pull cifar100 again")
    found = hashlib.md5(data, usedforsecurity=False).hexdigest()
    if found != CIFAR_SUMS[path.name]:
        raise DataError(
            f"{path}: has md5 {found} instead of {CIFAR_SUMS[path.name]}, so it is not unpickled; pull cifar100 again "
            "or use the binary version (cifar-100-binary)."
        )
    entry: dict[str, Any] = _ArraysOnly(io.BytesIO(data), encoding="latin1").load()
    return entry
