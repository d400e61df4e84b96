"""Eight small image domains that need no download: seven drawn by the code here, one of real handwritten digits.

156 classes in all, most of them pairs of a thing and a manner (a hollow circle, a coarse checkered texture). ``pretrain`` images
come in every style from canonical to hard, ``train``, ``validation`` and ``test`` images in the harder half of that range (turned,
faded, any colours, noisy), so that a model pretrained on the first need not learn a new style with the others. The digits are
the 8 x 8 scans of the UCI Optical Recognition of Handwritten Digits set (``digits/SOURCE.md``), cut into four fixed parts; they
are never redrawn, only enlarged, and for pretraining also recoloured.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from suite.data.drawn_scenes import FACES, FLAGS, TEXTURES, draw_face, draw_flag, draw_texture
from suite.data.drawn_shapes import (
    ARROWS,
    CURVES,
    LETTERS,
    SHAPES,
    SIZE,
    Array,
    Sheet,
    canvas,
    draw_arrow,
    draw_curve,
    draw_letter,
    draw_shape,
)
from suite.errors import DataError, unknown_name
from suite.randomness import numpy_generator

DrawnSplit = Literal["pretrain", "train", "validation", "test"]
DRAWN_SPLITS: tuple[DrawnSplit, ...] = ("pretrain", "train", "validation", "test")
POSE_NUMBERS = 16
PAINT_NUMBERS = 16
SWAPPED = 0.7  # share of hard images with dark ink on a light ground


@dataclass(frozen=True)
class Recipe:
    """How one domain is drawn.

    Attributes:
        draw: class name and sheet to a mask (n, 32, 32), or to colours (n, 3, 32, 32) where the class needs them.
        template: prompt with one ``{}`` that the benchmark uses.
        pretraining, tasks: range of the hardness of pretraining images and of task images.
    """

    class_names: tuple[str, ...]
    template: str
    draw: Callable[[str, Sheet], Array]
    pretraining: tuple[float, float] = (0.0, 0.65)
    tasks: tuple[float, float] = (0.3, 0.65)


@dataclass(frozen=True, eq=False)
class DrawnDomain:
    """Images of one split of one domain, class after class.

    Attributes:
        images: uint8 (n, 3, 32, 32).
        labels: int64 (n,), indices into ``class_names``.
        ids: n identities, unique over all splits of the domain.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    ids: tuple[str, ...]
    class_names: tuple[str, ...]
    template: str


RECIPES: dict[str, Recipe] = {
    "shapes": Recipe(SHAPES, "a drawing of a {}.", draw_shape),
    "textures": Recipe(TEXTURES, "a {} texture.", draw_texture),
    "arrows": Recipe(tuple(ARROWS), "an arrow pointing {}.", draw_arrow),
    "letters": Recipe(tuple(LETTERS), "the {}.", draw_letter),
    "curves": Recipe(CURVES, "a {} chart.", draw_curve),
    "faces": Recipe(FACES, "a {} face.", draw_face),
    "flags": Recipe(FLAGS, "the flag of {}.", draw_flag),
}
DIGITS = Path(__file__).parent / "digits" / "digits.npz"
DIGITS_SUM = "be48c9df37095c53b2b71af775a2449c2b1b88db623984c95a34bade4b578d70"
DIGIT_NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
DIGIT_TEMPLATE = 'a photo of the number "{}".'
DIGIT_PARTS: dict[DrawnSplit, tuple[int, int]] = {  # positions among the scans of a class; the rarest class has 174
    "pretrain": (0, 40),
    "train": (40, 104),
    "validation": (104, 124),
    "test": (124, 174),
}
DOMAINS: tuple[str, ...] = (*RECIPES, "digits")


def class_names_of(name: str) -> tuple[str, ...]:
    """Class names of a domain, in label order."""
    _require_domain(name)
    return DIGIT_NAMES if name == "digits" else RECIPES[name].class_names


def template_of(name: str) -> str:
    """The prompt a domain's benchmark task uses, with one ``{}``."""
    _require_domain(name)
    return DIGIT_TEMPLATE if name == "digits" else RECIPES[name].template


def draw_domain(name: str, split: DrawnSplit, count_per_class: int, seed: int) -> DrawnDomain:
    """Draw ``count_per_class`` images of every class of a domain.

    An image depends on (domain, split, class, its index in the class, seed) alone, so a larger count keeps the images
    of a smaller one. Another seed draws other images; of the digits it chooses other scans of the same fixed part.

    Raises:
        ConfigError: if the domain or the split is unknown.
        DataError: if the count is below one or above the number of scans in a part of the digits.
    """
    _require_domain(name)
    if split not in DRAWN_SPLITS:
        raise unknown_name("split of a drawn domain", split, DRAWN_SPLITS)
    if count_per_class < 1:
        raise DataError(f"drawn domain {name}: '{count_per_class}' images per class are too few; ask for at least 1.")
    draw_class = _draw_digit if name == "digits" else _draw_class
    parts = [draw_class(name, split, label, count_per_class, seed) for label in range(len(class_names_of(name)))]
    return DrawnDomain(
        images=np.concatenate([images for images, _ in parts]),
        labels=np.repeat(np.arange(len(parts), dtype=np.int64), count_per_class),
        ids=tuple(item for _, ids in parts for item in ids),
        class_names=class_names_of(name),
        template=template_of(name),
    )


def _require_domain(name: str) -> None:
    if name not in DOMAINS:
        raise unknown_name("drawn domain", name, DOMAINS)


