"""An image data set as its own files describe it, before any benchmark draws from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from suite.counting import counted
from suite.data.items import ImageItems
from suite.errors import DataError
from suite.files import entries, read_json, read_text

SPLIT_SEED = 42  # ZSCL, mtil/src/datasets/collections.py: random_split with generator seed 42


@dataclass(frozen=True, eq=False)
class ImageSet:
    """Class names (position = label) and the official parts, which share no image; ``validation`` is None without such a part.

    Raises:
        DataError: labels without a class name, or an image in two parts.
    """

    name: str
    folder: Path
    class_names: tuple[str, ...]
    train: ImageItems
    validation: ImageItems | None
    test: ImageItems

    def __post_init__(self) -> None:
        seen: set[str] = set()
        for part in (self.test, self.train, *([] if self.validation is None else [self.validation])):
            if len(part) and not 0 <= int(part.labels.min()) <= int(part.labels.max()) < self.classes:
                raise DataError(
                    f"{self.folder}: '{self.name}' has labels {part.labels.min()} to {part.labels.max()} "
                    f"but {counted(self.classes, 'class name')}; restore its list files."
                )
            shared = seen.intersection(part.ids)
            if shared:
                raise DataError(
                    f"{self.folder}: '{self.name}' lists {counted(len(shared), 'image')} in two of train, validation and test, first "
                    f"'{min(shared)}'; restore its list files."
                )
            seen.update(part.ids)

    @property
    def classes(self) -> int:
        return len(self.class_names)


def random_parts(items: ImageItems, share: float = 0.8) -> tuple[ImageItems, ImageItems]:
    """(train, test) exactly as ``torch.utils.data.random_split`` with a fresh generator seeded 42 cuts them."""
    import torch

    order: NDArray[np.int64] = torch.randperm(len(items), generator=torch.Generator().manual_seed(SPLIT_SEED)).numpy()
    cut = int(share * len(items))
    return items.take(order[:cut]), items.take(order[cut:])


def read_lines(path: Path) -> list[str]:
    """Stripped, non-empty lines of a list file; DataError when there are none."""
    lines = [line.strip() for line in read_text(path, "restore it").splitlines() if line.strip()]
    if not lines:
        raise DataError(f"{path}: is empty; restore the data set's own list file.")
    return lines


def read_object(path: Path) -> dict[str, Any]:
    """The object of a JSON file; DataError for anything else."""
    content = read_json(path, "restore it")
    if not isinstance(content, dict):
        raise DataError(f"{path}: holds a {type(content).__name__} instead of an object with lists; restore it.")
    return content


def listed_files(folder: Path, suffixes: Sequence[str] = (".jpg",)) -> list[str]:
    """Sorted names of the image files of a folder, hidden ones and litter left out; DataError for anything else in it."""
    names = [entry.name for entry in entries(folder)]
    for name in names:
        if not name.lower().endswith(tuple(suffixes)):
            raise DataError(f"{folder / name}: is not one of the data set's {' or '.join(suffixes)} files; move it away.")
    return names


def read_mat(path: Path, key: str) -> NDArray[Any]:
    """One variable of a MATLAB file as an array of at least one dimension; DataError when it is not there."""
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    try:
        content = loadmat(str(path), squeeze_me=True)
    except (OSError, ValueError, TypeError, NotImplementedError, MatReadError) as error:
        raise DataError(f"{path}: cannot be read as a MATLAB file ({error}); restore it.") from None
    if key not in content:
        raise DataError(f"{path}: has no variable '{key}'; restore the data set's own file.")
    return np.atleast_1d(content[key])


def read_mat_numbers(path: Path, key: str, most: int | None = None) -> list[int]:
    """A variable of a MATLAB file that is a list of numbers from 1 to ``most``; DataError when it is anything else."""
    values = read_mat(path, key)
    if values.dtype.kind not in "iuf" or not values.size or values.min() < 1 or values.max() > (most or values.max()):
        upper = f" to {most}" if most else ""
        raise DataError(f"{path}: its variable '{key}' is no list of numbers from 1{upper}; restore the data set's own file.")
    return [int(value) for value in values.ravel()]
