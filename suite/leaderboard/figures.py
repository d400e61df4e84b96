"""Pictures of accuracy over a stream: the matrix of one run, and how every task fares under several methods."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from suite.leaderboard.figure_style import (
    SCALE,
    SMALL,
    TEXT,
    legend_beside,
    method_looks,
    new_figure,
    plain_axes,
    slanted,
)
from suite.runs.record import Cells, Record

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

JUST_LEARNED = "#D55E00"
PANELS = 4  # columns of small pictures


def accuracy_matrix_figure(record: Record) -> Figure:
    """Heat map of the test accuracy matrix: rows = tasks learned so far, framed cells = just learned."""
    figure = new_figure(*matrix_size(record))
    draw_accuracy_matrix(figure.subplots(), record)
    return figure


def matrix_size(record: Record) -> tuple[float, float]:
    """Width and height in inches that a matrix needs to be read."""
    rows, columns = cell_array(record.test).shape
    return 1.9 + 0.72 * columns, 1.5 + 0.42 * rows


def draw_accuracy_matrix(axes: Axes, record: Record, split: Literal["test", "validation"] = "test") -> None:
    """The heat map of a split on given axes; its colour bar takes some of their place."""
    import seaborn as sns
    from matplotlib.patches import Rectangle

    cells = cell_array(getattr(record, split))
    rows, _ = cells.shape
    labels = ["nothing", *record.tasks[: rows - 1]]
    sns.heatmap(
        cells, ax=axes, annot=True, fmt=".0f", vmin=0, vmax=100, cmap=SCALE, xticklabels=record.tasks, yticklabels=labels,
        linewidths=0.5, annot_kws={"size": SMALL}, cbar_kws={"label": f"{split} accuracy (%)"},
    )  # fmt: skip
    for row in range(1, rows):
        axes.add_patch(Rectangle((row - 1, row), 1, 1, fill=False, edgecolor=JUST_LEARNED, linewidth=2))
    axes.set_xlabel("judged on", fontsize=TEXT)
    axes.set_ylabel("after learning", fontsize=TEXT)
    axes.set_title(run_title(record), fontsize=TEXT + 1)
    slanted(axes, record.tasks)
    axes.tick_params(axis="y", rotation=0, labelsize=SMALL)


def task_curves_figure(rows: Mapping[str, Sequence[Record]]) -> Figure:
    """Accuracy on each task after every task, as ``draw_task_curves`` draws it, with one legend for all."""
    tasks = next(iter(rows.values()))[0].tasks
    panels, wide = curve_grid(len(tasks))
    figure = new_figure(1.6 + 2.1 * wide, 0.6 + 1.9 * panels)
    grid = figure.subplots(panels, wide, squeeze=False, sharex=True, sharey=True)
    draw_task_curves(grid, rows)
    figure.supxlabel("tasks learned", fontsize=TEXT)
    figure.supylabel("test accuracy (%)", fontsize=TEXT)
    legend_beside(figure, grid[0][0])
    return figure


def curve_grid(tasks: int) -> tuple[int, int]:
    """Rows and columns of small pictures for so many tasks."""
    return math.ceil(tasks / PANELS), min(PANELS, tasks)


def draw_task_curves(grid: NDArray[Any], rows: Mapping[str, Sequence[Record]]) -> None:
    """One small picture per task, one line per row (mean over its runs).

    The dotted line stands where the task is learned; the band is the range over runs.

    Args:
        grid: axes, at least as many as tasks; those that are left over are hidden.
        rows: label -> finished runs of one configuration, all on the same tasks in the same order.
    """
    tasks = next(iter(rows.values()))[0].tasks
    styles = method_looks({label: records[0].method for label, records in rows.items()})
    steps = range(len(tasks) + 1)
    for column, (axes, task) in enumerate(zip(grid.flat, tasks, strict=False)):
        for label, records in rows.items():
            values = np.stack([cell_array(record.test)[:, column] for record in records])
            look = styles[label]
            axes.plot(
                steps, values.mean(axis=0), color=look.colour, linestyle=look.line, marker=look.marker, markersize=3.5,
                linewidth=1.2, label=label,
            )  # fmt: skip
            if len(records) > 1:
                axes.fill_between(steps, values.min(axis=0), values.max(axis=0), color=look.colour, alpha=0.15, linewidth=0)
        axes.axvline(column + 1, color="#555555", linestyle=(0, (1, 1)), linewidth=1.2)
        plain_axes(axes, title=f"{column + 1} {task}")
    for axes in grid.flat[len(tasks) :]:
        axes.set_visible(False)
    grid.flat[0].set_xticks([step for step in steps if len(tasks) < 7 or step % 2 == 0])


def cell_array(cells: Cells) -> NDArray[np.float64]:
    """Stored cells as an array, NaN where nothing was measured."""
    return np.array([[np.nan if value is None else value for value in row] for row in cells], dtype=np.float64)


def run_title(record: Record) -> str:
    """Method, benchmark and seed."""
    return f"{record.method} on {record.benchmark}, seed {record.config['seed']}"
