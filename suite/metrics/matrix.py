"""The accuracy matrix of a run and the regions of it that a metric may ask for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from suite.counting import counted
from suite.errors import SuiteError, UndefinedMetric, unknown_name

Region = Literal["untouched_row", "above_diagonal", "diagonal", "on_and_below_diagonal", "last_row", "all_learned"]
REGIONS: tuple[Region, ...] = get_args(Region)


@dataclass(frozen=True, eq=False)
class AccuracyMatrix:
    """Scores of every task after every task.

    Attributes:
        values: float64, (T + 1, T), 0 to 100, read-only. Row 0 is the untouched backbone, row i the state after i
            tasks; column j is the zero-based task, so ``values[j + 1, j]`` was measured just after learning task j.
            NaN = not measured.
        tasks: T task names in the order of the stream.

    Raises:
        SuiteError: wrong shape, a value outside 0 to 100, an empty or repeated task name.
    """

    values: NDArray[np.float64]
    tasks: tuple[str, ...]

    def __post_init__(self) -> None:
        values = np.array(self.values, dtype=np.float64)
        values.setflags(write=False)
        object.__setattr__(self, "values", values)
        object.__setattr__(self, "tasks", tuple(self.tasks))
        self._check_tasks()
        self._check_values()

    def _check_tasks(self) -> None:
        if not self.tasks:
            raise SuiteError("accuracy matrix: there are no tasks; a stream has at least one.")
        for name in self.tasks:
            if not name or self.tasks.count(name) > 1:
                raise SuiteError(f"accuracy matrix: task name '{name}' is empty or appears twice; name each task once.")

    def _check_values(self) -> None:
        count = len(self.tasks)
        if self.values.shape != (count + 1, count):
            raise SuiteError(
                f"accuracy matrix: shape {self.values.shape} does not fit {counted(count, 'task')}; "
                f"use ({count + 1}, {count}): row 0 untouched, row i after i tasks."
            )
        outside = ~np.isnan(self.values) & ~((self.values >= 0.0) & (self.values <= 100.0))
        if outside.any():
            row, column = (int(index) for index in np.argwhere(outside)[0])
            raise SuiteError(
                f"accuracy matrix: {float(self.values[row, column])!r} after {counted(row, 'task')} on '{self.tasks[column]}' "
                "is not a score from 0 to 100; give percent, and null where nothing was measured."
            )

    @classmethod
    def from_lists(cls, rows: Sequence[Sequence[float | None]], tasks: Sequence[str]) -> AccuracyMatrix:
        """From plain JSON lists, T + 1 rows of T numbers with None for a cell that was not measured."""
        for index, row in enumerate(rows):
            if len(row) != len(tasks):
                raise SuiteError(f"accuracy matrix: row {index} has {len(row)} cells for {counted(len(tasks), 'task')}.")
        cells = [[np.nan if cell is None else cell for cell in row] for row in rows]
        return cls(np.array(cells, dtype=np.float64).reshape(len(rows), len(tasks)), tuple(tasks))


def region_mask(region: Region, tasks: int) -> NDArray[np.bool_]:
    """Cells of a region, (T + 1, T).

    ``untouched_row``: row 0. ``above_diagonal``: tasks not yet learned, without row 0. ``diagonal``: just learned.
    ``on_and_below_diagonal``: just or earlier learned. ``last_row``: after the whole stream. ``all_learned``: rows
    1 to T.

    Raises:
        SuiteError: unknown region.
    """
    if region not in REGIONS:
        raise unknown_name("matrix region", region, REGIONS)
    row, column = np.indices((tasks + 1, tasks))
    masks: dict[Region, NDArray[np.bool_]] = {
        "untouched_row": row == 0,
        "above_diagonal": (row >= 1) & (row <= column),
        "diagonal": row == column + 1,
        "on_and_below_diagonal": row >= column + 1,
        "last_row": row == tasks,
        "all_learned": row >= 1,
    }
    return masks[region]


def require_measured(matrix: AccuracyMatrix, region: Region) -> NDArray[np.float64]:
    """The values of ``matrix``, unchanged and read-only, after a check that every cell of ``region`` was measured.

    Raises:
        UndefinedMetric: names the first missing cell.
    """
    missing = region_mask(region, len(matrix.tasks)) & np.isnan(matrix.values)
    if missing.any():
        row, column = (int(index) for index in np.argwhere(missing)[0])
        raise UndefinedMetric(
            f"accuracy matrix: the score after {counted(row, 'task')} on '{matrix.tasks[column]}' was not measured, but the "
            f"metric needs the region '{region}'; evaluate it, or use a metric that does without."
        )
    return matrix.values
