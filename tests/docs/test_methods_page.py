"""``docs/methods.md`` has a row for every method, and says of it what its code says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from suite.registry import METHODS

KINDS = {"CLIP": "clip", "LM": "lm"}


@pytest.fixture(scope="module")
def rows() -> dict[str, list[str]]:
    """Cells of the tables that describe methods, by the method's name."""
    page = (Path(__file__).resolve().parents[2] / "docs" / "methods.md").read_text(encoding="utf-8")
    lines = re.findall(r"^\| `([a-z0-9-]+)` \| ((?:CLIP|LM).*) \|$", page, flags=re.MULTILINE)
    found = {name: [cell.strip() for cell in cells.split("|")] for name, cells in lines}
    assert len(found) == len(lines)
    return found


def test_every_method_has_one_row(rows: dict[str, list[str]]) -> None:
    assert set(rows) == {name for name in METHODS if METHODS.entries[name].package is None}


@pytest.mark.parametrize("name", sorted(METHODS))
def test_a_row_says_what_the_code_says(name: str, rows: dict[str, list[str]]) -> None:
    if name not in rows:
        pytest.skip("of an installed plug-in")
    backbones, stores, at_test, decision, extra_data, merges, source = rows[name]
    method = METHODS[name]().build()
    assert {KINDS[kind] for kind in backbones.split(" and ")} == method.needs - {"references"}
    assert decision == {"sample": "example", "batch": "batch"}[method.decision] + (
        ", task id" if method.task_id_at_test else ""
    )
    assert extra_data == (method.extra_data or "none")
    assert merges == ("yes" if method.mergeable else "no")
    assert stores and at_test and source
