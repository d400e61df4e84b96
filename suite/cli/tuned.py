"""A tuning on a terminal: its table, its closing sentences, and how much both hang on the search."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from suite.cli.board import MARKS, written
from suite.cli.json_output import print_json
from suite.cli.progress import TerminalWatcher
from suite.cli.tables import Column, Sheet, print_line, print_sheet
from suite.leaderboard.table import number_text, p_text, with_spread
from suite.leaderboard.tuned import Tuning
from suite.leaderboard.tuned_sensitivity import summary_frame
from suite.leaderboard.tuned_standings import stream_text
from suite.leaderboard.tuned_table import TunedBoard, boards_frame, settings_text, tuned_boards
from suite.leaderboard.tuned_words import SENSITIVITY, closing, legend
from suite.tuning.tune_config import amount

ELSEWHERE = "a wider terminal or --csv FILE shows them"
DIGITS = 4  # of the settings that a table shows; CSV has all
Row = Mapping[Any, Any]


def show_tuning(tuning: Tuning, files: Mapping[str, Path | None], *, as_json: bool = False) -> None:
    """Two tables per benchmark on standard output, what tuning brought and how much that hangs on the search, then the closing sentences.

    With ``as_json`` all of it as JSON. The rows go into the files that were asked for too: all there is into CSV, the first table as it is
    shown into the others. Testing takes seconds, which a bar on standard error shows.
    """
    with TerminalWatcher().begin("testing which differences are real", None):
        boards, summary = tuned_boards(tuning), summary_frame(tuning)
    frame, sheets = boards_frame(boards), [tuning_sheet(tuning, board) for board in boards]
    with written(frame, files, rounded=_rounded(boards, sheets), as_json=as_json):
        if as_json:
            print_json({"table": frame, "searches": summary, "conclusions": [closing(tuning, board) for board in boards]})
            return
        for board, sheet in zip(boards, sheets, strict=True):
            print_sheet(sheet)
            part = summary[summary["benchmark"] == board.benchmark]
            if len(part):
                print_sheet(sensitivity_sheet(board.benchmark, tuning.score_name, part))
        for board in boards:
            print_line(closing(tuning, board))


def _rounded(boards: Sequence[TunedBoard], sheets: Sequence[Sheet]) -> pd.DataFrame:
    """The sheets below each other with all their columns; of several benchmarks each row names its own and its metric."""
    parts = []
    for board, sheet in zip(boards, sheets, strict=True):
        part = pd.DataFrame(list(sheet.rows), columns=[column.head.replace("\n", " ") for column in sheet.columns])
        parts.append(pd.concat([board.rows[["benchmark", "metric"]], part], axis="columns") if len(boards) > 1 else part)
    return pd.concat(parts, ignore_index=True)


def tuning_sheet(tuning: Tuning, board: TunedBoard) -> Sheet:
    """Default, tuned, gain with its interval and n are always shown."""
    rows = board.rows.to_dict("records")
    metric = next((row["metric"] for row in rows if row["metric"]), "")
    settings = {one.method: settings_text(one, DIGITS) for one in tuning.of(board.benchmark)}
    columns = [
        Column("method", wraps=True),
        Column("default\nsetting"),
        Column("tuned\nsetting"),
        Column("gain"),
        Column("95 %\ninterval"),
        Column("n"),
        Column("optimism", optional=2),
        Column("trials", optional=3),
        Column("seconds", optional=4),
        Column("p of\ngain", optional=5),
        Column("settings", wraps=True, optional=6),
    ]
    cells = [
        [
            str(row["method"]),
            _value(row, "default", "default standing"),
            _value(row, "tuned", "standing"),
            _signed(row["gain"]),
            "-" if math.isnan(row["gain low"]) else f"{_signed(row['gain low'])} to {_signed(row['gain high'])}",
            _runs(row, len(tuning.seeds), len(tuning.orders[board.benchmark])),
            _signed(row["optimism"]),
            _trials(row) if row["budget"] else "-",
            f"{row['trial seconds'] + row['judging seconds']:,.0f}",
            p_text(row["gain p"]),
            settings[row["method"]] or "-",
        ]
        for row in rows
    ]
    shown = f"{metric} in %" if metric else "nothing judged yet"
    is_whole = all(row["default n"] == row["tuned n"] == row["planned"] for row in rows)
    title = f"tuning {tuning.name}: {stream_text(board)}, {shown}, {'' if is_whole else 'to be '}judged on {_judges(rows[0])}"
    budget = max(row["budget"] for row in rows)
    notes = [f"budget of every study: {amount(budget, tuning.unit)}"] if budget else []
    title = "\n".join(filter(None, [title, board.tasks]))
    return Sheet(title, columns, cells, [*notes, legend(tuning, board.benchmark)], elsewhere=ELSEWHERE)


def sensitivity_sheet(benchmark: str, score: str, part: pd.DataFrame) -> Sheet:
    """Expected best after a few, half and all trials, and the share of the space that is nearly as good; ``score`` names the score."""
    columns = [
        Column("method", wraps=True),
        Column("trials"),
        Column("after\none", optional=1),
        Column("after\nhalf"),
        Column("80 % of\nhalves in", optional=2),
        Column("after\nall"),
        Column("share\nof space"),
        Column("95 %\ninterval", optional=3),
    ]
    cells = [
        [
            str(row["method"]),
            f"{row['trials']}",
            number_text(row["after one"]),
            number_text(row["after half"]),
            f"{number_text(row['half low'])} to {number_text(row['half high'])}",
            number_text(row["after all"]),
            _percent(row["share"]),
            "-" if math.isnan(row["share"]) else f"{_percent(row['share low'])} to {_percent(row['share high'])}",
        ]
        for row in part.to_dict("records")
    ]
    return Sheet(f"{benchmark}: best validation score ({score}) expected after so many trials", columns, cells, [SENSITIVITY])


def _value(row: Row, setting: str, standing: str) -> str:
    return with_spread(row[setting], row[f"{setting} std"]) + MARKS.get(row[standing], "")


def _judges(row: Row) -> str:
    """The seeds and orders of the judging runs, which no trial has seen."""
    seeds, orders = (row[name].split(",") for name in ("seeds", "orders"))
    of_seeds = f"{'seed' if len(seeds) == 1 else 'seeds'} {', '.join(seeds)}"
    return of_seeds + (f" in {'order' if len(orders) == 1 else 'orders'} {', '.join(orders)}" if row["orders"] else "")


def _trials(row: Row) -> str:
    """How many, and how many of them failed."""
    return f"{row['trials']}" + (f" ({row['failed trials']} failed)" if row["failed trials"] else "")


def _signed(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:+.1f}"


def _percent(share: float) -> str:
    return "-" if math.isnan(share) else f"{100 * share:.0f} %"


def _runs(row: Row, seeds: int, orders: int) -> str:
    """Seeds x orders; how many there are of how many while some are missing."""
    if row["default n"] == row["tuned n"] == row["planned"]:
        return f"{seeds} x {orders}"
    return f"{row['default n']}, {row['tuned n']} of {row['planned']}"
