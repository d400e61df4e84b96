"""The table on a terminal: what it says when there is nothing to show."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from suite.cli.board import print_frame
from suite.config import RunConfig
from suite.leaderboard.ranking import board
from suite.leaderboard.runs import RunSet
from trainables.run import RunContext, execute


def test_a_board_without_finished_runs_says_what_shows_the_rest(
    make_config: Callable[..., RunConfig], run_context: RunContext, capsys: pytest.CaptureFixture[str]
) -> None:
    finished = execute(make_config("zero-shot"), run_context)
    failed = finished.model_copy(update={"status": "failed", "reason": "nan", "study": "night", "trial": 0})
    capsys.readouterr()
    print_frame(board(RunSet([failed])), None)
    assert "no finished run" in (said := capsys.readouterr().out) and "--all-trials" in said
    assert len(said.splitlines()) == 1
    print_frame(board(RunSet([failed]), all_trials=True), None)
    assert "failed after" in capsys.readouterr().out
    print_frame(board(RunSet([finished])), None)
    assert "no finished run" not in capsys.readouterr().out
