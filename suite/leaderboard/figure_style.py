"""How all pictures look: colours that differ without colour vision and in grey print, markers and lines beside colour."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from suite.files import atomic_write

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SCALE = "cividis"  # sequential, readable without colour vision and in grey
AROUND = "PuOr"  # diverging, likewise
# Okabe and Ito's colours without yellow, which vanishes on white.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000", "#7F7F7F")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*", "<", ">")
LINES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (8, 2)))
SMALL, TEXT = 8, 9


@dataclass(frozen=True)
class Look:
    """Colour, marker and line of one series."""

    colour: str
    marker: str
    line: str | tuple[int, tuple[int, ...]]


def looks(names: Iterable[str]) -> dict[str, Look]:
    """A look per name, in order of appearance; colours repeat only with another marker and line."""
    return {
        name: Look(COLOURS[i % len(COLOURS)], MARKERS[i % len(MARKERS)], LINES[i % len(LINES)])
        for i, name in enumerate(dict.fromkeys(names))
    }


def new_figure(width: float, height: float) -> Figure:
    """An empty figure in inches that keeps its labels inside; a dollar in a name stays a dollar."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    mpl.rcParams["text.parse_math"] = (
        False  # read by every text at its creation, ticks at drawing included: no context reaches all
    )
    return Figure(figsize=(width, height), layout="constrained")


def shown_grid(rows: int, columns: int, width: float, height: float) -> NDArray[Any]:
    """Axes of a new figure of pyplot, which a notebook shows by itself; inches and letters as in ``new_figure``."""
    import matplotlib as mpl
    import matplotlib.pyplot as plt

    mpl.rcParams["text.parse_math"] = False  # as in new_figure
    _, grid = plt.subplots(
        rows, columns, figsize=(width, height), layout="constrained", squeeze=False, sharex=True, sharey=True
    )
    return np.asarray(grid)


def plain_axes(axes: Axes, *, xlabel: str = "", ylabel: str = "", title: str = "") -> None:
    """Labels, a light grid and no box."""
    axes.set_xlabel(xlabel, fontsize=TEXT)
    axes.set_ylabel(ylabel, fontsize=TEXT)
    axes.set_title(title, fontsize=TEXT)
    axes.tick_params(labelsize=SMALL)
    axes.grid(True, color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def slanted(axes: Axes, labels: Sequence[str]) -> None:
    """Tick labels of the x axis that end under their tick, so that long names do not run into each other."""
    axes.set_xticks(axes.get_xticks() if len(axes.get_xticks()) == len(labels) else range(len(labels)))
    axes.set_xticklabels(labels, rotation=35, ha="right", rotation_mode="anchor", fontsize=SMALL)


def log_axis(axes: Axes) -> None:
    """A logarithmic x axis with plain numbers, few enough not to touch."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    low, high = axes.get_xlim()
    axes.set_xscale("log")
    decades = math.log10(high / low) if low > 0 else 9.0
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0,) if decades > 3 else (1.0, 3.0) if decades > 1 else (1.0, 2.0, 5.0)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def legend_beside(figure: Figure, axes: Axes, *, title: str = "") -> None:
    """One legend for the whole figure, outside the axes where it can cover nothing."""
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right upper", fontsize=SMALL, frameon=False, title=title, title_fontsize=SMALL)


def save_figure(figure: Figure, stem: Path) -> list[Path]:
    """``stem`` with .svg and .png; the SVG is reproducible (no date, fixed ids)."""
    import matplotlib as mpl

    drawn = {"svg": BytesIO(), "png": BytesIO()}
    with mpl.rc_context({"svg.hashsalt": stem.name}):
        figure.savefig(drawn["svg"], format="svg", metadata={"Date": None})
        figure.savefig(drawn["png"], format="png", dpi=160)
    paths = [stem.parent / f"{stem.name}.{form}" for form in drawn]
    for path, content in zip(paths, drawn.values(), strict=True):
        atomic_write(path, content.getvalue())
    return paths
