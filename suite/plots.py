"""Pictures for notebooks and scripts: ``from suite import plots``. Each returns Matplotlib axes, to be changed, shown or saved.

Without axes of the caller's a figure of pyplot is made, which a notebook shows by itself; ``axes.figure.savefig("picture.svg")`` stores it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from suite.errors import ConfigError, require_known
from suite.runs.record import Record
from suite.runs.store import OpenRun

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from suite.leaderboard.tuned import Tuning
    from suite.tuning.study_result import Study


def matrix(run: OpenRun | Record, split: Literal["test", "validation"] = "test", *, axes: Axes | None = None) -> Axes:
    """Accuracy matrix of a run as a heat map: rows = tasks learned, columns = tasks judged, framed = just learned.

    Args:
        run: what ``suite.run`` or ``suite.runs`` returns, or its record.
        split: whose accuracies.
        axes: to draw on; None = a new figure.

    Raises:
        ConfigError: something else than a run, or no such split.
    """
    from suite.leaderboard.figure_style import shown_grid
    from suite.leaderboard.figures import draw_accuracy_matrix, matrix_size

    record = _record(run, "matrix")
    require_known("split", [split], ("test", "validation"), where="plots.matrix: split")
    axes = shown_grid(1, 1, *matrix_size(record))[0, 0] if axes is None else axes
    draw_accuracy_matrix(axes, record, split)
    return axes


def tasks(runs: Sequence[OpenRun | Record]) -> NDArray[Any]:
    """Accuracy on each task after every task: one small picture per task, one line per method, a band over its seeds.

    Args:
        runs: finished runs on the same tasks in the same order; runs of one method are averaged.

    Returns:
        The axes, as many as there are places in the grid; places without a task are hidden.

    Raises:
        ConfigError: none, something else than runs, unfinished runs, or runs on different tasks.
    """
    from suite.leaderboard.figure_style import SMALL, shown_grid
    from suite.leaderboard.figures import curve_grid, draw_task_curves

    records = [_record(run, "tasks") for run in runs]
    by_method: dict[str, list[Record]] = {}
    for record in records:
        by_method.setdefault(record.method, []).append(record)
    if not records:
        raise ConfigError("plots.tasks: no run is given; take some from suite.runs(benchmark=...).")
    if unfinished := [record.run_id for record in records if record.status != "finished"]:
        raise ConfigError(f"plots.tasks: run {unfinished[0]} is not finished; leave it out.")
    if len({(record.benchmark, *record.tasks) for record in records}) > 1:
        raise ConfigError("plots.tasks: the runs are on different tasks or orders; give runs of one benchmark and order.")
    rows, columns = curve_grid(len(records[0].tasks))
    grid = shown_grid(rows, columns, 1.6 + 2.1 * columns, 0.9 + 1.9 * rows)
    draw_task_curves(grid, by_method)
    for across in grid[-1]:
        across.set_xlabel("tasks learned")
    for down in grid[:, 0]:
        down.set_ylabel("test accuracy (%)")
    grid[0, 0].legend(fontsize=SMALL)
    return grid


def study(result: Study, objective: str | None = None, *, axes: Axes | None = None) -> Axes:
    """The value of every trial of a study on validation data (dots) and the best so far (line).

    Args:
        result: what ``suite.sweep`` returns.
        objective: one of the study's; None = the first.
        axes: to draw on; None = a new figure.

    Raises:
        ConfigError: something else than a study, or no such objective.
    """
    from suite.leaderboard.figure_style import shown_grid
    from suite.leaderboard.study_figures import draw_history
    from suite.tuning.objectives import Objective
    from suite.tuning.study_result import Study

    if not isinstance(result, Study):
        raise ConfigError(f"plots.study: {result!r} is not a study; give what suite.sweep returns.")
    name = objective or result.config.objectives[0]
    require_known("objective of the study", [name], result.config.objectives, where="plots.study: objective")
    axes = shown_grid(1, 1, 5.0, 3.2)[0, 0] if axes is None else axes
    table = result.table()
    draw_history(axes, table["trial"], table[name].astype(float), name, higher_is_better=Objective(name).maximize)
    axes.set_ylabel("validation")
    return axes


def tuning(result: Tuning, benchmark: str | None = None, *, axes: Axes | None = None) -> Axes:
    """The order of methods by their default settings (left) and by their tuned ones (right), best on top.

    Args:
        result: what ``suite.tune`` returns.
        benchmark: one of the tuning's; None = the first.
        axes: to draw on; None = a new figure.

    Raises:
        ConfigError: something else than a tuning, or no such benchmark.
        DataError: fewer than two methods are judged by both settings.
    """
    from suite.leaderboard.figure_style import shown_grid
    from suite.leaderboard.tuned import Tuning
    from suite.leaderboard.tuned_figures import bump_size, draw_bump
    from suite.leaderboard.tuned_table import tuned_boards

    if not isinstance(result, Tuning):
        raise ConfigError(f"plots.tuning: {result!r} is not a tuning; give what suite.tune returns.")
    boards = {board.benchmark: board for board in tuned_boards(result)}
    name = benchmark or next(iter(boards))
    require_known("benchmark of the tuning", [name], boards, where="plots.tuning: benchmark")
    axes = shown_grid(1, 1, *bump_size(boards[name]))[0, 0] if axes is None else axes
    draw_bump(axes, boards[name])
    return axes


def _record(run: object, name: str) -> Record:
    found = getattr(run, "record", run)
    if not isinstance(found, Record):
        raise ConfigError(f"plots.{name}: {run!r} is not a run; give what suite.run or suite.runs returns.")
    return found
