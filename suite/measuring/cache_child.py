"""The child process whose memory ``image_cache`` measures and which it kills: builds one cache and imports no more."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from suite.data.cache import ImageCache
from suite.data.cache_build import build
from suite.data.items import FileSource, ImageItems, image_items


def listed(folder: Path) -> ImageItems:
    """All files of a folder in sorted order, with label 0."""
    files = sorted(file.name for file in folder.iterdir())
    return image_items(files, [0] * len(files), FileSource(folder))


def perf_cache(items: ImageItems, root: Path, size: int) -> ImageCache:
    """The cache that both processes mean."""
    return ImageCache(items, "perf", size, "centre", root)


def build_rows(folder: Path, root: Path, size: int, count: int) -> None:
    """A cache of ``count`` rows that repeat the files of ``folder``."""
    items = listed(folder)
    build(perf_cache(items.take(np.arange(count) % len(items)), root, size))


if __name__ == "__main__":
    build_rows(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
