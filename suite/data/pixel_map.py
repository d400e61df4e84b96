"""A memory map of images whose pages do not pile up in the reading process."""

from __future__ import annotations

import mmap
from pathlib import Path
from typing import Any

import numpy as np


class PixelMap(np.memmap[Any, np.dtype[np.uint8]]):
    """uint8 (n, 3, size, size), read-only.

    Rows taken by an index array are copied, and the map's pages are then given back: they stay in the system's page
    cache, shared by all processes, but leave this one's resident memory, which would otherwise grow to the whole set.
    """

    @classmethod
    def over(cls, path: Path, shape: tuple[int, ...]) -> PixelMap:
        """The map of a file that holds exactly ``shape``."""
        return cls(path, dtype=np.uint8, mode="r", shape=shape)

    def __getitem__(self, key: Any) -> Any:
        taken = super().__getitem__(key)
        if isinstance(key, (np.ndarray, list)):
            taken = np.asarray(taken)
            pages = getattr(self, "_mmap", None)
            if pages is not None:
                pages.madvise(mmap.MADV_DONTNEED)
        return taken
