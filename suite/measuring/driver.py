"""What ``dev perf driver`` does: milliseconds that a study's driver spends on one trial, as its trials become many.

The trials are made up, everything else is as in a sweep: Optuna's database on disk, every trial asked for, told of and counted.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from suite.config import validate
from suite.randomness import numpy_generator
from suite.runs.validation_view import ValidationView
from suite.tuning.run_queue import Suggestion
from suite.tuning.study import StudyQueue
from suite.tuning.study_config import StudyConfig

TASKS = ("shapes", "faces", "digits")
STUDY: dict[str, Any] = {
    "name": "driver",
    "run": {"benchmark": {"name": "mini-mtil", "domains": list(TASKS)}, "method": {"name": "codyra"}},
    "space": "codyra",
    "objectives": ["zscl.last", "codyra.forgetting"],
}
MARKS = (100, 1000, 5000)
WINDOW = 20  # trials that a figure is the mean of


@dataclass(frozen=True)
class DriverCost:
    """Means over ``WINDOW`` trials of a study that has ``trials`` already: all its time, the part that is not waiting for the disk,
    SQL statements.
    """

    sampler: str
    trials: int
    milliseconds: float
    cpu_milliseconds: float
    statements: float


@dataclass
class StatementCount:
    """SQL statements of a while."""

    statements: int = 0


def measure_driver(trials: int, stopping: str) -> Iterator[DriverCost]:
    """One study grown with the random sampler; at every mark, and at the end, a copy of it goes on with TPE.

    Args:
        stopping: the rule by which trials are stopped.
    """
    with tempfile.TemporaryDirectory(prefix="codyra-driver-") as scratch:
        folder = Path(scratch) / "random"
        source, done = _study(folder, "random", stopping), 0
        for mark in (*(mark for mark in MARKS if mark < trials), trials):
            end_trials(source, mark - done)
            done = mark + WINDOW
            yield _measured(source, "random", mark)
            copied = Path(scratch) / f"tpe-{mark}"
            shutil.copytree(folder, copied)
            yield _measured(_study(copied, "tpe", stopping), "tpe", mark)


def _study(folder: Path, sampler: str, stopping: str) -> StudyQueue:
    fields = {"sampler": sampler, "budget": {"trials": 10**9}, "stopping": {"rule": stopping}}
    return StudyQueue(validate(StudyConfig, {**STUDY, **fields}, where="perf driver"), folder)


def _measured(source: StudyQueue, sampler: str, trials: int) -> DriverCost:
    with counted_statements() as counter:
        begun, computed = time.perf_counter(), time.process_time()
        end_trials(source, WINDOW)
        took, computing = time.perf_counter() - begun, time.process_time() - computed
    return DriverCost(sampler, trials, 1000 * took / WINDOW, 1000 * computing / WINDOW, counter.statements / WINDOW)


def end_trials(source: StudyQueue, trials: int) -> None:
    """Give out and end so many trials, one after the other, and ask for what a sweep shows after each."""
    for _ in range(trials):
        run = source.suggest()
        if isinstance(run, str):
            raise AssertionError(f"the made-up study says '{run}'")
        rows = numpy_generator("perf driver", run.trial).uniform(20, 90, (len(TASKS) + 1, len(TASKS))).round(2).tolist()
        for done in range(1, len(TASKS)):
            if not source.may_go_on(run, _view(run, "running", rows[: done + 1])):
                source.ended(run, _view(run, "stopped", rows[: done + 1]), None)
                break
        else:
            source.ended(run, _view(run, "finished", rows), None)
        source.store.ended_trials()
        source.best_note()


def _view(run: Suggestion, status: str, rows: list[list[float | None]]) -> ValidationView:
    return ValidationView(f"{run.trial:016x}", status, None, TASKS, rows, 138_720, 7.8, 0, 19.0, 2**30)


@contextmanager
def counted_statements() -> Iterator[StatementCount]:
    """SQL statements of all engines of this process."""
    from sqlalchemy import event
    from sqlalchemy.engine import Engine

    counter = StatementCount()

    def count(*_: Any) -> None:
        counter.statements += 1

    event.listen(Engine, "before_cursor_execute", count)
    try:
        yield counter
    finally:
        event.remove(Engine, "before_cursor_execute", count)
