"""Data beside the stream that a method may learn from: a folder of unlabelled pictures and captions.

<folder>/images/**/*.png|jpg|jpeg      <folder>/texts.txt, one caption per line
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from suite.counting import counted
from suite.data.folders import SUFFIXES
from suite.data.items import FileSource, ImageItems
from suite.errors import DataError
from suite.files import entries, read_text

IMAGES, TEXTS = "images", "texts.txt"


@dataclass(frozen=True, eq=False)
class References:
    """Pictures, not decoded, and captions; nothing says which belong together.

    Attributes:
        images: labels are all 0.
    """

    images: ImageItems
    texts: tuple[str, ...]


def find_references(folder: Path) -> References:
    """What lies in a reference folder.

    Raises:
        DataError: no such folder, no picture, no caption, or a file below ``images`` that is no picture.
    """
    layout = f"a reference set needs {IMAGES}/ with pictures and {TEXTS} with one caption per line"
    if not (folder / IMAGES).is_dir():
        raise DataError(f"{folder / IMAGES}: is not a folder; {layout}.")
    found = _pictures(folder / IMAGES, "")
    lines = read_text(folder / TEXTS, layout).splitlines()
    texts = tuple(line.strip() for line in lines if line.strip())
    if not found or not texts:
        raise DataError(f"{folder}: holds {counted(len(found), 'picture')} and {counted(len(texts), 'caption')}; {layout}.")
    source = FileSource(folder / IMAGES, {item: stored for item, stored in found.items() if item != stored}, upright=True)
    return References(ImageItems(tuple(found), np.zeros(len(found), dtype=np.int64), source), texts)


def _pictures(root: Path, below: str) -> dict[str, str]:
    """Item -> path on disk of every picture below ``root``, in sorted order."""
    found: dict[str, str] = {}
    for entry in entries(root / below if below else root):
        stored = f"{below}/{entry.path.name}" if below else entry.path.name
        if entry.is_folder:
            found |= _pictures(root, stored)
        elif entry.is_file and entry.name.lower().endswith(SUFFIXES):
            found[f"{below}/{entry.name}" if below else entry.name] = stored
        else:
            raise DataError(
                f"{entry.path}: is not a {', '.join(SUFFIXES)} file; convert it or move it out of the reference set."
            )
    return found
