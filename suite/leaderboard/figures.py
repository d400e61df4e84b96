"""Pictures made from records, with Matplotlib and seaborn; every one is saved as SVG and PNG."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from suite.record import Record

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLOURS = "cividis"  # readable without colour vision and in grey print


def accuracy_matrix_figure(record: Record) -> Figure:
    """Heat map of the test accuracy matrix: rows = tasks learned so far, framed cells = just learned."""
    import seaborn as sns
    from matplotlib.figure import Figure
    from matplotlib.patches import Rectangle

    cells = np.array([[np.nan if value is None else value for value in row] for row in record.test])
    rows, columns = cells.shape
    figure = Figure(figsize=(1.6 + 0.72 * columns, 1.3 + 0.42 * rows), layout="constrained")
    axes = figure.subplots()
    labels = ["nothing", *record.tasks[: rows - 1]]
    sns.heatmap(
        cells,
        ax=axes,
        annot=True,
        fmt=".0f",
        vmin=0,
        vmax=100,
        cmap=COLOURS,
        xticklabels=record.tasks,
        yticklabels=labels,
        linewidths=0.5,
        annot_kws={"size": 8},
        cbar_kws={"label": "test accuracy (%)"},
    )
    for row in range(1, rows):
        axes.add_patch(Rectangle((row - 1, row), 1, 1, fill=False, edgecolor="#d62728", linewidth=2))
    axes.set_xlabel("judged on")
    axes.set_ylabel("after learning")
    axes.set_title(f"{record.config['method']['name']} on {record.benchmark}, seed {record.config['seed']}", fontsize=10)
    axes.tick_params(axis="x", rotation=35)
    axes.tick_params(axis="y", rotation=0)
    return figure


def save_figure(figure: Figure, stem: Path) -> list[Path]:
    """``stem`` with .svg and .png; the SVG is reproducible (no date, fixed ids)."""
    import matplotlib as mpl

    stem.parent.mkdir(parents=True, exist_ok=True)
    paths = [stem.with_suffix(".svg"), stem.with_suffix(".png")]
    with mpl.rc_context({"svg.hashsalt": stem.name}):
        figure.savefig(paths[0], metadata={"Date": None})
        figure.savefig(paths[1], dpi=160)
    return paths
