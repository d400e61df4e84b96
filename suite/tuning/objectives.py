"""Objectives: what a search improves, a metric on the validation matrix or a cost."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from suite.errors import SuiteError, unknown_name
from suite.metrics.conventions import METRICS, compute
from suite.metrics.matrix import AccuracyMatrix
from suite.runs.validation_view import ValidationView

COSTS: Mapping[str, Callable[[ValidationView], float | None]] = MappingProxyType(
    {
        "trainable_parameters": lambda view: float(view.trainable_parameters),
        "effective_rank": lambda view: view.effective_rank,
        "carried_bytes": lambda view: float(view.carried_bytes),
        "wall_seconds": lambda view: view.wall_seconds,
        "peak_bytes": lambda view: float(view.peak_bytes),
    }
)


SOME_SCORE = 50.0  # stands for cells that will be measured; not 0, which some metrics mask


@dataclass(frozen=True)
class Objective:
    """One number search improves: a metric on the validation matrix, or a cost (always minimised)."""

    name: str

    def __post_init__(self) -> None:
        if self.name not in METRICS and self.name not in COSTS:
            raise unknown_name("objective", self.name, [*METRICS, *COSTS])

    @property
    def maximize(self) -> bool:
        return self.name in METRICS and METRICS[self.name].higher_is_better

    def require_defined(self, view: ValidationView) -> None:
        """Refuse a metric that the stream behind a ``view`` leaves undefined whatever its scores will be, as far as its rows show.

        Raises:
            SuiteError: too few tasks, the metric needs cells that the protocol does not measure, or the method has no ranks.
        """
        if not view.rows or (self.name in COSTS and view.tasks_done == 0):
            return  # ranks are counted after a task
        shown, count = view.rows[-1], len(view.tasks)
        coming = [
            [SOME_SCORE if cell is not None or task < done else None for task, cell in enumerate(shown)]
            for done in range(1, count + 1)
        ]
        there = [[None if cell is None else SOME_SCORE for cell in row] for row in view.rows[1:]]
        self.value(replace(view, rows=[view.rows[0], *there, *coming[len(there) :]]))

    def value(self, view: ValidationView) -> float:
        """The objective of a finished run.

        Raises:
            SuiteError: it is undefined for this run.
        """
        if self.name in COSTS:
            found = COSTS[self.name](view)
            if found is None:
                raise SuiteError(
                    f"objective '{self.name}': run {view.run_id} has none, its method has no ranks; choose another objective."
                )
            return found
        return compute(self.name, AccuracyMatrix.from_lists(view.rows, view.tasks))
