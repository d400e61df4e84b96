"""How all pictures look: colours that differ without colour vision and in grey print, markers and lines beside colour."""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from types import MappingProxyType
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
# A method has one of these on every page and in every picture; the last four are of Paul Tol's muted scheme.
METHOD_COLOURS = (*COLOURS, "#882255", "#44AA99", "#332288", "#999933")
# Methods that stand beside each other most often, each with a colour of its own; all others have one by their name.
WELL_KNOWN = (
    *("codyra", "lora", "olora", "replay", "zscl", "finetune", "joint", "zero-shot"),
    *("inflora", "lwf", "moe-adapters", "ewc"),
)
# Of every colour that pictures use: what stands in its place on a dark ground. #000000 is ink, #dddddd the grid.
DARK: Mapping[str, str] = MappingProxyType(
    {
        **{"#0072B2": "#5AB4F0", "#D55E00": "#FF8A3D", "#009E73": "#35C99B", "#CC79A7": "#E79CC4", "#56B4E9": "#9BD3F7"},
        **{"#E69F00": "#F5B93A", "#000000": "#E8EAED", "#7F7F7F": "#A9AEB6", "#882255": "#D46A9F", "#44AA99": "#7AD6C8"},
        **{"#332288": "#A195F0", "#999933": "#CFCF6A", "#555555": "#B4BAC3", "#777777": "#A3A9B2", "#999999": "#8A919B"},
        **{"#BBBBBB": "#70767F", "#DDDDDD": "#3A404A"},
    }
)
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*", "<", ">")
LINES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (8, 2)))
SMALL, TEXT = 8, 9
HALF, WHOLE = 5.7, 11.9  # inches: two pictures beside each other on a page, and one across it, all letters of one size


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


def method_colour(method: str) -> str:
    """The one colour of a method, as tables show its name (``replay + codyra``), on every page and in every picture."""
    return METHOD_COLOURS[_place(method) % len(METHOD_COLOURS)]


def method_looks(methods: Mapping[str, str]) -> dict[str, Look]:
    """A look per label in its method's colour; labels of one method, or of two with one colour, differ by marker and line.

    Args:
        methods: label -> method.
    """
    found: dict[str, Look] = {}
    for label, method in methods.items():
        taken = {look.marker for look in found.values() if look.colour == method_colour(method)}
        start = _place(method)
        turns = range(len(MARKERS))
        turn = next((turn for turn in turns if MARKERS[(start + turn) % len(MARKERS)] not in taken), 0)
        marker, line = MARKERS[(start + turn) % len(MARKERS)], LINES[(start + turn) % len(LINES)]
        found[label] = Look(method_colour(method), marker, line)
    return found


def _place(method: str) -> int:
    return WELL_KNOWN.index(method) if method in WELL_KNOWN else zlib.crc32(method.encode())


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
