"""Pictures that set rows against each other: plasticity against retention, accuracy against cost, critical differences."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from suite.counting import counted
from suite.leaderboard.comparison import LEVEL, Contestant, ranks_over_tasks
from suite.leaderboard.figure_style import (
    COLOURS,
    HALF,
    MARKERS,
    SMALL,
    TEXT,
    legend_beside,
    log_axis,
    method_colour,
    method_looks,
    new_figure,
    plain_axes,
)
from suite.leaderboard.pareto import on_front
from suite.leaderboard.selection import metric_value
from suite.method_titles import innermost
from suite.runs.record import Record

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PLASTICITY, RETENTION = "learning_accuracy", "gem.bwt"
SMALLEST, LARGEST = 36.0, 240.0  # marker areas in square points
COLUMNS = ("label", "method", "placement", "rank", "plasticity", "plasticity std", "retention", "retention std")


def tradeoff_frame(rows: Sequence[tuple[str, Sequence[Record]]]) -> pd.DataFrame:
    """Plasticity (``learning_accuracy``) and retention (``gem.bwt``) per row with rank, placement and membership of the front.

    Args:
        rows: (label, finished runs of one configuration).
    """
    found = []
    for label, records in rows:
        method = innermost(records[0].config["method"])
        gain = [metric_value(record, PLASTICITY) for record in records]
        kept = [metric_value(record, RETENTION) for record in records]
        spread = [float(np.std(values, ddof=1)) if len(values) > 1 else math.nan for values in (gain, kept)]
        values = (float(np.mean(gain)), spread[0], float(np.mean(kept)), spread[1])
        place = (
            str(method.get("placement", "whole network" if records[0].results[-1].costs.trainable_parameters else "none")),
        )
        found.append((label, records[0].method, *place, float(method.get("rank", math.nan)), *values))
    frame = pd.DataFrame(found, columns=list(COLUMNS)).dropna(subset=["plasticity", "retention"]).reset_index(drop=True)
    frame["on front"] = on_front(frame[["plasticity", "retention"]].to_numpy(dtype=np.float64))
    return frame


def tradeoff_figure(frame: pd.DataFrame, title: str) -> Figure:
    """Plasticity against retention: colour = method, shape = placement, size = rank offered, line = Pareto front."""
    figure = new_figure(HALF, 4.2)
    axes = figure.subplots()
    colours = {name: method_colour(name) for name in dict.fromkeys(frame["method"])}
    shapes = {name: MARKERS[i % len(MARKERS)] for i, name in enumerate(dict.fromkeys(frame["placement"]))}
    front = frame[frame["on front"]].sort_values("plasticity")
    axes.plot(front["plasticity"], front["retention"], color="#555555", linewidth=1.2, linestyle="--", zorder=1)
    for row in frame.to_dict("records"):
        across, up = (None if math.isnan(row[name]) else row[name] for name in ("plasticity std", "retention std"))
        axes.errorbar(row["plasticity"], row["retention"], xerr=across, yerr=up, color="#999999", linewidth=0.9, zorder=2)
        axes.scatter(
            row["plasticity"], row["retention"], s=_area(row["rank"], frame["rank"]), color=colours[row["method"]],
            marker=shapes[row["placement"]], edgecolor="black", linewidth=0.6, alpha=0.9, zorder=3,
        )  # fmt: skip
    plain_axes(
        axes, xlabel=f"plasticity: {PLASTICITY} (%)", ylabel=f"retention: {RETENTION} (points, 0 = nothing lost)", title=title
    )
    _keys(figure, axes, colours, shapes, frame["rank"])
    return figure


def _area(rank: float, ranks: pd.Series) -> float:
    if math.isnan(rank):
        return SMALLEST
    largest = float(ranks.max())
    return SMALLEST + (LARGEST - SMALLEST) * rank / largest


def _keys(figure: Figure, axes: Axes, colours: dict[str, str], shapes: dict[str, str], ranks: pd.Series) -> None:
    """Legend beside the picture: methods, placements, sizes, the front."""
    from matplotlib.lines import Line2D

    def dot(label: str, colour: str, marker: str, area: float) -> Line2D:
        return Line2D([], [], linestyle="", marker=marker, color=colour, label=label, markersize=math.sqrt(area))

    handles = [Line2D([], [], linestyle="", label="method")]
    handles += [dot(name, colour, "o", 49.0) for name, colour in colours.items()]
    handles += [Line2D([], [], linestyle="", label="placement")]
    handles += [dot(name, "#777777", marker, 49.0) for name, marker in shapes.items()]
    sizes = sorted(set(ranks.dropna()))
    if sizes:
        shown = sizes if len(sizes) < 5 else [sizes[0], sizes[len(sizes) // 2], sizes[-1]]
        handles += [Line2D([], [], linestyle="", label="rank offered")]
        handles += [dot(f"{size:g}", "#bbbbbb", "o", _area(size, ranks)) for size in shown]
    handles += [Line2D([], [], color="#555555", linestyle="--", linewidth=1.2, label="Pareto front")]
    legend = figure.legend(handles=handles, loc="outside right upper", fontsize=SMALL, frameon=False, labelspacing=0.7)
    for text in legend.get_texts():
        if text.get_text() in ("method", "placement", "rank offered"):
            text.set_fontweight("bold")


def cost_figure(frame: pd.DataFrame, metric: str, title: str) -> Figure:
    """A metric of the leaderboard's rows against wall time (left) and trainable parameters (right)."""
    from matplotlib.ticker import FuncFormatter

    figure = new_figure(9.0, 3.6)
    styles = method_looks({name: name for name in dict.fromkeys(frame["method"])})
    left, right = figure.subplots(1, 2, sharey=True)
    for axes, column, name in (
        (left, "wall_seconds", "wall time (s)"),
        (right, "trainable_parameters", "trainable parameters"),
    ):
        for method, look in styles.items():
            part = frame[frame["method"] == method]
            axes.plot(
                part[column], part[metric], linestyle="", marker=look.marker, color=look.colour, markersize=7, label=method
            )
        plain_axes(axes, xlabel=name, ylabel=metric if axes is left else "", title=title if axes is left else "")
        if column == "wall_seconds" and (frame[column] > 0).all():
            log_axis(axes)
        elif column == "trainable_parameters":
            axes.set_xscale("symlog", linthresh=1e4)
            axes.minorticks_off()
            axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    legend_beside(figure, left)
    return figure


