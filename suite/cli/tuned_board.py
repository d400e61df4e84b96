"""A tuning on a terminal: default against tuned setting on fresh runs, what the search was worth, and what can be quoted."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import typer

from suite.cli.board import MARKS
from suite.cli.tables import Column, Sheet, print_line, print_sheet
from suite.leaderboard.table import number_text, with_spread
from suite.leaderboard.tuned import Tuning
from suite.leaderboard.tuned_sensitivity import summary_frame
from suite.leaderboard.tuned_table import TunedBoard, tuned_boards
from suite.leaderboard.tuned_words import LEGEND, SENSITIVITY, closing
from suite.tuning.tune_config import amount

Row = Mapping[Any, Any]
COLUMNS = (
    Column("method", wraps=True),
    Column("default\nsetting", "default"),
    Column("tuned\nsetting", "tuned"),
    Column("gain"),
    Column("95 %\ninterval", optional=1),
    Column("p of\ngain", optional=3),
    Column("n", optional=2),
    Column("optimism", optional=4),
    Column("trials", optional=5),
    Column("seconds", optional=6),
    Column("settings", wraps=True, optional=7),
)
SEARCHED = (
    Column("method", wraps=True),
    Column("after one\ntrial", "after 1"),
    Column("after\nhalf", "half"),
    Column("80 % of\nhalves", "80 %", optional=2),
    Column("after\nall", "all"),
    Column("share of\nspace", "share"),
    Column("95 %\ninterval", optional=1),
)


def print_tuning(tuning: Tuning) -> None:
    """Every benchmark of a tuning, finished or not."""
    search = summary_frame(tuning)
    for board in tuned_boards(tuning):
        print_sheet(_judged(tuning, board))
        found = [row for row in search.to_dict("records") if row["benchmark"] == board.benchmark]
        if found:
            title = f"{board.benchmark}: best validation score expected after fewer trials, in %"
            print_sheet(Sheet(title, SEARCHED, [_searched(row) for row in found], [SENSITIVITY]))
        print_line(closing(tuning, board))
        typer.echo()


def _judged(tuning: Tuning, board: TunedBoard) -> Sheet:
    rows = board.rows.to_dict("records")
    first = rows[0]
    orders = f", order {first['orders']}" if first["orders"] else ""
    metric = next((row["metric"] for row in rows if row["metric"]), "nothing judged yet")
    title = f"tuning {tuning.name}: {board.benchmark}, {metric} in %, judged on seeds {first['seeds']}{orders}"
    budget = max((row["budget"] for row in rows), default=0.0)
    notes = [LEGEND, *([f"budget of every study: {amount(budget, tuning.unit)}"] if budget else [])]
    elsewhere = "a wider terminal or 'codyra-suite report' shows them"
    return Sheet(title, COLUMNS, [_cells(row) for row in rows], notes, elsewhere=elsewhere)


def _cells(row: Row) -> list[str]:
    interval = "-" if math.isnan(row["gain low"]) else f"{row['gain low']:+.1f} to {row['gain high']:+.1f}"
    return [
        row["method"],
        with_spread(row["default"], row["default std"]) + MARKS.get(row["default standing"], ""),
        with_spread(row["tuned"], row["tuned std"]) + MARKS.get(row["standing"], ""),
        _signed(row["gain"]),
        interval,
        "-" if math.isnan(row["gain p"]) else f"{row['gain p']:.3f}",
        f"{row['tuned n'] or row['default n']} of {row['planned']}",
        _signed(row["optimism"]),
        str(row["trials"]) if row["trials"] else "-",
        f"{row['trial seconds'] + row['judging seconds']:.0f}",
        row["settings"] or "-",
    ]


def _searched(row: Row) -> list[str]:
    around = "-" if math.isnan(row["share"]) else f"{row['share low']:.0%} to {row['share high']:.0%}"
    return [
        row["method"],
        number_text(row["after one"]),
        number_text(row["after half"]),
        f"{row['half low']:.1f} to {row['half high']:.1f}",
        number_text(row["after all"]),
        "-" if math.isnan(row["share"]) else f"{row['share']:.0%}",
        around,
    ]


def _signed(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:+.1f}"
