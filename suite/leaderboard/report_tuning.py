"""What the page says of a tuning: its table, its closing sentences, whose place changed, and how much hangs on the search."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from suite.counting import counted
from suite.leaderboard.report_cells import Cell, sortable
from suite.leaderboard.report_columns import SEARCH, TUNED, Head, heads_of
from suite.leaderboard.report_pictures import Picture, drawn
from suite.leaderboard.report_winners import Winner, method_colours, tuning_winner
from suite.leaderboard.table import p_text, with_spread
from suite.leaderboard.tuned import Tuning
from suite.leaderboard.tuned_figures import bump_figure, sensitivity_figure
from suite.leaderboard.tuned_sensitivity import summary_frame
from suite.leaderboard.tuned_standings import stream_text
from suite.leaderboard.tuned_table import TunedBoard, tuned_boards
from suite.leaderboard.tuned_words import SENSITIVITY, closing, legend

Row = Mapping[Any, Any]
MARKS = {"best": " ◆", "not separable": " ◇"}


@dataclass(frozen=True)
class TuningView:
    """One benchmark of a tuning; ``colours`` are those of the rows' methods."""

    anchor: str
    name: str
    benchmark: str
    stream: str
    result: str
    winner: Winner
    colours: Sequence[tuple[str, str]]
    search_colours: Sequence[tuple[str, str]]
    rows: Sequence[Sequence[Cell]]
    search: Sequence[Sequence[Cell]]
    pictures: Sequence[Picture]
    legend: str
    heads: Sequence[Head]
    search_heads: Sequence[Head]
    search_legend: str = SENSITIVITY


def tuning_views(tunings: Sequence[Tuning]) -> list[TuningView]:
    """Every benchmark of every tuning, in their order."""
    boards = [(tuning, board) for tuning in tunings for board in tuned_boards(tuning)]
    return [_view(f"tuning-{number}", tuning, board) for number, (tuning, board) in enumerate(boards)]


def other_runs(frame: pd.DataFrame, tunings: Sequence[Tuning]) -> dict[str, str]:
    """Of each row of the leaderboard that holds judging runs of a tuning and others too: its ``runs`` -> a sentence that says so.

    The tuning's own table is over the judging runs alone, so that the two means differ.
    """
    said = {}
    judging = [
        (tuning.name, one, setting)
        for tuning in tunings
        for one in tuning.methods
        for setting in (one.default, one.tuned)
        if setting
    ]
    for runs in map(str, frame["runs"] if len(frame) else ()):
        own = set(runs.split(","))
        for name, one, setting in judging:
            judged = {record.run_id for record in setting.finished}
            more = sorted(own - judged)
            if judged & own and (more or judged - own):
                which = f"also holds {', '.join(more)}" if more else "holds some of them"
                said[runs] = (
                    f"Tuning {name} judges this setting of {one.method} by {counted(len(judged), 'run')} of its own; this row {which}, so that "
                    "its mean is another one than in the tuning's table."
                )
    return said


def _view(anchor: str, tuning: Tuning, board: TunedBoard) -> TuningView:
    summary = summary_frame(tuning)
    summary = summary[summary["benchmark"] == board.benchmark]
    rows, search = board.rows.to_dict("records"), summary.to_dict("records")
    return TuningView(
        anchor=anchor,
        name=tuning.name,
        benchmark=board.benchmark,
        stream=", ".join(filter(None, [stream_text(board), board.tasks.partition(": ")[2]])),
        result=closing(tuning, board),
        winner=tuning_winner(anchor, tuning, board),
        colours=[method_colours(str(row["method"])) for row in rows],
        search_colours=[method_colours(str(row["method"])) for row in search],
        rows=[_cells(row) for row in rows],
        search=[_search_cells(row) for row in search],
        heads=heads_of(TUNED),
        search_heads=heads_of(SEARCH),
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
