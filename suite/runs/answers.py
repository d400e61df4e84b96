"""The generated answers of a stored run for whoever shows them, scores them or vouches for them: believed, or refused by name."""

from __future__ import annotations

from suite.errors import DamagedRun, library_reason
from suite.runs.generations import GENERATIONS, stored_generations
from suite.runs.store import OpenRun

NO_ANSWERS = (AttributeError, LookupError, OSError, RecursionError, TypeError, ValueError)


def answers_of(run: OpenRun) -> dict[str, list[str]]:
    """``OpenRun.answers``, whatever the file holds.

    Raises:
        DamagedRun: as that, or whole blocks hold something else than answers, or the file cannot be read.
    """
    try:
        return run.answers()
    except NO_ANSWERS as error:
        place = stored_generations(run.folder) or run.folder / GENERATIONS
        raise DamagedRun(
            f"{place}: holds no answers of run {run.record.run_id} ({library_reason(error)}); put back a copy, or remove the run's folder and "
            "run again."
        ) from None
