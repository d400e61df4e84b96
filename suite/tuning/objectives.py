"""What search may see of a run: validation numbers and costs. Test numbers are not in the view, so none can be read."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

from suite.errors import unknown_name
from suite.metrics.conventions import METRICS, compute
from suite.metrics.matrix import AccuracyMatrix
from suite.runs.record import Cells, Record


@dataclass(frozen=True)
class ValidationView:
    """A run without its test numbers.

    Attributes:
        rows: validation accuracy, row 0 = untouched backbone, (tasks done + 1, T).
    """

    run_id: str
    status: str
    reason: str | None
    tasks: tuple[str, ...]
    rows: Cells
    trainable_parameters: int
    effective_rank: float
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
    results = record.results[1:]
    ranks = [sum(r.effective_rank.values()) / len(r.effective_rank) for r in results if r.effective_rank]
    return ValidationView(
        run_id=record.run_id,
        status=record.status,
        reason=record.reason,
        tasks=tuple(record.tasks),
        rows=record.validation,
        trainable_parameters=max((r.costs.trainable_parameters for r in results), default=0),
        effective_rank=sum(ranks) / len(ranks) if ranks else 0.0,
        carried_bytes=max((r.costs.carried_bytes for r in results), default=0),
        wall_seconds=sum(r.costs.wall_seconds for r in record.results),
        peak_bytes=max((r.costs.peak_bytes for r in record.results), default=0),
    )


COSTS: Mapping[str, Callable[[ValidationView], float]] = MappingProxyType(
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
            SuiteError: too few tasks, or the metric needs cells that the protocol does not measure.
        """
        if not view.rows:
            return
        shown, count = view.rows[-1], len(view.tasks)
        coming = [[SOME_SCORE if cell is not None or task < done else None for task, cell in enumerate(shown)] for done in range(1, count + 1)]
        there = [[None if cell is None else SOME_SCORE for cell in row] for row in view.rows[1:]]
        self.value(replace(view, rows=[view.rows[0], *there, *coming[len(there) :]]))

    def value(self, view: ValidationView) -> float:
        """The objective of a finished run."""
        if self.name in COSTS:
            return COSTS[self.name](view)
        return compute(self.name, AccuracyMatrix.from_lists(view.rows, view.tasks))
