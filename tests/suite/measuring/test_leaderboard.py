from __future__ import annotations

import pytest

from suite.measuring.leaderboard import measure_board
from suite.measuring.tracked_board import measure_commands


@pytest.mark.slow
def test_every_figure_is_measured() -> None:
    """On five made-up runs, one of each method, in a real database; the figures themselves are a machine's own."""
    figures = measure_board(5)
    assert [unit for _, _, unit in figures] == ["s", "s", "s", "s", "MiB", "MiB"]
    assert all(value > 0 for _, value, _ in figures)
    assert figures[0][0] == "read 5 runs from MLflow"


@pytest.mark.slow
def test_commands_are_timed_on_some_runs_of_a_larger_database() -> None:
    """Copies of a trained run are read like any other: all rows of one benchmark, one chosen trial of a study, nothing."""
    found = list(measure_commands(6, 8))
    assert [cost.typed for cost in found] == [
        "--benchmark measured",
        "--study searched",
        "--setting 'order II'",
        "--benchmark nowhere",
    ]
    assert all(cost.cpu_seconds > 0 for cost in found)
    assert found[0].said.startswith("measured (order II, ") and found[1].said.startswith("other (order I, ")
    assert found[2].said == found[0].said
    assert "no run matches benchmark = 'nowhere' (benchmark alone leaves 0 of 15)" in found[3].said
