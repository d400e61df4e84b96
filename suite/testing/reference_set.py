"""A reference set small enough for a test: drawn pictures and the captions that fit them."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from suite.data.drawn_images import draw_domain
from suite.data.references import IMAGES, TEXTS


def write_references(folder: Path, domain: str = "shapes", per_class: int = 2) -> Path:
    """Write pictures of a drawn domain as they are drawn for pretraining, ``per_class`` of every class; returns ``folder``."""
    drawn = draw_domain(domain, "pretrain", per_class, 0)
    (folder / IMAGES).mkdir(parents=True, exist_ok=True)
    for number, pixels in enumerate(drawn.images):
        Image.fromarray(pixels.transpose(1, 2, 0)).save(folder / IMAGES / f"{number:03d}.png")
    captions = [drawn.template.format(drawn.class_names[label]) for label in drawn.labels]
    (folder / TEXTS).write_text("\n".join(captions), encoding="utf-8")
    return folder