def critical_difference_figure(rows: Sequence[Contestant], title: str) -> Figure:
    """Mean ranks over the tasks; rows joined by a bar are not separable (Nemenyi, 5 %). Best at the left.

    Source of the form: Demsar 2006, JMLR 7, figure 1.

    Raises:
        SuiteError: fewer than three rows or two tasks.
    """
    found = ranks_over_tasks(rows)
    order = np.argsort(found.mean_ranks, kind="stable")
    count, half = len(rows), math.ceil(len(rows) / 2)
    bars = _bars(found.mean_ranks[order], found.critical_difference)
    top = 0.55 + 0.22 * len(bars)
    figure = new_figure(HALF, 1.3 + 0.26 * half + 0.18 * len(bars))
    axes = figure.subplots()
    axes.set_xlim(1 - 0.3 * count, count + 0.3 * count)
    axes.set_ylim(-top - 0.42 * half - 0.1, 1.15)
    axes.hlines(0, 1, count, color="black", linewidth=1.2)
    for place in range(1, count + 1):
        axes.vlines(place, 0, 0.12, color="black", linewidth=1.0)
        axes.text(place, 0.2, str(place), ha="center", va="bottom", fontsize=SMALL)
    axes.hlines(0.85, 1, min(1 + found.critical_difference, count), color="black", linewidth=2.0)
    label = f"critical difference {found.critical_difference:.2f}" + (
        " (beyond the axis)" if 1 + found.critical_difference > count else ""
    )
    axes.text(1, 0.93, label, ha="left", va="bottom", fontsize=SMALL)
    for number, index in enumerate(order):
        is_left = number < half
        depth = top + 0.42 * (number if is_left else count - 1 - number)
        rank = found.mean_ranks[index]
        end = 1 - 0.06 * count if is_left else count + 0.06 * count
        axes.plot([rank, rank, end], [0, -depth, -depth], color=COLOURS[7], linewidth=0.9)
        text = f"{rows[index].label}  {rank:.2f}" if is_left else f"{rank:.2f}  {rows[index].label}"
        axes.text(end, -depth, f" {text} ", ha="right" if is_left else "left", va="center", fontsize=SMALL)
    for level, (first, last) in enumerate(bars):
        axes.hlines(-0.25 - 0.22 * level, first - 0.05, last + 0.05, color=COLOURS[0], linewidth=3.0)
    axes.set_axis_off()
    axes.set_title(
        f"{title}\nmean rank over {counted(len(rows[0].tasks), 'task')}, 1 = best; Friedman p {found.p:.2g}; bars: ranks not separable at {LEVEL:.0%}",
        fontsize=TEXT,
    )
    return figure


def _bars(ranks: np.ndarray, difference: float) -> list[tuple[float, float]]:
    """Longest runs of sorted mean ranks that lie within the critical difference, two rows at least."""
    ends = [int(np.searchsorted(ranks, rank + difference, side="right")) - 1 for rank in ranks]
    spans = [(first, last) for first, last in enumerate(ends) if last > first]
    widest = [(a, b) for number, (a, b) in enumerate(spans) if number == 0 or b > spans[number - 1][1]]
    return [(float(ranks[a]), float(ranks[b])) for a, b in widest]