def _draw_class(name: str, split: DrawnSplit, label: int, count: int, seed: int) -> tuple[NDArray[np.uint8], list[str]]:
    recipe = RECIPES[name]
    low, high = recipe.pretraining if split == "pretrain" else recipe.tasks
    uniform, grain = _numbers(name, split, label, count, seed)
    hardness = np.float32(low) + np.float32(high - low) * uniform[:, -1, None, None]
    drawn = recipe.draw(recipe.class_names[label], Sheet(uniform[:, :POSE_NUMBERS], hardness))
    paint = Sheet(uniform[:, POSE_NUMBERS:], hardness)
    colours = drawn if drawn.ndim == 4 else painted(drawn, paint)
    ids = [f"{name}/{split}/{recipe.class_names[label]}/{seed}/{index}" for index in range(count)]
    return _pixels(colours, paint, grain), ids


def _numbers(name: str, split: str, label: int, count: int, seed: int) -> tuple[Array, Array]:
    """Uniform numbers (n, 32) and unit noise (n, 3, 32, 32), each row from a generator of its own."""
    uniform = np.empty((count, POSE_NUMBERS + PAINT_NUMBERS), dtype=np.float32)
    grain = np.empty((count, 3, SIZE, SIZE), dtype=np.float32)
    for index in range(count):
        generator = numpy_generator("drawn", name, split, label, index, seed)
        generator.random(out=uniform[index], dtype=np.float32)
        generator.standard_normal(out=grain[index], dtype=np.float32)
    return uniform, grain


def painted(mask: Array, paint: Sheet) -> Array:
    """Ink and ground colours for a mask (n, 32, 32); light on dark while easy, any two tones and a slope when hard."""
    ground_level = 0.12 + paint.hardness * paint.number(0, 0.0, 0.3)
    contrast = 0.8 - 0.45 * paint.hardness * paint.number(1)
    ink_level = ground_level + contrast
    swapped = paint.number(2) < np.clip(8.0 * (paint.hardness - 0.3), 0.0, SWAPPED)
    ink_level, ground_level = np.where(swapped, ground_level, ink_level), np.where(swapped, ink_level, ground_level)
    hue = [paint.spread(column, 0.22)[:, None] for column in range(3, 9)]
    ink = ink_level[:, None] + np.concatenate(hue[:3], axis=1)
    ground = ground_level[:, None] + np.concatenate(hue[3:], axis=1)
    x, y = canvas()
    slope = (paint.spread(9, 0.2) * x + paint.spread(10, 0.2) * y)[:, None]
    return np.asarray(ground + slope + (ink - ground) * mask[:, None], dtype=np.float32)


def _pixels(colours: Array, paint: Sheet, grain: Array) -> NDArray[np.uint8]:
    """Colours 0 to 1 with sensor noise that grows with hardness, as uint8."""
    noise = 0.02 + 0.1 * paint.hardness * paint.number(11)
    return np.clip((colours + noise[:, None] * grain) * 255 + 0.5, 0, 255).astype(np.uint8)


@lru_cache(maxsize=1)
def _scans() -> tuple[Array, NDArray[np.int64]]:
    """The 1797 scans (n, 8, 8), ink 1 on paper 0, and their labels; DataError for a file that is not the shipped one."""
    try:
        data = DIGITS.read_bytes()
    except OSError as error:
        raise DataError(f"{DIGITS}: cannot be read ({error.strerror}); reinstall the suite.") from None
    if hashlib.sha256(data).hexdigest() != DIGITS_SUM:
        raise DataError(f"{DIGITS}: is damaged (wrong checksum); reinstall the suite.")
    with np.load(BytesIO(data), allow_pickle=False) as scans:
        return (scans["images"] / 16).astype(np.float32), scans["labels"].astype(np.int64)


def _enlarged(scans: Array) -> Array:
    """(n, 8, 8) to (n, 32, 32), bilinear, pixel centres aligned, border kept."""
    position = np.clip((np.arange(SIZE) + 0.5) / 4 - 0.5, 0, 7)
    left = np.minimum(position.astype(np.int64), 6)
    share = (position - left).astype(np.float32)
    columns = scans[:, :, left] * (1 - share) + scans[:, :, left + 1] * share
    return np.asarray(columns[:, left] * (1 - share)[:, None] + columns[:, left + 1] * share[:, None], dtype=np.float32)


def _draw_digit(name: str, split: DrawnSplit, label: int, count: int, seed: int) -> tuple[NDArray[np.uint8], list[str]]:
    """Scans of one digit: dark ink on light paper for tasks, painted like the drawn domains for pretraining."""
    scans, labels = _scans()
    start, stop = DIGIT_PARTS[split]
    if split != "pretrain" and count > stop - start:
        raise DataError(
            f"drawn domain digits: {count} {split} images per class are asked for, but the real scans give {stop - start}; "
            f"ask for at most {stop - start}."
        )
    part = np.flatnonzero(labels == label)[start:stop]
    order = numpy_generator("drawn", name, split, label, seed).permutation(len(part))
    rows = part[order[np.arange(count) % len(part)]]
    if split != "pretrain":
        paper = 1 - _enlarged(scans[rows])[:, None].repeat(3, axis=1)
        return np.clip(paper * 255 + 0.5, 0, 255).astype(np.uint8), [f"digits/{row}" for row in rows.tolist()]
    uniform, grain = _numbers(name, split, label, count, seed)
    paint = Sheet(uniform[:, POSE_NUMBERS:], 0.65 * uniform[:, -1, None, None])
    ids = [f"digits/{row}/repainted/{seed}/{index}" for index, row in enumerate(rows.tolist())]
    return _pixels(painted(_enlarged(scans[rows]), paint), paint, grain), ids
