"""Pictures of a study: which hyperparameters matter, what each of them does, how the best value grew with the trials."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from suite.leaderboard.figure_style import (
    COLOURS,
    HALF,
    LINES,
    MARKERS,
    SCALE,
    SMALL,
    TEXT,
    legend_beside,
    log_axis,
    new_figure,
    plain_axes,
    slanted,
)
from suite.leaderboard.selection import headline, metric_value
from suite.metrics.conventions import METRICS
from suite.runs.record import Record

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PANELS = 3
ABSENT = "-"
LOG_FROM = 20.0  # a positive parameter that spans more than this factor gets a logarithmic axis


def study_frame(records: Sequence[Record], study: str) -> pd.DataFrame:
    """Finished trials of ``study`` in their order: ``trial``, varied config fields, and the benchmark's metrics on validation.

    Columns of metrics are ``validation <name>``; no test number is read.
    """
    members = (record for record in records if record.status == "finished" and study in record.trials)
    trials = sorted(members, key=lambda record: record.trials[study])
    flat = [flat_config(record.config) for record in trials]
    fields = list(dict.fromkeys(name for config in flat for name in config))
    moving = [name for name in fields if len({repr(config.get(name, ABSENT)) for config in flat}) > 1]
    metrics = [name for name in (trials[0].metrics if trials else ()) if name in METRICS]
    rows = [
        {"trial": record.trials[study], **{name: config.get(name, ABSENT) for name in moving}}
        | {f"validation {name}": metric_value(record, name, "validation") for name in metrics}
        for record, config in zip(trials, flat, strict=True)
    ]
    return pd.DataFrame(rows)


def flat_config(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Dotted names of a config's leaves; lists as text, null as absent."""
    flat: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, Mapping):
            flat |= flat_config(value, f"{prefix}{key}.")
        elif value is not None:
            flat[f"{prefix}{key}"] = str(value) if isinstance(value, list) else value
    return flat


def parameters_of(frame: pd.DataFrame) -> list[str]:
    """The varied config fields of a ``study_frame``."""
    return [name for name in frame.columns if name != "trial" and not name.startswith("validation ")]


def study_drawings(name: str, table: pd.DataFrame, importance: pd.DataFrame | None) -> dict[str, Callable[[], Figure]]:
    """The pictures that a study's trials allow, by the stem of their files.

    Args:
        table: as ``study_frame`` makes it.
        importance: as ``importance_figure`` takes it; None or empty = not known.
    """
    found: dict[str, Callable[[], Figure]] = {}
    if importance is not None and len(importance):
        found["importance"] = lambda: importance_figure(importance, name)
    if len(table) > 1:
        found["history"] = lambda: history_figure(table, name)
        if parameters_of(table):
            found["slices"] = lambda: slices_figure(table, name)
    return found


def importance_figure(frame: pd.DataFrame, title: str) -> Figure:
    """Bars per parameter, one per objective.

    Args:
        frame: ``parameter`` and one column per objective, as ``suite.tuning.importance`` makes it.
    """
    objectives = [name for name in frame.columns if name != "parameter"]
    figure = new_figure(HALF, 1.2 + 0.2 * len(objectives) * len(frame) + 0.15 * len(frame))
    axes = figure.subplots()
    height = 0.8 / len(objectives)
    hatches = ("", "///", "\\\\\\", "xx")
    for number, name in enumerate(objectives):
        at = np.arange(len(frame)) + (number - (len(objectives) - 1) / 2) * height
        colour, hatch = COLOURS[number % len(COLOURS)], hatches[number % len(hatches)]
        axes.barh(at, frame[name], height=height, label=name, color=colour, hatch=hatch, edgecolor="white")
    axes.set_yticks(range(len(frame)), [str(name) for name in frame["parameter"]])
    axes.invert_yaxis()
    plain_axes(axes, xlabel="share of the variance explained (fANOVA)", title=title)
    axes.set_xlim(0, 1)
    legend_beside(figure, axes)
    return figure


def slices_figure(frame: pd.DataFrame, title: str) -> Figure:
    """The study's headline metric on validation against every varied parameter; shade = trial number."""
    names = parameters_of(frame)
    metric = (
        f"validation {headline([name.removeprefix('validation ') for name in frame.columns if name.startswith('validation ')])}"
    )
    rows, wide = math.ceil(len(names) / PANELS), min(PANELS, len(names))
    figure = new_figure(1.2 + 2.7 * wide, 0.7 + 2.5 * rows)
    grid = figure.subplots(rows, wide, squeeze=False, sharey=True)
    drawn = None
    for axes, name in zip(grid.flat, names, strict=False):
        places, names_of_places = _places(frame[name])
        drawn = axes.scatter(places, frame[metric], c=frame["trial"], cmap=SCALE, edgecolor="black", linewidth=0.4, s=28)
        if names_of_places:
            axes.set_xlim(-0.5, len(names_of_places) - 0.5)
            axes.set_xticks(range(len(names_of_places)))
            slanted(axes, names_of_places)
        elif min(places) > 0 and max(places) / min(places) > LOG_FROM:
            axes.set_xlim(min(places) / 1.3, max(places) * 1.3)
            log_axis(axes)
        axes.set_title(name, fontsize=TEXT)
        axes.grid(True, color="#dddddd", linewidth=0.6)
        axes.set_axisbelow(True)
        axes.tick_params(labelsize=SMALL)
    for axes in grid.flat[len(names) :]:
        axes.set_visible(False)
    if drawn is not None:
        figure.colorbar(drawn, ax=list(grid.flat), label="trial", fraction=0.03)
    figure.supylabel(metric, fontsize=TEXT)
    figure.suptitle(title, fontsize=TEXT + 1)
    return figure


def _places(column: pd.Series) -> tuple[list[float], list[str]]:
    """Where the column's values stand on the x axis, and the names of the places when the values are no numbers."""
    values = list(column)
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        return [float(value) for value in values], []
    names = sorted({str(value) for value in values})
    return [float(names.index(str(value))) for value in values], names


def history_figure(frame: pd.DataFrame, title: str) -> Figure:
    """Value of each metric on validation per trial (dots) and the best so far (line), one picture per metric."""
    metrics = [name for name in frame.columns if name.startswith("validation ")]
    rows, wide = math.ceil(len(metrics) / PANELS), min(PANELS, len(metrics))
    figure = new_figure(0.8 + 2.7 * wide, 0.6 + 2.3 * rows)
    grid = figure.subplots(rows, wide, squeeze=False)
    for axes in grid.flat[len(metrics) :]:
        axes.set_visible(False)
    for axes, metric in zip(grid.flat, metrics, strict=False):
        name = metric.removeprefix("validation ")
        draw_history(axes, frame["trial"], frame[metric], name, higher_is_better=METRICS[name].higher_is_better)
    figure.supylabel("validation", fontsize=TEXT)
    figure.suptitle(title, fontsize=TEXT + 1)
    return figure


def draw_history(axes: Axes, trials: pd.Series, values: pd.Series, title: str, *, higher_is_better: bool) -> None:
    """The value of every trial (dots) and the best so far (line); NaN where a trial has none."""
    best = values.cummax() if higher_is_better else values.cummin()
    axes.plot(trials, values, linestyle="", marker=MARKERS[0], color=COLOURS[7], markersize=4)
    axes.step(trials, best, where="post", color=COLOURS[0], linestyle=LINES[0], linewidth=1.4)
    plain_axes(axes, xlabel="trial", title=title)
