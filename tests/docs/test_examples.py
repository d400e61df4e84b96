"""The scripts of ``examples/`` run as their first lines say."""

from __future__ import annotations

import os
import re
import statistics
import subprocess
import sys
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest


def run_script(script: Path, place: Path) -> list[str]:
    """Lines that a script prints, run in the folder ``place``."""
    environment = {**os.environ, "MPLBACKEND": "agg", "COLUMNS": "80"}
    done = subprocess.run(
        [sys.executable, str(script)], cwd=place, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout.splitlines()


def has_drawn(file: Path) -> bool:
    """Whether a picture is more than one colour."""
    return len(np.unique(matplotlib.image.imread(file).reshape(-1, 4), axis=0)) > 10


@pytest.mark.slow
def test_one_run_is_trained_printed_and_drawn(repository: Path, tmp_path: Path) -> None:
    lines = run_script(repository / "examples" / "one_run.py", tmp_path)
    assert re.match(r"run [0-9a-f]{16}: finished", lines[0])
    rows = {line.split()[0]: line.split()[1:] for line in lines[3:7]}
    assert list(rows) == ["nothing", "shapes", "letters", "digits"] and all(len(cells) == 3 for cells in rows.values())
    assert lines[-1] == "accuracy_matrix.png" and has_drawn(tmp_path / lines[-1])


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_methods_are_compared_and_tuned(repository: Path, tmp_path: Path) -> None:
    lines = run_script(repository / "examples" / "compare_and_tune.py", tmp_path)
    heads = [place for place, line in enumerate(lines) if "method" in line.split()]
    tables = [{line.split()[0] for line in lines[place + 1 : place + 4]} for place in heads]
    assert tables == [{"zero-shot", "lora", "olora"}] * 2
    assert all(has_drawn(tmp_path / name) for name in lines[-1].split())


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
