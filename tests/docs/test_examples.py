"""The scripts of ``examples/`` run as their first lines say."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
def test_the_controls_of_codyra_make_a_row_each(repository: Path, tmp_path: Path) -> None:
    """On so few steps that nothing is pruned yet: the numbers say nothing, the rows are what is looked at."""
    command = [sys.executable, str(repository / "examples" / "rank_controls.py"), "--streams", "mini-trace", "--steps", "4"]
    done = subprocess.run(
        [*command, "--rates", "1e-3", "--seeds", "0", "1"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in done.stdout.splitlines()[2:]]
    assert [row[:2] for row in rows] == [["mini-trace", method] for method in ("codyra", "squeeze", "random-parts", "lora")]
    merged = [float(row[3]) for row in rows]
    assert (
        merged[1] == merged[2] == pytest.approx(merged[0], abs=0.2)
    )  # the controls merge what CoDyRA merged with the tuning seed
    assert all("±" in row[4] for row in rows)
    assert [bool(row[5]) for row in rows] == [False, True, True, True]
