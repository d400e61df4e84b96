"""What every record is that a run wrote, beyond the types of its fields: readers count on it, and a record that was made up may lack it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from suite.errors import DamagedRun
from suite.method_titles import INNER
from suite.runs.record import Record

PARTS = ("benchmark", "method", "backbone")


def shape_fault(record: Record) -> str | None:
    """What in a record no run writes: of its config's parts, its rows or its tasks; None for a whole one."""
    for part in PARTS:
        if not _named(record.config.get(part)):
            return f"its config names no {part}"
    if not isinstance(record.config.get("training"), Mapping) or type(record.config.get("seed")) is not int:
        return "its config has no training or no seed"
    if not len(record.test) == len(record.validation) == len(record.results):
        return "its matrices and its results have different numbers of rows"
    if any(len(row) != len(record.tasks) for row in (*record.test, *record.validation)):
        return f"its matrices are not {len(record.tasks)} tasks wide"
    if not record.metrics or any(len(digests) != len(record.tasks) for digests in record.item_digests.values()):
        return "it names no metric, or not the examples of every task"
    names = [None, *record.tasks][: len(record.results)]
    if [(result.row, result.task) for result in record.results] != list(enumerate(names)):
        return "its results are not those of its tasks in their order"
    return None


def require_shape(record: Record, where: str) -> None:
    """Refuse a record that no run writes.

    Raises:
        DamagedRun: naming ``where`` it is and what is wrong.
    """
    if fault := shape_fault(record):
        raise DamagedRun(f"{where}: is not a record that a run wrote ({fault}); remove it and run again.")


def _named(part: Any) -> bool:
    """Whether fields of a config name a part, and every part inside it."""
    if not isinstance(part, Mapping) or not isinstance(part.get("name"), str):
        return False
    return not isinstance(part.get(INNER), Mapping) or _named(part[INNER])
