"""A reference set of drawn pictures and the captions that fit them, for methods that distil on one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from suite.data.drawn_images import draw_domain
from suite.data.references import IMAGES, TEXTS


def write_references(folder: Path, domains: Sequence[str] = ("shapes",), per_class: int = 2) -> Path:
    """Write pictures of drawn domains as they are drawn for pretraining, ``per_class`` of every class; returns ``folder``."""
    (folder / IMAGES).mkdir(parents=True, exist_ok=True)
    captions: list[str] = []
    for domain in domains:
        drawn = draw_domain(domain, "pretrain", per_class, 0)
        for pixels, label in zip(drawn.images, drawn.labels, strict=True):
            Image.fromarray(pixels.transpose(1, 2, 0)).save(folder / IMAGES / f"{len(captions):03d}.png")
            captions.append(drawn.template.format(drawn.class_names[label]))
    (folder / TEXTS).write_text("\n".join(captions), encoding="utf-8")
    return folder
