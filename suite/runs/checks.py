"""What is compared when a run is read: its rows against the outcomes and answers that they are the means and scores of."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from suite.errors import DamagedRun
from suite.runs.generations import answers_digest
from suite.runs.outcomes import Key, Scores, outcomes_digest
from suite.runs.record import Record

ROUNDING = 0.05  # points; graded scores are stored to half precision, matrices are means of the unrounded ones


def require_outcomes(record: Record, outcomes: Mapping[Key, Scores], *, where: str, row: int | None = None) -> None:
    """Refuse outcomes that a record was not made from (of one row, or of all that it has).

    Raises:
        DamagedRun: the checksum of a row differs, or the mean of a cell is not the matrix's.
    """
    for number in range(len(record.results)) if row is None else [row]:
        promised = record.results[number].digests.get("outcomes")
        if promised not in (None, outcomes_digest(outcomes, number)):
            raise DamagedRun(
                _sentence(where, record, f"after task {number} are not those that the run wrote (their checksum differs)")
            )
        for split, cells in (("validation", record.validation), ("test", record.test)):
            for task, cell in enumerate(cells[number]):
                scores = outcomes.get((split, number, task))
                if scores is None or cell is None:
                    continue
                mean = float(scores.astype(np.float64).mean())
                if not abs(mean - cell) <= ROUNDING:
                    told = f"of {split} for '{record.tasks[task]}' after task {number} average {mean:.2f}, its matrix says {cell:.2f}"
                    raise DamagedRun(_sentence(where, record, told))


def require_answers(record: Record, texts: Mapping[str, list[str]], *, where: str) -> None:
    """Refuse answers that are not those of the record's rows.

    Raises:
        DamagedRun: the checksum of a row differs.
    """
    for number, result in enumerate(record.results):
        if result.digests.get("answers") not in (None, answers_digest(texts, number)):
            raise DamagedRun(
                f"{where}: the answers of run {record.run_id} after task {number} are not those that it wrote (their checksum "
                "differs); put back a copy, or remove the run's folder and run again."
            )


def _sentence(where: str, record: Record, what: str) -> str:
    return f"{where}: the outcomes of run {record.run_id} {what}; put back a copy, or remove the run's folder and run again."
