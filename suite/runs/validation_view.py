"""What search may see of a run: validation numbers and costs. Test numbers are not in the view, so none can be read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from suite.runs.costs import run_costs
from suite.runs.record import Cells, Record


@dataclass(frozen=True)
class ValidationView:
    """A run without its test numbers.

    Attributes:
        rows: validation accuracy, row 0 = untouched backbone, (tasks done + 1, T).
        effective_rank: None for a method without ranks; this and the other costs as ``suite.runs.costs`` has them.
        steps: optimizer steps of each row, (tasks done + 1,); empty in what was stored before they were noted.
        borrowed_seconds: as ``RunCosts``.
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
    steps: tuple[int, ...] = ()
    borrowed_seconds: float = 0.0

    @property
    def tasks_done(self) -> int:
        return max(0, len(self.rows) - 1)

    def learned_mean(self, tasks_done: int) -> float:
        """Mean validation accuracy over the first ``tasks_done`` tasks right after the last of them."""
        cells = [value for value in self.rows[tasks_done][:tasks_done] if value is not None]
        return sum(cells) / len(cells)

    def steps_taken(self, tasks_done: int) -> int:
        """Optimizer steps of the first ``tasks_done`` tasks together."""
        return sum(self.steps[: tasks_done + 1])

    def as_dict(self) -> dict[str, Any]:
        """Plain values, to cross processes."""
        return {**self.__dict__, "tasks": list(self.tasks), "steps": list(self.steps)}

    def as_text(self) -> str:
        """JSON, to go through Ray's results: their nested values are flattened before a scheduler sees them."""
        return json.dumps(self.as_dict())

    @classmethod
    def from_text(cls, text: str) -> ValidationView:
        return cls.from_dict(json.loads(text))

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> ValidationView:
        return cls(**{**fields, "tasks": tuple(fields["tasks"]), "steps": tuple(fields.get("steps", ()))})


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
        steps=tuple(result.costs.steps for result in record.results),
        borrowed_seconds=costs.borrowed_seconds,
    )
