"""Trials of a study by their objectives, and which of them no other trial beats in all of these."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from suite.errors import DataError, SuiteError
from suite.leaderboard.figure_style import HALF, SMALL, TEXT, WHOLE, legend_beside, method_looks, new_figure, plain_axes
from suite.runs.record import Record
from suite.runs.validation_view import validation_view
from suite.tuning.objectives import Objective

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PANELS = 3


def on_front(points: NDArray[np.float64]) -> list[bool]:
    """True where no other point is at least as good in all columns and better in one; larger is better.

    Args:
        points: (n, columns).
    """
    return [not ((points >= point).all(axis=1) & (points > point).any(axis=1)).any() for point in points]


def objective_frame(records: Sequence[Record], study: str, objectives: Sequence[str]) -> pd.DataFrame:
    """One row per finished trial of ``study``: ``trial``, ``method``, every objective, ``on front``, ``settings_hash``, in their order.

    Objectives are read from validation numbers and costs alone; of a trial's several seeds the mean counts. Trials of which an
    objective is undefined, and those that lack a seed that another has, are left out.
    """
    trials: dict[int, list[Record]] = {}
    for record in records:
        if study in record.trials and record.status == "finished":
            trials.setdefault(record.trials[study], []).append(record)
    most = max((len(runs) for runs in trials.values()), default=0)
    found = []
    for number in sorted(trials):
        runs = trials[number]
        values = [_mean(name, runs) for name in objectives]
        if len(runs) == most and not any(map(math.isnan, values)):
            found.append((number, runs[0].method, *values, runs[0].settings_hash))
    frame = pd.DataFrame(found, columns=["trial", "method", *objectives, "settings_hash"])
    signs = np.array([1.0 if Objective(name).maximize else -1.0 for name in objectives])
    frame["on front"] = on_front(frame[list(objectives)].to_numpy(dtype=np.float64) * signs)
    return frame


def _mean(name: str, runs: Sequence[Record]) -> float:
    try:
        return float(np.mean([Objective(name).value(validation_view(record)) for record in runs]))
    except SuiteError:
        return math.nan


def front_figure(frame: pd.DataFrame, objectives: Sequence[str], title: str, chosen: str = "") -> Figure:
    """Every pair of objectives against each other: all finished trials, those on the front joined, the chosen one ringed.

    Args:
        frame: as ``objective_frame`` makes it.
        chosen: settings hash of the trial that the study's rule chose.

    Raises:
        DataError: one objective, or fewer than two trials.
    """
    pairs = list(combinations(objectives, 2))
    if not pairs or len(frame) < 2:
        raise DataError(f"study {title}: a front needs two objectives and two finished trials.")
    rows, wide = math.ceil(len(pairs) / PANELS), min(PANELS, len(pairs))
    figure = new_figure(HALF if wide == 1 else WHOLE, 0.5 + 3.4 * rows)
    grid = figure.subplots(rows, wide, squeeze=False)
    for axes, (across, up) in zip(grid.flat, pairs, strict=False):
        _draw_pair(axes, frame, across, up, chosen)
    for axes in grid.flat[len(pairs) :]:
        axes.set_visible(False)
    figure.suptitle(title, fontsize=TEXT + 1)
    legend_beside(figure, grid[0][0])
    return figure


def _draw_pair(axes: Axes, frame: pd.DataFrame, across: str, up: str, chosen: str) -> None:
    for method, look in method_looks({name: name for name in map(str, frame["method"])}).items():
        part = frame[frame["method"] == method]
        for is_best, colour, label in ((True, look.colour, f"{method}, best"), (False, "none", f"{method}, beaten")):
            some = part[part["on front"] == is_best]
            if len(some):
                axes.scatter(
                    some[across], some[up], s=34, marker=look.marker, facecolors=colour, edgecolors=look.colour, label=label, zorder=3
                )  # fmt: skip
    best = frame[frame["on front"]].sort_values(across)
    axes.plot(best[across], best[up], color="#555555", linewidth=1.2, linestyle="--", label="Pareto front", zorder=1)
    mine = frame[frame["settings_hash"] == chosen]
    if len(mine):
        axes.scatter(
            mine[across], mine[up], s=140, facecolors="none", edgecolors="#000000", linewidths=1.2, label="chosen", zorder=4
        )  # fmt: skip
    for _, some in frame[frame["on front"] | (frame["settings_hash"] == chosen)].groupby([across, up]):
        numbers = ", ".join(map(str, some["trial"]))  # of one place, which would be printed over each other
        place = (float(some[across].iloc[0]), float(some[up].iloc[0]))
        axes.annotate(numbers, place, xytext=(5, 5), textcoords="offset points", fontsize=SMALL)
    plain_axes(axes, xlabel=_axis(across), ylabel=_axis(up))
    axes.margins(0.12)


def _axis(name: str) -> str:
    """The objective's name and where better is."""
    return f"{name} on validation ({'higher' if Objective(name).maximize else 'lower'} is better)"
