"""The sentence that says who wins on a stream."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from suite.cli.board import board_sheet
from suite.leaderboard.board_page import board_rows
from suite.leaderboard.ranking import board, row_labels
from suite.leaderboard.runs import RunSet
from suite.leaderboard.winners import winner_sentence


def test_a_row_that_is_ahead_of_all_is_said_to_be_better(make_runs: Callable[..., RunSet]) -> None:
    part = board(make_runs({"good": 0.9, "bad": 0.3}, seeds=2))
    sentence = winner_sentence(part)
    lead = part["zscl.last"][0] - part["zscl.last"][1]
    assert sentence.startswith(
        f"On b (order I) good is better than bad: zscl.last {part['zscl.last'][0]:.1f} %, {lead:.1f} points ahead of bad"
    )
    assert sentence.endswith("Rows share 2 seeds: this speaks for other examples and other seeds.")
    assert sentence in board_sheet(part, "title").notes


def test_what_cannot_be_told_apart_is_said(make_runs: Callable[..., RunSet]) -> None:
    sentence = winner_sentence(board(make_runs({"good": 0.8, "same": 0.8, "bad": 0.3})))
    assert "no row is shown to be the best" in sentence
    assert "cannot be told from it" in sentence
    assert "beyond chance behind it: bad. Rows share one seed at most" in sentence


def test_one_row_has_nothing_to_be_compared_with(make_runs: Callable[..., RunSet]) -> None:
    assert "there is nothing to compare: codyra alone has finished runs" in winner_sentence(board(make_runs({"codyra": 0.8})))


def test_rows_of_one_method_are_called_alike_in_sentence_table_and_page(make_runs: Callable[..., RunSet]) -> None:
    runs = make_runs({"lora": 0.8, "codyra": 0.5})
    two = [record.model_copy(update={"config": {**record.config, "method": {"name": "lora"}}}) for record in runs.records]
    runs = replace(runs, records=two)
    part = board(runs)
    names = row_labels(part)
    assert len(set(names)) == 2 and all(name in winner_sentence(part) for name in names)
    rows = board_sheet(part, "title").rows
    assert all(str(row[0]).startswith(name) for row, name in zip(rows, names, strict=True))
    assert [row.method for row in board_rows(part, runs, {})] == names
