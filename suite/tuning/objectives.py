"""What search may see of a run: validation numbers and costs. Test numbers are not in the view, so none can be read."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

from suite.costs import run_costs
from suite.errors import SuiteError, unknown_name
from suite.metrics.conventions import METRICS, compute
from suite.metrics.matrix import AccuracyMatrix
from suite.runs.record import Cells, Record


@dataclass(frozen=True)
class ValidationView:
    """A run without its test numbers.

    Attributes:
        rows: validation accuracy, row 0 = untouched backbone, (tasks done + 1, T).
        effective_rank: None for a method without ranks; this and the other costs as ``suite.costs`` has them.
    """

    run_id: str
    status: str
    reason: str | None
    tasks: tuple[str, ...]
    rows: Cells
    trainable_parameters: int
    effective_rank: float | None
    carried_bytes: int
    wall_seconds: float
    peak_bytes: int

    @property
    def tasks_done(self) -> int:
        return max(0, len(self.rows) - 1)

    def learned_mean(self, tasks_done: int) -> float:
        """Mean validation accuracy over the first ``tasks_done`` tasks right after the last of them."""
        cells = [value for value in self.rows[tasks_done][:tasks_done] if value is not None]
        return sum(cells) / len(cells)

    def as_dict(self) -> dict[str, Any]:
        """Plain values, to cross processes."""
        return {**self.__dict__, "tasks": list(self.tasks)}

    def as_text(self) -> str:
        """JSON, to go through Ray's results: their nested values are flattened before a scheduler sees them."""
        return json.dumps(self.as_dict())

    @classmethod
    def from_text(cls, text: str) -> ValidationView:
        return cls.from_dict(json.loads(text))

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> ValidationView:
        return cls(**{**fields, "tasks": tuple(fields["tasks"])})


def validation_view(record: Record) -> ValidationView:
    """The part of a record that search may read."""
    costs = run_costs(record.results)
    return ValidationView(
        run_id=record.run_id,
        status=record.status,
        reason=record.reason,
        tasks=tuple(record.tasks),
        rows=record.validation,
        trainable_parameters=costs.trainable_parameters,
        effective_rank=costs.effective_rank,
        carried_bytes=costs.carried_bytes,
        wall_seconds=costs.wall_seconds,
        peak_bytes=costs.peak_bytes,
    )


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
        coming = [[SOME_SCORE if cell is not None or task < done else None for task, cell in enumerate(shown)] for done in range(1, count + 1)]
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
                raise SuiteError(f"objective '{self.name}': run {view.run_id} has none, its method has no ranks; choose another objective.")
            return found
        return compute(self.name, AccuracyMatrix.from_lists(view.rows, view.tasks))
