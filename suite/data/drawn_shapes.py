"""Geometry of the drawn image domains: coverage masks of shapes, arrows, letters and curves on a 32 x 32 canvas.

Every drawer takes the class and a block of uniform numbers, one row per image, and works on all rows at once. Canvas
coordinates run from -1 to 1, x to the right and y upwards. A mask is the share of each pixel that is covered, 0 to 1.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

SIZE = 32
Array = NDArray[Any]


@dataclass(frozen=True)
class Sheet:
    """What a drawer is given for n images of one class.

    Attributes:
        uniform: float32 (n, k) numbers in [0, 1) that decide pose and style; columns are taken in order by the drawer.
        hardness: float32 (n, 1, 1) in [0, 1]; 0 = canonical drawing, 1 = the widest variation.
    """

    uniform: Array
    hardness: Array

    def number(self, column: int, low: float = 0.0, high: float = 1.0) -> Array:
        """(n, 1, 1) uniform number between ``low`` and ``high``, not scaled by hardness."""
        return np.float32(low) + np.float32(high - low) * self.uniform[:, column, None, None]

    def spread(self, column: int, reach: float) -> Array:
        """(n, 1, 1) uniform number between -reach and reach, scaled by hardness."""
        return self.number(column, -reach, reach) * self.hardness


def canvas() -> tuple[Array, Array]:
    """x and y of the pixel centres, each (1, 32, 32)."""
    centres = ((np.arange(SIZE, dtype=np.float32) + 0.5) * 2 / SIZE - 1).astype(np.float32)
    return centres[None, None, :], -centres[None, :, None]


def posed(sheet: Sheet, *, turn: float, shift: float = 0.3, shrink: float = 0.4) -> tuple[Array, Array]:
    """Canvas seen from a turned, shifted and shrunk figure; ``turn`` in radians, all three scaled by hardness.

    Uses columns 0 to 3 of the sheet. Returns x and y, each (n, 32, 32).
    """
    x, y = canvas()
    angle = sheet.spread(0, turn)
    size = 0.9 - shrink * sheet.hardness * sheet.number(1)
    x, y = (x - sheet.spread(2, shift)) / size, (y - sheet.spread(3, shift)) / size
    return x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)


def covered(distance: Array) -> Array:
    """Coverage from a signed distance in canvas units (negative inside), one pixel of soft edge."""
    return np.clip(0.5 - distance * (SIZE / 2), 0, 1).astype(np.float32)


def segment(x: Array, y: Array, start: tuple[float, float], end: tuple[float, float]) -> Array:
    """Distance of every pixel from a straight stroke."""
    along_x, along_y = end[0] - start[0], end[1] - start[1]
    length = max(along_x**2 + along_y**2, 1e-6)
    position = np.clip(((x - start[0]) * along_x + (y - start[1]) * along_y) / length, 0, 1)
    return np.hypot(x - start[0] - position * along_x, y - start[1] - position * along_y)


def polygon(x: Array, y: Array, sides: int, apothem: float) -> Array:
    """Signed distance from a regular polygon that stands on one of its sides."""
    wedge = 2 * np.pi / sides
    angle = np.mod(np.arctan2(y, x) + np.pi / 2 + wedge / 2, wedge) - wedge / 2
    return np.hypot(x, y) * np.cos(angle) - apothem


def box(x: Array, y: Array, half_width: float, half_height: float) -> Array:
    return np.maximum(np.abs(x) - half_width, np.abs(y) - half_height)


def _circle(x: Array, y: Array) -> Array:
    return np.hypot(x, y) - 0.7


def _star(x: Array, y: Array) -> Array:
    return 0.7 * (np.hypot(x, y) - 0.55 - 0.28 * np.cos(5 * (np.arctan2(y, x) - np.pi / 2)))


def _cross(x: Array, y: Array) -> Array:
    return np.minimum(box(x, y, 0.75, 0.22), box(x, y, 0.22, 0.75))


def _heart(x: Array, y: Array) -> Array:
    return 0.7 * (np.hypot(x, y + 0.15 - 0.75 * np.sqrt(np.abs(x))) - 0.62)


def _ring(x: Array, y: Array) -> Array:
    return np.abs(np.hypot(x, y) - 0.6) - 0.14


def _crescent(x: Array, y: Array) -> Array:
    return np.maximum(np.hypot(x, y) - 0.72, 0.58 - np.hypot(x - 0.36, y))


def _semicircle(x: Array, y: Array) -> Array:
    return np.maximum(np.hypot(x, y + 0.35) - 0.8, -y - 0.35)


FIGURES: dict[str, Callable[[Array, Array], Array]] = {
    "circle": _circle,
    "triangle": lambda x, y: polygon(x, y, 3, 0.42),
    "square": lambda x, y: box(x, y, 0.58, 0.58),
    "hexagon": lambda x, y: polygon(x, y, 6, 0.66),
    "star": _star,
    "cross": _cross,
    "heart": _heart,
    "ring": _ring,
    "crescent": _crescent,
    "semicircle": _semicircle,
}
HOLLOW = "hollow"
SHAPES: tuple[str, ...] = tuple(name for figure in FIGURES for name in (figure, f"{HOLLOW} {figure}"))


def draw_shape(name: str, sheet: Sheet) -> Array:
    """Mask (n, 32, 32) of a figure or its outline; hard ones are turned by up to half a right angle and stretched."""
    x, y = posed(sheet, turn=np.pi / 3)
    stretch = np.exp(sheet.spread(4, 0.25))
    *hollow, figure = name.split()
    distance = FIGURES[figure](x * stretch, y / stretch)
    return covered(np.abs(distance + 0.07) - 0.07 if hollow else distance)


COMPASS = (
    "north", "north northeast", "northeast", "east northeast", "east", "east southeast", "southeast", "south southeast",
    "south", "south southwest", "southwest", "west southwest", "west", "west northwest", "northwest", "north northwest",
)  # fmt: skip
ARROWS: dict[str, float] = {name: np.pi / 2 - index * np.pi / 8 for index, name in enumerate(COMPASS)}


def draw_arrow(name: str, sheet: Sheet) -> Array:
    """Mask of an arrow pointing to a point of the compass; hard ones are darts without shaft, bent off course."""
    x, y = posed(sheet, turn=0.2, shift=0.35, shrink=0.35)
    x, y = x * np.cos(ARROWS[name]) + y * np.sin(ARROWS[name]), y * np.cos(ARROWS[name]) - x * np.sin(ARROWS[name])
    reach = sheet.number(4, 0.35, 0.55)
    head = np.maximum(x - 0.8, (x - 0.8) * 0.5 + np.abs(y) * sheet.number(5, 0.8, 1.2))
    head = np.maximum(head, 0.8 - reach - x)
    shaft = box(x + 0.1, y, 0.65, 0.1)
    dart = np.maximum((x - 0.8) * 0.4 + np.abs(y), 0.35 - 0.55 * np.abs(y) - (x + 0.8))
    dart = np.maximum(dart, -(x + 0.75) + 0.9 * (0.45 - np.abs(y)))
    is_dart = sheet.number(6) < 1.2 * (sheet.hardness - 0.4)
    return covered(np.where(is_dart, dart, np.minimum(head, shaft)))


LETTERS: dict[str, str] = {
    "letter a": ".###. #...# #...# ##### #...# #...# #...#",
    "letter b": "####. #...# #...# ####. #...# #...# ####.",
    "letter c": ".###. #...# #.... #.... #.... #...# .###.",
    "letter d": "####. #...# #...# #...# #...# #...# ####.",
    "letter e": "##### #.... #.... ####. #.... #.... #####",
    "letter f": "##### #.... #.... ####. #.... #.... #....",
    "letter g": ".###. #...# #.... #.### #...# #...# .####",
    "letter h": "#...# #...# #...# ##### #...# #...# #...#",
    "letter i": ".###. ..#.. ..#.. ..#.. ..#.. ..#.. .###.",
    "letter j": "..### ...#. ...#. ...#. ...#. #..#. .##..",
    "letter k": "#...# #..#. #.#.. ##... #.#.. #..#. #...#",
    "letter l": "#.... #.... #.... #.... #.... #.... #####",
    "letter m": "#...# ##.## #.#.# #.#.# #...# #...# #...#",
    "letter n": "#...# #...# ##..# #.#.# #..## #...# #...#",
    "letter o": ".###. #...# #...# #...# #...# #...# .###.",
    "letter p": "####. #...# #...# ####. #.... #.... #....",
    "letter q": ".###. #...# #...# #...# #.#.# #..#. .##.#",
    "letter r": "####. #...# #...# ####. #.#.. #..#. #...#",
    "letter s": ".#### #.... #.... .###. ....# ....# ####.",
    "letter t": "##### ..#.. ..#.. ..#.. ..#.. ..#.. ..#..",
    "letter u": "#...# #...# #...# #...# #...# #...# .###.",
    "letter v": "#...# #...# #...# #...# #...# .#.#. ..#..",
    "letter w": "#...# #...# #...# #.#.# #.#.# #.#.# .#.#.",
    "letter x": "#...# #...# .#.#. ..#.. .#.#. #...# #...#",
    "letter y": "#...# #...# .#.#. ..#.. ..#.. ..#.. ..#..",
    "letter z": "##### ....# ...#. ..#.. .#... #.... #####",
}


def draw_letter(name: str, sheet: Sheet) -> Array:
    """Mask of a capital letter from a 5 x 7 dot font, bilinear; hard ones lean, thin out and turn."""
    bitmap = np.zeros((11, 9), dtype=np.float32)
    bitmap[2:9, 2:7] = [[dot == "#" for dot in row] for row in LETTERS[name].split()]
    x, y = posed(sheet, turn=0.5)
    column = np.clip((x + y * sheet.spread(4, 0.4)) * 3.2 * np.exp(sheet.spread(5, 0.2)) + 4, 0, 7.999)
    row = np.clip(-y * 4.2 + 5, 0, 9.999)
    left, top = column.astype(np.int64), row.astype(np.int64)
    right, below = column - left, row - top
    upper = bitmap[top, left] * (1 - right) + bitmap[top, left + 1] * right
    lower = bitmap[top + 1, left] * (1 - right) + bitmap[top + 1, left + 1] * right
    ink = upper * (1 - below) + lower * below
    threshold = 0.45 + sheet.spread(6, 0.2)
    return np.clip((ink - threshold) * 3 + 0.5, 0, 1).astype(np.float32)


COURSES: dict[str, Callable[[Array, Array, Array], Array]] = {
    "rising": lambda x, pace, start: x,
    "falling": lambda x, pace, start: -x,
    "flat": lambda x, pace, start: 0.0 * x + 1.2 * (start - 0.5),
    "wavy": lambda x, pace, start: np.sin((4 + 4 * pace) * x + 6.3 * start),
    "peaked": lambda x, pace, start: 2 * np.exp(-(((x - start + 0.5) / (0.25 + 0.2 * pace)) ** 2)) - 1,
    "dipped": lambda x, pace, start: 1 - 2 * np.exp(-(((x - start + 0.5) / (0.25 + 0.2 * pace)) ** 2)),
    "stepped": lambda x, pace, start: np.floor((x + 1) * (1.5 + pace) + 0.3 * start) / (1.5 + pace) - 0.9,
    "jagged": lambda x, pace, start: 2 * np.mod((1 + pace) * x + start, 1) - 1,
    "soaring": lambda x, pace, start: 2 * np.exp((2.5 + 2 * pace) * (x - 1)) - 1,
    "saturating": lambda x, pace, start: 1 - 2 * np.exp(-(2.5 + 2 * pace) * (x + 1)),
}
CHARTS = ("line", "bar")
CURVES: tuple[str, ...] = tuple(f"{course} {chart}" for course in COURSES for chart in CHARTS)


def draw_curve(name: str, sheet: Sheet) -> Array:
    """Mask of a plotted curve; easy ones lie on axes, hard ones have ripples and no axes."""
    x, y = canvas()
    course, chart = name.split()
    bars = chart == "bar"
    width = sheet.number(9, 3, 5)
    x_shown = np.where(bars, (np.floor(x * width) + 0.5) / width, x)
    ripple = sheet.hardness * sheet.number(4, 0.05, 0.25) * np.sin(x_shown * sheet.number(5, 9, 25) + 6.3 * sheet.number(6))
    height = COURSES[course](x_shown / 0.9, sheet.number(0), sheet.number(1)) * (0.75 - 0.35 * sheet.hardness * sheet.number(2))
    height = height + ripple + sheet.spread(3, 0.25)
    slope = np.abs(np.gradient(height, 2 / SIZE, axis=2))
    line = np.abs(y - height) / np.sqrt(1 + slope**2) - sheet.number(7, 0.06, 0.13)
    filled = np.maximum(y - height, np.abs(x_shown - x) - 0.33 / width)
    axes = np.minimum(np.abs(x + 0.94), np.abs(y + 0.94)) - 0.03
    return np.maximum(covered(np.where(bars, filled, line)), 0.6 * covered(axes) * (sheet.hardness < 0.5))
