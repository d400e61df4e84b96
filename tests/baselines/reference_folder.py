"""A small reference set on disk, the same bytes wherever it is made."""

from __future__ import annotations

import tempfile
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image

WORDS = ("a circle", "a square", "a happy face", "a sad face", "the number nine", "a red flag")


@lru_cache
def reference_folder(pictures: int = 9) -> Path:
    """Its path; removed by nobody before the system's temporary folder is."""
    folder = Path(tempfile.mkdtemp(prefix="references-"))
    (folder / "images").mkdir()
    draw = np.random.default_rng(0)
    for number in range(pictures):
        pixels = draw.integers(0, 256, (32, 32, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / "images" / f"{number:03d}.png")
    (folder / "texts.txt").write_text("\n".join(WORDS[number % len(WORDS)] for number in range(pictures)), encoding="utf-8")
    return folder
