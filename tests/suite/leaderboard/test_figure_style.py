"""One colour per method, whatever stands beside it."""

from __future__ import annotations

from suite.leaderboard.figure_style import COLOURS, DARK, METHOD_COLOURS, WELL_KNOWN, method_colour, method_looks
from suite.registry import METHODS


def test_a_method_has_its_colour_in_any_company() -> None:
    alone = method_looks({"a": "replay + codyra"})["a"]
    beside = method_looks({"x": "lora", "y": "codyra", "z": "replay + codyra"})
    assert beside["z"].colour == alone.colour == method_colour("replay + codyra")
    assert len({method_colour(name) for name in WELL_KNOWN}) == len(WELL_KNOWN)
    assert set(WELL_KNOWN) <= set(METHODS)


def test_rows_of_one_colour_differ_by_marker() -> None:
    looks = method_looks({f"codyra {number}": "codyra" for number in range(8)})
    assert {look.colour for look in looks.values()} == {method_colour("codyra")}
    assert len({look.marker for look in looks.values()}) == 8


def test_every_colour_has_one_for_dark_pages() -> None:
    assert {colour.upper() for colour in (*COLOURS, *METHOD_COLOURS)} <= set(DARK)
