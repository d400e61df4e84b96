"""Cells of the page's tables."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Cell:
    """One table cell: what is shown, and what it is sorted by; an empty value stays last in both directions."""

    text: str
    value: float | str


def sortable(value: float) -> float | str:
    """What a number is sorted by; nothing where there is none."""
    return "" if math.isnan(value) else float(value)
