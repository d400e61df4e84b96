"""The page's first table: of every stream and every tuning the best row, how far it is ahead, and the sentence that says what that is worth."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from suite.errors import DataError
from suite.leaderboard.comparison import Contestant, Difference, against_first, contestant, means
from suite.leaderboard.figure_style import DARK, method_colour
from suite.leaderboard.report_cells import Cell, sortable
from suite.leaderboard.report_columns import Head
from suite.leaderboard.table import number_text
from suite.leaderboard.tuned import Tuning
from suite.leaderboard.tuned_standings import standing
from suite.leaderboard.tuned_table import TunedBoard, judged
from suite.leaderboard.winners import row_names, tested_metric, winner_sentence

HEADS = (
    Head("stream", "What was learned. Numbers of two streams are never comparable."),
    Head("settings", "Whether every method ran with one setting, or with the one that its own search chose."),
    Head(
        "highest mean",
        "The row with the highest mean over tasks after the last one; whether it is better than others, the sentence says.",
    ),
    Head("score", "Its mean in percent with its 95 % interval."),
    Head(
        "ahead of the next by",
        "In points with a 95 % interval, paired example by example, for this pair alone; whether it is real among all pairs, the sentence says.",
    ),
    Head("rows", "How many rows were compared, and how many of them no test tells from the best."),
)


@dataclass(frozen=True)
class Winner:
    """One line of the table; ``anchor`` is its section on the page, colours are those of the method on light and dark ground."""

    anchor: str
    stream: str
    settings: str
    best: str
    colours: tuple[str, str]
    cells: Sequence[Cell]
    sentence: str


@dataclass(frozen=True)
class Intervals:
    """95 % intervals of rows: of their own means, and of their distance from the best row; by label."""

    own: Mapping[str, Difference]
    behind: Mapping[str, Difference]


def method_colours(method: str) -> tuple[str, str]:
    """A method's colour on light and on dark ground."""
    light = method_colour(method)
    return light, DARK[light.upper()]


def row_intervals(rows: Sequence[Contestant]) -> Intervals:
    """Intervals of these rows, none where they cannot be paired; the best one is that of the highest mean."""
    if not rows:
        return Intervals({}, {})
    try:
        own = dict(zip([row.label for row in rows], means(rows), strict=True))
        best = max(rows, key=lambda row: own[row.label].mean)
        others = [row for row in rows if row is not best]
        found = [Difference(-one.mean, -one.high, -one.low, one.p, one.over) for one in against_first([best, *others])]
    except DataError:
        return Intervals({}, {})
    return Intervals(own, dict(zip([row.label for row in others], found, strict=True)))


def stream_winner(anchor: str, title: str, part: pd.DataFrame, labels: Sequence[str], intervals: Intervals) -> Winner:
    """The line of a stream's rows, which have their ``standing``."""
    by_index = dict(zip(part.index, labels, strict=True))
    marked = part[part["standing"] != ""]
    best = part[part["standing"] == "best"].index
    first = best[0] if len(best) else next(iter(part[part["n"] > 0].index), None)
    if first is None:
        return Winner(anchor, title, "one per row", "-", method_colours(""), [Cell("-", "")] * 3, winner_sentence(part))
    metric = tested_metric(part)
    score = interval_cell(float(part[metric][first]) if metric else math.nan, intervals.own.get(by_index[first]))
    ahead = {label: found for label, found in intervals.behind.items() if label != by_index[first]}
    next_one = max(ahead.values(), key=lambda found: found.mean, default=None)
    tied = int((marked["standing"] == "not separable").sum())
    return Winner(
        anchor=anchor,
        stream=title,
        settings="one per row",
        best=row_names(part)[first],
        colours=method_colours(str(part["method"][first])),
        cells=[score, _ahead(next_one), _compared(len(marked) or 1, tied)],
        sentence=winner_sentence(part),
    )


def tuning_winner(anchor: str, tuning: Tuning, board: TunedBoard) -> Winner:
    """The line of one benchmark of a tuning; its sentence is the first one that ``tune`` closes with."""
    rows = [row for row in board.rows.to_dict("records") if not math.isnan(row["tuned"])]
    paired = [row for row in rows if row["standing"]]
    best = next((row for row in paired if row["standing"] == "best"), rows[0] if rows else None)
    name = str(best["method"]) if best else "-"
    found = [board.pairs["tuned"][name, str(row["method"])] for row in paired if row is not best] if best and paired else []
    score = _score(tuning, board.benchmark, name, best["tuned"]) if best else Cell("-", "")
    tied = sum(row["standing"] == "not separable" for row in paired)
    return Winner(
        anchor=anchor,
        stream=f"{board.benchmark} (tuning {tuning.name})",
        settings="tuned",
        best=name,
        colours=method_colours(name),
        cells=[score, _ahead(_turned(min(found, key=lambda one: one.mean)) if found else None), _compared(len(paired), tied)],
        sentence=" ".join(standing(board, rows)),
    )


def _score(tuning: Tuning, benchmark: str, method: str, mean: float) -> Cell:
    """The mean of a method's tuned setting with its interval over the judging runs."""
    one = next(one for one in tuning.of(benchmark) if one.method == method)
    setting = judged(one, "tuned")
    runs = [(record, tuning.outcomes(record)) for record in (setting.finished if setting else [])]
    usable = [(record, scores) for record, scores in runs if scores]
    return interval_cell(mean, means([contestant(method, usable)])[0] if usable else None)


def interval_cell(mean: float, found: Difference | None) -> Cell:
    """A mean with its interval, as far as there are some."""
    return Cell(f"{number_text(mean)}{bounds_text(found)}", sortable(mean))


def bounds_text(found: Difference | None) -> str:
    """`` (78.1 to 81.0)``; empty where no interval is possible."""
    return "" if found is None or math.isnan(found.low) else f" ({points_text(found.low)} to {points_text(found.high)})"


def points_text(value: float) -> str:
    """One decimal; what these make zero has no sign."""
    text = f"{value:.1f}"
    return "0.0" if text == "-0.0" else text


def _turned(found: Difference) -> Difference:
    """``behind`` of ``row_intervals`` is the row minus the best one."""
    return Difference(-found.mean, -found.high, -found.low, found.p, found.over)


def _ahead(behind: Difference | None) -> Cell:
    if behind is None:
        return Cell("-", "")
    ahead = _turned(behind)
    return Cell(f"{points_text(ahead.mean)}{bounds_text(ahead)}", sortable(ahead.mean))


def _compared(rows: int, tied: int) -> Cell:
    text = f"{rows}, of which {tied} not told from the best" if tied else f"{rows}"
    return Cell(text, float(rows))
