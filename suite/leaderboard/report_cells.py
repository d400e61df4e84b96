"""Cells of the page's tables."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Cell:
    """One table cell: what is shown, and what it is sorted by; an empty value stays last in both directions."""

    text: str
    value: float | str


def sortable(value: float) -> float | str:
    """What a number is sorted by; nothing where there is none."""
    return "" if math.isnan(value) else float(value)


def is_blank(value: Any) -> bool:
    """Whether a value of a frame says nothing."""
    return value in ("", "none") or (isinstance(value, float) and math.isnan(value))


def number_cell(value: Any, scale: float = 1) -> Cell:
    """A text, or a number divided by ``scale`` with as many digits as its size needs."""
    if isinstance(value, str):
        return Cell(value, value)
    if math.isnan(value):
        return Cell("-", "")
    shown = value / scale
    text = f"{shown:,.0f}" if shown == int(shown) else f"{shown:,.1f}" if abs(shown) >= 10 else f"{shown:.2f}"
    return Cell(text, float(value))


def setting_cell(value: Any) -> Cell:
    """A hyperparameter with all its digits."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return Cell(f"{value:g}", float(value)) if is_number else Cell(str(value), str(value))
