"""Pictures of a tuning: whose place changed between default and tuned settings, and what more trials bring."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from suite.errors import DataError
from suite.leaderboard.figure_style import HALF, SMALL, TEXT, legend_beside, method_looks, new_figure, plain_axes
from suite.leaderboard.tuned import Tuning
from suite.leaderboard.tuned_sensitivity import WITHIN, curve_frame, robustness_frame
from suite.leaderboard.tuned_table import TunedBoard

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def bump_figure(board: TunedBoard) -> Figure:
    """Rank of every method by its default setting (left) and when tuned (right), 1 = best.

    Raises:
        DataError: fewer than two methods have both.
    """
    figure = new_figure(*bump_size(board))
    draw_bump(figure.subplots(), board)
    return figure


def bump_size(board: TunedBoard) -> tuple[float, float]:
    """Width and height in inches that the methods of a table need."""
    return HALF, 1.2 + 0.34 * len(board.rows)


def draw_bump(axes: Axes, board: TunedBoard) -> None:
    """The ranks on given axes; raises as ``bump_figure``."""
    if board.order is None:
        raise DataError(f"{board.benchmark}: fewer than two methods are judged by both settings; finish the tuning first.")
    rows = board.rows.dropna(subset=["default", "tuned"]).to_dict("records")
    styles = method_looks({row["method"]: row["method"] for row in rows})
    for row in rows:
        look = styles[row["method"]]
        places = [row["default rank"], row["rank"]]
        axes.plot([0, 1], places, color=look.colour, marker=look.marker, linestyle=look.line, linewidth=1.8, markersize=7)
    for across, setting, rank, side in ((-0.04, "default", "default rank", "right"), (1.04, "tuned", "rank", "left")):
        for place in sorted({row[rank] for row in rows}):
            text = ", ".join(f"{row['method']}  {row[setting]:.1f}" for row in rows if row[rank] == place)
            axes.text(across, place, text, ha=side, va="center", fontsize=SMALL)
    axes.set_xlim(-1.2, 2.2)
    axes.set_ylim(len(rows) + 0.6, 0.4)
    axes.set_xticks([0, 1], ["default setting", "tuned setting"], fontsize=TEXT)
    axes.set_yticks([])
    axes.spines[["top", "right", "left", "bottom"]].set_visible(False)
    axes.tick_params(length=0)
    axes.set_title(
        f"{board.benchmark}: order of methods by {rows[0]['metric']} (%), best on top; Kendall's tau {board.order.tau:.2f}",
        fontsize=TEXT,
    )


def sensitivity_figure(tuning: Tuning, benchmark: str) -> Figure:
    """Best validation score expected after k trials with the band of 80 % of all sets (left), share of the space near the best (right).

    Raises:
        DataError: no trial of the benchmark was learned to its end.
    """
    curves = curve_frame(tuning)
    curves = curves[curves["benchmark"] == benchmark]
    if curves.empty:
        raise DataError(f"{benchmark}: no trial was learned to its end; go on with the tuning first.")
    figure = new_figure(9.0, 3.8)
    left, right = figure.subplots(1, 2, width_ratios=(3, 2))
    styles = method_looks({name: name for name in map(str, curves["method"])})
    for method, part in curves.groupby("method", sort=False):
        look = styles[str(method)]
        line = {"color": look.colour, "marker": look.marker, "linestyle": look.line}
        left.plot(part["trials"], part["expected best"], markersize=4, linewidth=1.4, label=str(method), **line)
        left.fill_between(part["trials"], part["low"], part["high"], color=look.colour, alpha=0.12, linewidth=0)
    plain_axes(left, xlabel="trials", ylabel=f"expected best on validation ({tuning.score_name}, %)", title=benchmark)
    left.xaxis.get_major_locator().set_params(integer=True)
    _shares(right, tuning, benchmark)
    legend_beside(figure, left)
    return figure


def _shares(axes: Axes, tuning: Tuning, benchmark: str) -> None:
    shares = robustness_frame(tuning)
    shares = shares[shares["benchmark"] == benchmark]
    styles = method_looks({name: name for name in map(str, shares["method"])})
    for place, row in enumerate(shares.to_dict("records")):
        if np.isnan(row["share"]):
            axes.text(0.01, place, "no trial was drawn at random", va="center", fontsize=SMALL)
            continue
        around = [[row["share"] - row["share low"]], [row["share high"] - row["share"]]]
        look = styles[row["method"]]
        axes.errorbar(row["share"], place, xerr=around, color=look.colour, marker=look.marker, markersize=6, capsize=3)
    axes.set_xlim(0, 1)
    axes.set_ylim(len(shares) - 0.5, -0.5)
    axes.set_yticks(range(len(shares)), [str(name) for name in shares["method"]])
    plain_axes(axes, xlabel=f"share of the space within {WITHIN:g} point of the best", title="with 95 % interval")
