"""Drawn image domains with structure over the whole canvas or colours of their own: textures, faces and flags."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from suite.data.drawn_shapes import Array, Sheet, canvas, covered, posed, segment


def _striped(x: Array, y: Array, wobble: Array) -> Array:
    return np.sin(3.1 * x)


def _dotted(x: Array, y: Array, wobble: Array) -> Array:
    return 1.1 - 2.2 * np.hypot(np.mod(x, 2) - 1, np.mod(y, 2) - 1)


def _checkered(x: Array, y: Array, wobble: Array) -> Array:
    return 4 * np.sin(2.2 * x) * np.sin(2.2 * y)


def _meshed(x: Array, y: Array, wobble: Array) -> Array:
    return 3 * np.maximum(np.cos(np.pi * x), np.cos(np.pi * y)) - 2.3


def _zigzag(x: Array, y: Array, wobble: Array) -> Array:
    return np.sin(3.1 * (y + 1.2 * np.abs(np.mod(x, 2) - 1)))


def _spiralled(x: Array, y: Array, wobble: Array) -> Array:
    return np.sin(2.2 * np.hypot(x, y) + np.arctan2(y, x))


def _ripples(x: Array, y: Array, wobble: Array) -> Array:
    return np.sin(2.6 * np.hypot(x, y) + 1)


def _bricked(x: Array, y: Array, wobble: Array) -> Array:
    row = np.floor(y)
    mortar = np.minimum(np.abs(np.mod(y, 1) - 0.5), 1.6 * np.abs(np.mod(x / 2 + 0.5 * row, 1) - 0.5))
    return 8 * (mortar - 0.12)


def _marbled(x: Array, y: Array, wobble: Array) -> Array:
    return np.sin(1.4 * x + 2.2 * np.sin(0.9 * y + 6 * wobble) + 1.5 * np.sin(1.7 * x + 1.1 * y))


def _waved(x: Array, y: Array, wobble: Array) -> Array:
    return np.sin(3.1 * (y + 0.5 * np.sin(1.6 * x)))


PATTERNS: dict[str, Callable[[Array, Array, Array], Array]] = {
    "striped": _striped,
    "dotted": _dotted,
    "checkered": _checkered,
    "meshed": _meshed,
    "zigzag": _zigzag,
    "spiralled": _spiralled,
    "rippled": _ripples,
    "bricked": _bricked,
    "marbled": _marbled,
    "waved": _waved,
}
PACES = {"fine": 5.4, "coarse": 2.4}  # repeats of the pattern
TEXTURES: tuple[str, ...] = tuple(f"{pace} {pattern}" for pattern in PATTERNS for pace in PACES)


def draw_texture(name: str, sheet: Sheet) -> Array:
    """Mask (n, 32, 32) of a pattern that fills the canvas; hard ones are turned, bent and of another scale."""
    x, y = posed(sheet, turn=np.pi / 2, shift=0.5, shrink=0.0)
    bend = sheet.spread(4, 0.35)
    x, y = x + bend * np.sin(2.5 * y), y + bend * np.sin(2.5 * x + 1)
    fineness, pattern = name.split()
    pace = PACES[fineness] * np.exp(sheet.spread(5, 0.35))
    wave = PATTERNS[pattern](x * pace, y * pace, sheet.number(6))
    return np.clip(0.5 + 1.2 * wave + sheet.spread(7, 0.4), 0, 1).astype(np.float32)


def _mouth(x: Array, y: Array, bend: float, *, width: float = 0.36, at: float = -0.32) -> Array:
    arc = np.abs(y - at - bend * (x**2 / width**2 - 0.5) * width) - 0.06
    return np.maximum(arc, np.abs(x) - width)


def _eye(x: Array, y: Array, side: int, *, shut: bool = False, size: float = 0.1) -> Array:
    centre = 0.3 * side
    if shut:
        return segment(x, y, (centre - 0.14, 0.2), (centre + 0.14, 0.2)) - 0.05
    return np.hypot(x - centre, y - 0.22) - size


def _brows(x: Array, y: Array, slant: float) -> Array:
    left = segment(x, y, (-0.45, 0.48 + slant), (-0.15, 0.48 - slant)) - 0.05
    return np.minimum(left, segment(x, y, (0.45, 0.48 + slant), (0.15, 0.48 - slant)) - 0.05)


def _eyes(x: Array, y: Array, *, shut: bool = False, size: float = 0.1) -> Array:
    return np.minimum(_eye(x, y, -1, shut=shut, size=size), _eye(x, y, 1, shut=shut, size=size))


def _open_mouth(x: Array, y: Array) -> Array:
    return np.maximum(np.hypot(x, y + 0.15) - 0.42, y + 0.18)


EXPRESSIONS: dict[str, Callable[[Array, Array], tuple[Array, ...]]] = {
    "happy": lambda x, y: (_eyes(x, y), _mouth(x, y, 0.8)),
    "sad": lambda x, y: (_eyes(x, y), _mouth(x, y, -0.8)),
    "bored": lambda x, y: (_eyes(x, y), _mouth(x, y, 0.0)),
    "angry": lambda x, y: (_eyes(x, y), _brows(x, y, 0.1), _mouth(x, y, -0.4)),
    "worried": lambda x, y: (_eyes(x, y), _brows(x, y, -0.1), _mouth(x, y, -0.4)),
    "surprised": lambda x, y: (_eyes(x, y, size=0.16), np.hypot(x, y + 0.35) - 0.18),
    "sleepy": lambda x, y: (_eyes(x, y, shut=True), _mouth(x, y, 0.0, width=0.2)),
    "winking": lambda x, y: (_eye(x, y, -1), _eye(x, y, 1, shut=True), _mouth(x, y, 0.8)),
    "laughing": lambda x, y: (_eyes(x, y, shut=True), _open_mouth(x, y)),
}
BEARDED = "bearded"
FACES: tuple[str, ...] = tuple(name for mood in EXPRESSIONS for name in (mood, f"{mood} {BEARDED}"))


def draw_face(name: str, sheet: Sheet) -> Array:
    """Colour images (n, 3, 32, 32) in 0 to 1: dark features on a skin-coloured head; hard ones tilt, shrink and pale."""
    x, y = posed(sheet, turn=0.5, shift=0.25, shrink=0.25)
    mood, *beard = name.split()
    features = covered(np.minimum.reduce(EXPRESSIONS[mood](x * np.exp(sheet.spread(4, 0.15)), y)))[:, None]
    round_head = np.hypot(x, y) - 0.85
    head = covered(round_head)[:, None]
    chin = covered(np.maximum(round_head, y + 0.45 - 0.5 * x**2))[:, None] * bool(beard)
    tone = sheet.number(5)[:, None] * sheet.hardness[:, None]
    skin = _colour(1.0, 0.82, 0.3) * (1 - tone) + _colour(0.5, 0.3, 0.55) * tone
    backdrop = np.concatenate([sheet.number(column)[:, None] for column in (6, 7, 8)], axis=1)
    backdrop = 0.15 + 0.75 * backdrop * sheet.hardness[:, None]
    ink = 0.05 + 0.25 * sheet.number(9)[:, None] * sheet.hardness[:, None]
    hair = _colour(0.45, 0.3, 0.15) * (1 - tone) + _colour(0.6, 0.6, 0.6) * tone
    image = backdrop * (1 - head) + skin * head
    image = image * (1 - chin) + hair * chin
    return (image * (1 - features) + ink * features).astype(np.float32)


def _colour(red: float, green: float, blue: float) -> Array:
    return np.array([red, green, blue], dtype=np.float32).reshape(1, 3, 1, 1)


RED, WHITE, BLUE = _colour(0.85, 0.1, 0.15), _colour(1, 1, 1), _colour(0.05, 0.2, 0.65)
GREEN, YELLOW, BLACK = _colour(0.05, 0.55, 0.25), _colour(1, 0.82, 0.1), _colour(0.05, 0.05, 0.05)
ORANGE = _colour(0.95, 0.5, 0.1)
BANDS: dict[str, tuple[bool, tuple[Array, ...]]] = {  # (bands lie one above the other, colours from top or left)
    "france": (False, (BLUE, WHITE, RED)),
    "italy": (False, (GREEN, WHITE, RED)),
    "belgium": (False, (BLACK, YELLOW, RED)),
    "ireland": (False, (GREEN, WHITE, ORANGE)),
    "romania": (False, (BLUE, YELLOW, RED)),
    "nigeria": (False, (GREEN, WHITE, GREEN)),
    "mali": (False, (GREEN, YELLOW, RED)),
    "guinea": (False, (RED, YELLOW, GREEN)),
    "peru": (False, (RED, WHITE, RED)),
    "germany": (True, (BLACK, RED, YELLOW)),
    "netherlands": (True, (RED, WHITE, BLUE)),
    "austria": (True, (RED, WHITE, RED)),
    "poland": (True, (WHITE, RED)),
    "russia": (True, (WHITE, BLUE, RED)),
    "hungary": (True, (RED, WHITE, GREEN)),
    "bulgaria": (True, (WHITE, GREEN, RED)),
    "ukraine": (True, (BLUE, YELLOW)),
    "estonia": (True, (BLUE, BLACK, WHITE)),
    "lithuania": (True, (YELLOW, GREEN, RED)),
    "gabon": (True, (GREEN, YELLOW, BLUE)),
}
CROSSES: dict[str, tuple[Array, Array]] = {"sweden": (BLUE, YELLOW), "denmark": (RED, WHITE), "finland": (WHITE, BLUE)}
DISCS: dict[str, tuple[Array, Array]] = {"japan": (WHITE, RED), "bangladesh": (GREEN, RED), "palau": (BLUE, YELLOW)}
FLAGS: tuple[str, ...] = (*BANDS, *CROSSES, *DISCS)


def _cloth(name: str, x: Array, y: Array) -> Array:
    """Colours of a flag at cloth coordinates -1 to 1; (n, 3, 32, 32)."""
    if name in BANDS:
        stacked, colours = BANDS[name]
        position = (1 - y if stacked else 1 + x) / 2 * len(colours)
        band = np.clip(np.floor(position), 0, len(colours) - 1)[:, None]
        layers = [(band == index) * colour for index, colour in enumerate(colours)]
        return np.asarray(np.sum(layers, axis=0, dtype=np.float32))
    if name in CROSSES:
        ground, cross = CROSSES[name]
        mask = covered(np.minimum(np.abs(x + 0.25), np.abs(y)) - 0.16)[:, None]
    else:
        ground, cross = DISCS[name]
        mask = covered(np.hypot(x, y) - 0.5)[:, None]
    return ground * (1 - mask) + cross * mask


def draw_flag(name: str, sheet: Sheet) -> Array:
    """Colour images (n, 3, 32, 32) of a flag; hard ones wave, hang turned, fade and stand in coloured light."""
    x, y = posed(sheet, turn=0.7, shift=0.3, shrink=0.4)
    y = y * 1.4 + sheet.spread(4, 0.35) * np.sin(3 * x + 6.3 * sheet.number(5))
    flag = _cloth(name, x, y)
    inside = covered(np.maximum(np.abs(x), np.abs(y)) - 1)[:, None]
    light = np.concatenate([1 + sheet.spread(column, 0.45)[:, None] for column in (6, 7, 8)], axis=1)
    fade = 0.5 * sheet.hardness[:, None] * sheet.number(9)[:, None]
    flag = (flag * (1 - fade) + 0.5 * fade) * light
    sky = np.concatenate([sheet.number(column)[:, None] for column in (10, 11, 12)], axis=1)
    sky = 0.55 + (sky - 0.5) * sheet.hardness[:, None] + 0.15 * canvas()[1][:, None]
    return np.clip(flag * inside + sky * (1 - inside), 0, 1).astype(np.float32)
