"""The scripts of ``examples/`` run as their first lines say."""

from __future__ import annotations

import statistics
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
def test_the_controls_of_codyra_make_a_row_each(repository: Path, tmp_path: Path) -> None:
    """On as few steps as the thresholds need: the numbers say nothing of methods, the rows are what is looked at."""
    command = [sys.executable, str(repository / "examples" / "rank_controls.py"), "--streams", "mini-trace", "--steps", "40"]
    done = subprocess.run(
        [*command, "--rates", "1e-3", "--seeds", "0", "1"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in done.stdout.splitlines()]
    rows, by_seed = cells[2:6], cells[9:]
    assert [row[:2] for row in rows] == [["mini-trace", method] for method in ("codyra", "squeeze", "random-parts", "lora")]
    merged = [float(row[3]) for row in rows]
    # The controls merge what CoDyRA merged with the tuning seed; so few steps leave what is drawn, less what the thresholds take.
    assert merged[1] == merged[2] == pytest.approx(merged[0], abs=1.0)
    assert merged[0] == pytest.approx(float(rows[0][4]), abs=1.0) and 8 < merged[0] < 16
    assert [bool(row[4]) for row in rows] == [True, False, False, False]
    assert all("±" in row[5] for row in rows)
    assert [bool(row[6] and row[7]) for row in rows] == [False, True, True, True]
    stream, *ranks = by_seed[0]
    assert (
        stream == "mini-trace" and len(ranks) == 2 and statistics.mean(map(float, ranks)) == pytest.approx(merged[0], abs=0.01)
    )
