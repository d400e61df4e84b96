"""Pictures and matrices of the page: drawn once per stream or row, as SVG that needs nothing from outside."""

from __future__ import annotations

import base64
import io
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from suite.errors import SuiteError
from suite.leaderboard.comparison import Contestant
from suite.leaderboard.figure_style import DARK, HALF
from suite.leaderboard.figures import cell_array, task_curves_figure
from suite.leaderboard.rank_figures import rank_comparison_figure, rank_map_figure, update_figure
from suite.leaderboard.selection import headline
from suite.leaderboard.study_figures import study_drawings, study_frame
from suite.leaderboard.tradeoff_figures import cost_figure, critical_difference_figure, tradeoff_figure, tradeoff_frame
from suite.runs.record import Record

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_LINES = 8  # rows per picture of lines; more cannot be told apart
PIXELS_PER_INCH = 96
TAG, PLACE = re.compile(r"<[^>]*>"), re.compile(r"\d+\.\d{3,}")
FONT, BETWEEN = re.compile(r'; (font-family: [^;"]*)'), re.compile(r">\s+<")
STUDY_CAPTIONS = {
    "importance": "importance of settings",
    "history": "best validation value so far per trial",
    "slices": "every varied setting against validation accuracy",
}

Drawing = tuple[str, Callable[[], "Figure"], bool]  # caption, how, whether there is anything to draw


@dataclass(frozen=True)
class Picture:
    """A drawing as an SVG data URI with the text that stands for it; sizes in CSS pixels."""

    source: str
    text: str
    width: int
    height: int

    @property
    def is_wide(self) -> bool:
        """Whether it takes the whole width of the page."""
        return self.width > round(HALF * PIXELS_PER_INCH)


@dataclass(frozen=True)
class MatrixView:
    """A row's mean test accuracy matrix: cells as (text, share of 100 or None, just learned)."""

    tasks: Sequence[str]
    lines: Sequence[tuple[str, Sequence[tuple[str, float | None, bool]]]]


def stream_pictures(
    part: pd.DataFrame, finished: Mapping[str, Sequence[Record]], rivals: Sequence[Contestant], metrics: Sequence[str]
) -> list[Picture]:
    """What the finished rows of one stream look like beside each other.

    Args:
        part: the stream's rows of the leaderboard.
        finished: label -> finished runs, best row first.
        rivals: the rows that can be compared.
    """
    if not finished:
        return []
    title = str(part.iloc[0]["benchmark"])
    learned = tradeoff_frame(list(finished.items()))
    last = headline(metrics)
    dated = part[part[last].notna()]
    few = dict(list(finished.items())[:MOST_LINES])
    those = f", the first {MOST_LINES} rows" if len(few) < len(finished) else ""
    wanted: list[Drawing] = [
        (
            "plasticity against retention, one mark per row; the line joins rows that no other one beats in both",
            lambda: tradeoff_figure(learned, title),
            len(learned) > 1,
        ),
        (
            "mean ranks over tasks: tests whether rows come in the same order on every task (Friedman, Nemenyi); rows joined by a bar are not "
            "separable by rank. The table's marks test means, example by example",
            lambda: critical_difference_figure(rivals, title),
            len(rivals) > 2,
        ),
        (f"accuracy on each task after every task{those}", lambda: task_curves_figure(few), True),
        (f"{last} against time and parameters", lambda: cost_figure(dated, last, title), len(dated) > 1),
        *_rank_drawings(few),
    ]
    return drawn(f"{title}: ", wanted)


def _rank_drawings(rows: Mapping[str, Sequence[Record]]) -> list[Drawing]:
    """Rank of the rows that learned it, movement of all that moved; one run stands for each row."""
    firsts = {label: found[0] for label, found in rows.items()}
    labels = {record.run_id: label for label, record in firsts.items()}
    ranked = [r for r in firsts.values() if any(result.no_signal_rank is not None for result in r.results)]
    moved = [r for r in firsts.values() if any(result.update_norm for result in r.results)]
    which = (
        f"effective rank per layer and weight, {labels[ranked[0].run_id]}, seed {ranked[0].config['seed']}" if ranked else ""
    )
    return [
        (
            "effective rank per weight beside its no-signal value, first run of each row",
            lambda: rank_comparison_figure(ranked, labels),
            bool(ranked),
        ),
        (which, lambda: rank_map_figure(ranked[0]), bool(ranked)),
        (
            "size of each task's update and cumulative shift, first run of each row",
            lambda: update_figure(moved, labels),
            bool(moved),
        ),
    ]


def study_pictures(name: str, trials: Sequence[Record], importance: pd.DataFrame | None) -> list[Picture]:
    """Importance of a study's settings, its course, every setting against validation accuracy."""
    drawings = study_drawings(name, study_frame(trials, name), importance)
    return drawn(f"study {name}: ", [(STUDY_CAPTIONS[stem], draw, True) for stem, draw in drawings.items()])


def matrix_view(records: Sequence[Record]) -> MatrixView:
    """Mean over a row's runs; where the tasks have no common order, of the runs that share the first one's."""
    tasks = records[0].tasks
    values = np.mean([cell_array(record.test) for record in records if record.tasks == tasks], axis=0)
    names = ["before", *(f"after {name}" for name in tasks)]
    lines = [
        (
            name,
            [
                ("-" if math.isnan(v) else f"{v:.0f}", None if math.isnan(v) else v / 100, column == row - 1)
                for column, v in enumerate(line)
            ],
        )
        for row, (name, line) in enumerate(zip(names, values, strict=False))
    ]
    return MatrixView(tasks, lines)


def drawn(before: str, wanted: Sequence[Drawing]) -> list[Picture]:
    """The pictures whose rows allow them (not too few, judged on the same examples)."""
    found = []
    for text, draw, there in wanted:
        if not there:
            continue
        try:
            found.append(_picture(draw(), before + text))
        except SuiteError:
            continue
    return found


def _picture(figure: Figure, text: str) -> Picture:
    """Text stays text: small, and readable by screen readers. The picture has no ground of its own."""
    import matplotlib as mpl

    buffer = io.BytesIO()
    with mpl.rc_context({"svg.hashsalt": text, "svg.fonttype": "none"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None}, transparent=True)
    width, height = (round(float(inches) * PIXELS_PER_INCH) for inches in figure.get_size_inches())
    source = follows_the_page(buffer.getvalue().decode())
    return Picture("data:image/svg+xml;base64," + base64.b64encode(source.encode()).decode(), text, width, height)


def follows_the_page(svg: str) -> str:
    """The drawing with every colour of ``DARK`` as a variable, which has another value where a dark page is asked for.

    Places are rounded to hundredths of a point, the font is named once and space between elements is left out: half of its size.
    """
    found = FONT.search(svg)
    svg = BETWEEN.sub("><", FONT.sub("", svg))
    svg = TAG.sub(lambda tag: PLACE.sub(lambda number: f"{float(number[0]):.2f}".rstrip("0").rstrip("."), tag[0]), svg)
    for number, colour in enumerate(DARK):
        svg = svg.replace(f": {colour.lower()}", f": var(--c{number})")
    light, dark = ("".join(f"--c{number}:{colour};" for number, colour in enumerate(side)) for side in (DARK, DARK.values()))
    ink, font = list(DARK).index("#000000"), found[1] if found else ""
    style = (
        f"<style>:root{{{light}}}@media (prefers-color-scheme:dark){{:root{{{dark}}}}}svg{{fill:var(--c{ink});{font}}}</style>"
    )
    start = svg.index(">", svg.index("<svg")) + 1
    return svg[:start] + style + svg[start:]
