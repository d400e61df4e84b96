"""Pictures of rank and of movement: effective rank per module, layer and task beside its no-signal value; update sizes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from suite.leaderboard.figure_style import (
    AROUND,
    HALF,
    SMALL,
    TEXT,
    legend_beside,
    looks,
    method_looks,
    new_figure,
    plain_axes,
    save_figure,
    slanted,
)
from suite.leaderboard.figures import run_title
from suite.leaderboard.ranks import rank_comparison, rank_frame, ranks_of, run_label, shift_frame
from suite.runs.record import Record

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

NO_SIGNAL = "no-signal value"


def rank_figure(record: Record) -> Figure:
    """Mean effective rank per weight by layer (left) and by task (right), one row per encoder, with the no-signal line.

    Raises:
        DataError: the run has no low-rank part.
    """
    frame = rank_frame(record)
    encoders = list(dict.fromkeys(frame["encoder"]))
    styles = looks(frame["weight"])
    figure = new_figure(9.0, 0.8 + 2.6 * len(encoders))
    grid = figure.subplots(len(encoders), 2, squeeze=False, sharey=True)
    for row, encoder in zip(grid, encoders, strict=True):
        part = frame[frame["encoder"] == encoder]
        layers, tasks = sorted(set(part["layer"])), list(dict.fromkeys(frame["task"]))
        for axes, by, places in ((row[0], "layer", layers), (row[1], "task", tasks)):
            for weight, look in styles.items():
                mean = part[part["weight"] == weight].groupby(by)["effective_rank"].mean().reindex(places)
                line = {"color": look.colour, "marker": look.marker, "linestyle": look.line}
                axes.plot(range(len(places)), mean, markersize=5, linewidth=1.3, label=weight, **line)
            _no_signal_line(axes, part["no_signal_rank"].mean())
            plain_axes(axes, xlabel=by, title=f"{encoder} encoder by {by}" if encoder in ("vision", "text") else f"by {by}")
            axes.set_xticks(range(len(places)), [str(place) for place in places])
            if by == "task":
                slanted(axes, tasks)
        row[0].set_ylabel("mean effective rank", fontsize=TEXT)
    grid[0][0].set_ylim(0, 1.06 * float(grid[0][0].get_ylim()[1]))
    legend_beside(figure, grid[0][0], title="weight")
    figure.suptitle(f"Rank kept: {run_title(record)}", fontsize=TEXT + 1)
    return figure


def rank_map_figure(record: Record) -> Figure:
    """Heat map of the mean effective rank over tasks per weight and layer, coloured by its distance from the no-signal value."""
    import seaborn as sns

    frame = rank_frame(record)
    encoders = list(dict.fromkeys(frame["encoder"]))
    layers = [len(set(frame[frame["encoder"] == encoder]["layer"])) for encoder in encoders]
    figure = new_figure(1.9 + 0.45 * sum(layers), 3.2)
    grid = figure.subplots(1, len(encoders), squeeze=False, width_ratios=layers)[0]
    null = float(frame["no_signal_rank"].mean())
    centre = float(frame["effective_rank"].mean()) if math.isnan(null) else null
    reach = max(1.0, float((frame.groupby(["encoder", "layer", "weight"])["effective_rank"].mean() - centre).abs().max()))
    for number, (axes, encoder) in enumerate(zip(grid, encoders, strict=True)):
        part = frame[frame["encoder"] == encoder]
        cells = part.pivot_table(index="weight", columns="layer", values="effective_rank", sort=False)
        cells = cells[sorted(cells.columns)]
        bar = {"label": f"mean rank, white = {'mean' if math.isnan(null) else 'no-signal'} {centre:.1f}"}
        last = number == len(encoders) - 1
        sns.heatmap(
            cells, ax=axes, cmap=AROUND, vmin=centre - reach, vmax=centre + reach, annot=True, fmt=".1f", linewidths=0.5,
            annot_kws={"size": 7}, cbar=last, cbar_kws=bar if last else None,
        )  # fmt: skip
        if last:
            axes.collections[0].colorbar.set_label(bar["label"], fontsize=SMALL)
            axes.collections[0].colorbar.ax.tick_params(labelsize=SMALL)
        axes.set_title(encoder, fontsize=TEXT)
        axes.set_xlabel("layer", fontsize=TEXT)
        axes.set_ylabel("weight" if number == 0 else "", fontsize=TEXT)
        axes.tick_params(labelsize=SMALL, rotation=0)
    return figure


def rank_comparison_figure(records: Sequence[Record], labels: Mapping[str, str] | None = None) -> Figure:
    """Mean effective rank per weight of several runs, a bar where the no-signal value lies.

    Args:
        labels: run id -> what the run is called; method and beginning of the id otherwise.

    Raises:
        DataError: one of the runs has no low-rank part.
    """
    summary = rank_comparison(ranks_of(records), "weight", labels).set_index("weight")
    names = [name for name in summary.columns if not name.endswith(" no-signal")]
    methods = {run_label(record.run_id, record.method, labels): record.method for record in records}
    styles = method_looks({name: methods[name] for name in names})
    figure = new_figure(max(HALF, 2.1 + 0.6 * len(summary)), 3.2)
    axes = figure.subplots()
    unnamed = NO_SIGNAL
    for number, (name, look) in enumerate(styles.items()):
        at = np.arange(len(summary)) + (number - (len(names) - 1) / 2) * 0.7 / len(names)
        axes.plot(at, summary[name], linestyle="", marker=look.marker, color=look.colour, markersize=6, label=name)
        null = summary[f"{name} no-signal"]
        if null.notna().any():
            axes.plot(at, null, linestyle="", marker="_", color="#555555", markersize=14, label=unnamed)
            unnamed = ""
    axes.set_xticks(range(len(summary)), list(summary.index))
    plain_axes(axes, xlabel="weight", ylabel="mean effective rank", title="Rank kept per weight")
    axes.set_ylim(0, 1.06 * float(axes.get_ylim()[1]))
    legend_beside(figure, axes)
    return figure


def update_figure(records: Sequence[Record], labels: Mapping[str, str] | None = None) -> Figure:
    """Size of each task's update (left) and cumulative shift from the pretrained weights (right), one line per run.

    Frobenius norm over all adapted layers jointly, the suite's reading of the CoDyRA page's tables 5 and 6.

    Args:
        labels: as in ``rank_comparison_figure``.
    """
    frame = shift_frame(records)
    names = [run_label(str(run), str(method), labels) for run, method in zip(frame["run"], frame["method"], strict=True)]
    frame = frame.assign(label=names)
    tasks = list(dict.fromkeys(frame["task"]))
    figure = new_figure(2.8 + 0.55 * 2 * len(tasks) + 2.0, 3.4)
    left, right = figure.subplots(1, 2)
    for label, look in method_looks(dict(zip(names, frame["method"], strict=True))).items():
        part = frame[frame["label"] == label].set_index("task").reindex(tasks)
        for axes, column in ((left, "update"), (right, "cumulative")):
            line = {"color": look.colour, "marker": look.marker, "linestyle": look.line}
            axes.plot(range(len(tasks)), part[column], markersize=5, linewidth=1.3, label=label, **line)
    plain_axes(left, xlabel="task", ylabel="Frobenius norm of the task's update", title="Update per task")
    plain_axes(right, xlabel="after task", ylabel="Frobenius norm of the shift", title="Cumulative shift")
    for axes in (left, right):
        slanted(axes, tasks)
        axes.set_ylim(bottom=0)
    legend_beside(figure, left)
    return figure


def draw_ranks(records: Sequence[Record], folder: Path) -> list[Path]:
    """All pictures of this file for these runs, as SVG and PNG below ``folder``."""
    paths: list[Path] = []
    for record in records:
        paths += save_figure(rank_figure(record), folder / f"{record.run_id}_rank")
        paths += save_figure(rank_map_figure(record), folder / f"{record.run_id}_rank_map")
    if len(records) > 1:
        paths += save_figure(rank_comparison_figure(records), folder / "rank_comparison")
    return paths + save_figure(update_figure(records), folder / "updates")


def _no_signal_line(axes: Axes, value: float) -> None:
    if not pd.isna(value):
        axes.axhline(value, color="#555555", linewidth=1.6, linestyle=(0, (1, 1)), label=NO_SIGNAL)
