from __future__ import annotations

import pytest

from suite.measuring.leaderboard import measure_board


@pytest.mark.slow
def test_every_figure_is_measured() -> None:
    """On five made-up runs, one of each method, in a real database; the figures themselves are a machine's own."""
    figures = measure_board(5)
    assert [unit for _, _, unit in figures] == ["s", "s", "s", "s", "MiB", "MiB"]
    assert all(value > 0 for _, value, _ in figures)
    assert figures[0][0] == "read 5 runs from MLflow"
