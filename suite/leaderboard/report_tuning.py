"""What the page says of a tuning: its table, its closing sentences, whose place changed, and how much hangs on the search."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from suite.leaderboard.report_cells import Cell, sortable
from suite.leaderboard.report_pictures import Picture, drawn
from suite.leaderboard.table import p_text, with_spread
from suite.leaderboard.tuned import Tuning
from suite.leaderboard.tuned_figures import bump_figure, sensitivity_figure
from suite.leaderboard.tuned_sensitivity import summary_frame
from suite.leaderboard.tuned_standings import stream_text
from suite.leaderboard.tuned_table import TunedBoard, tuned_boards
from suite.leaderboard.tuned_words import SENSITIVITY, closing, legend

Row = Mapping[Any, Any]
MARKS = {"best": " ◆", "not separable": " ◇"}
HEADS = (
    "method",
    "default setting",
    "tuned setting",
    "gain",
    "95 % interval",
    "p of gain",
    "runs",
    "optimism",
    "trials",
    "seconds",
    "settings",
)
SEARCH = (
    "method",
    "trials",
    "after one",
    "after half",
    "80 % of halves",
    "after all",
    "share of space",
    "95 % interval",
    "random trials",
)


@dataclass(frozen=True)
class TuningView:
    """One benchmark of a tuning."""

    name: str
    benchmark: str
    stream: str
    result: str
    rows: Sequence[Sequence[Cell]]
    search: Sequence[Sequence[Cell]]
    pictures: Sequence[Picture]
    legend: str
    heads: Sequence[str] = HEADS
    search_heads: Sequence[str] = SEARCH
    search_legend: str = SENSITIVITY


def tuning_views(tunings: Sequence[Tuning]) -> list[TuningView]:
    """Every benchmark of every tuning, in their order."""
    return [_view(tuning, board) for tuning in tunings for board in tuned_boards(tuning)]


def _view(tuning: Tuning, board: TunedBoard) -> TuningView:
    summary = summary_frame(tuning)
    summary = summary[summary["benchmark"] == board.benchmark]
    return TuningView(
        name=tuning.name,
        benchmark=board.benchmark,
        stream=", ".join(filter(None, [stream_text(board), board.tasks.partition(": ")[2]])),
        result=closing(tuning, board),
        rows=[_cells(row) for row in board.rows.to_dict("records")],
        search=[_search_cells(row) for row in summary.to_dict("records")],
        legend=legend(tuning, board.benchmark),
        pictures=drawn(
            f"tuning {tuning.name}, {board.benchmark}: ",
            [
                ("order of methods by default and by tuned settings", lambda: bump_figure(board), True),
                (
                    f"validation score ({tuning.score_name}) expected after so many trials, and the share of the space that is nearly as good",
                    lambda: sensitivity_figure(tuning, board.benchmark),
                    True,
                ),
            ],
        ),
    )


def _cells(row: Row) -> list[Cell]:
    seconds = row["trial seconds"] + row["judging seconds"]
    interval = "-" if math.isnan(row["gain low"]) else f"{row['gain low']:+.1f} to {row['gain high']:+.1f}"
    return [
        Cell(row["method"], row["method"]),
        _value(row, "default", "default standing"),
        _value(row, "tuned", "standing"),
        _number(row["gain"], "+.1f"),
        Cell(interval, sortable(row["gain low"])),
        Cell(p_text(row["gain p"]), sortable(row["gain p"])),
        Cell(f"{row['default n']}, {row['tuned n']} of {row['planned']}", float(row["tuned n"])),
        _number(row["optimism"], "+.1f"),
        Cell(_trials(row), float(row["trials"])),
        _number(seconds, ",.0f"),
        Cell(row["settings"] or "-", row["settings"]),
    ]


def _trials(row: Row) -> str:
    failed = f", {row['failed trials']} failed" if row["failed trials"] else ""
    return f"{row['trials']} ({row['finished trials']} finished{failed})"


def _search_cells(row: Row) -> list[Cell]:
    halves = f"{row['half low']:.1f} to {row['half high']:.1f}"
    around = "-" if math.isnan(row["share"]) else f"{row['share low']:.0%} to {row['share high']:.0%}"
    return [
        Cell(row["method"], row["method"]),
        _number(row["trials"], "d"),
        *(_number(row[name], ".1f") for name in ("after one", "after half")),
        Cell(halves, float(row["half low"])),
        _number(row["after all"], ".1f"),
        _number(row["share"], ".0%"),
        Cell(around, sortable(row["share low"])),
        _number(row["random trials"], "d"),
    ]


def _value(row: Row, setting: str, standing: str) -> Cell:
    text = with_spread(row[setting], row[f"{setting} std"]) + MARKS.get(row[standing], "")
    return Cell(text, sortable(row[setting]))


def _number(value: float, form: str) -> Cell:
    return Cell("-" if math.isnan(value) else format(value, form), sortable(value))
