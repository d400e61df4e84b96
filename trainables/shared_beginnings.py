"""Rows of a run's matrices as they are stored, and rows that are taken from another run that has learned the same so far."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from suite.data.examples import Split
from suite.errors import DamagedRun, SuiteError
from suite.runs.answers import answers_of
from suite.runs.beginnings import Beginnings
from suite.runs.generations import row_of
from suite.runs.outcomes import Key, Scores
from suite.runs.record import TaskResult
from suite.runs.store import OpenRun, RunStore
from trainables.checkpoint import Checkpoints
from trainables.standing import StandingTrainer
from trainables.stream_trainer import EVALUATED, TaskReport


@dataclass(frozen=True)
class Row:
    """What a row puts into record, outcomes and answers.

    Attributes:
        cells: means of each task, None where it was not judged.
        checkpoint: checksums of the row's checkpoint files; empty for row 0.
    """

    result: TaskResult
    cells: Mapping[Split, list[float | None]]
    scores: Mapping[Key, Scores]
    texts: Mapping[str, list[str]]
    checkpoint: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def measured(cls, report: TaskReport, checkpoint: Mapping[str, str]) -> Self:
        """A row that the trainer has just measured."""
        row = report.result.row
        found = {(s, t): o for s in EVALUATED for t, o in enumerate(report.outcomes[s]) if o is not None}
        ties = sum(o.ties for (split, _), o in found.items() if split == "test")
        return cls(
            report.result.model_copy(update={"facts": {**report.result.facts, "ties": ties}}),
            {s: [None if o is None else o.mean for o in report.outcomes[s]] for s in EVALUATED},
            {(s, row, t): o.scores for (s, t), o in found.items()},
            {f"{s}/{row}/{t}": list(o.texts) for (s, t), o in found.items() if o.texts},
            checkpoint,
        )


def taken_row(of: OpenRun, row: int, standing: StandingTrainer, results: Sequence[TaskResult]) -> Row | None:
    """The row that another run has learned, with its checkpoint as the own run's; ``results`` are the own rows before it.

    Scores are taken where the other run judged the same tasks; else they are measured anew, for what stands beside an example may move
    the last bit of its score. None where something is gone or has changed meanwhile: then the row is to be learned.
    """
    with suppress(SuiteError, OSError, LookupError):
        result = of.record.results[row]
        checkpoint = standing.checkpoints.take(Checkpoints(of.folder, of.record.run_id), result)
        result = result.model_copy(update={"taken_from": result.taken_from or of.record.run_id, "digests": checkpoint})
        return _judged_there(of, result, standing) or _judged_here(result, standing, results)
    return None


def _judged_there(of: OpenRun, result: TaskResult, standing: StandingTrainer) -> Row | None:
    """The row as the other run measured it; None where that judged other tasks, or these in another order."""
    stream, row = standing.trainer.stream, result.row
    judged, there = stream.judged_after(row), sum(cell is not None for cell in of.record.test[row])
    if of.record.data_fingerprint != stream.fingerprint() and not len(judged) == there == row:
        return None
    cells = {
        split: [matrix[row][task] if task in judged else None for task in range(len(stream))]
        for split, matrix in zip(EVALUATED, (of.record.validation, of.record.test), strict=True)
    }
    texts = {key: found for key, found in answers_of(of).items() if row_of(key) == row}
    return Row(_costing(result, result.costs.wall_seconds), cells, of.outcomes(row), texts, result.digests)


def _judged_here(result: TaskResult, standing: StandingTrainer, results: Sequence[TaskResult]) -> Row:
    """The row judged by the own stream's tasks: its cost is what the other run's training took, and this evaluation."""
    outcomes, seconds = standing.bring(result.row, [*results, result]).judged_again(result.row)
    learning = result.costs.wall_seconds - result.costs.evaluate_seconds
    found = _costing(result, learning, wall_seconds=learning + seconds, evaluate_seconds=seconds)
    return Row.measured(TaskReport(found, outcomes), result.digests)


def _costing(result: TaskResult, borrowed: float, **own: float) -> TaskResult:
    """``result`` without its checksums, which are given when it is stored."""
    costs = result.costs.model_copy(update={"borrowed_seconds": borrowed, **own})
    return result.model_copy(update={"costs": costs, "digests": {}})


class SharedBeginnings:
    """What a run and others below the same folder owe each other.

    Args:
        names: of the run's states after the first, the second, ... task; empty for a run that shares nothing.
        say: is told whom the run waits for.
    """

    def __init__(self, names: Sequence[str], run_id: str, out: Path, say: Callable[[str], None] | None) -> None:
        self.names = names
        self.run_id = run_id
        self._store, self._index = RunStore(out), Beginnings(out)
        self._say = say

    def name(self, row: int, results: Sequence[TaskResult]) -> str | None:
        """Of the state after ``row`` tasks; None where an earlier one was reached under other conditions, as on another machine."""
        if not self.names or any(result.beginning != self.names[result.row - 1] for result in results[1:row]):
            return None
        return self.names[row - 1]

    @contextmanager
    def turn(self, row: int, results: Sequence[TaskResult]) -> Iterator[tuple[OpenRun | None, Callable[[], None]]]:
        """Gives a run that has the state after ``row`` tasks; without one it is this run's turn to make it, and to say so with the
        function beside. Where another run makes it now, that is waited for."""
        name = self.name(row, results)
        if name is None:
            yield None, _nothing
        elif (found := self._with(name, row, self._index.known(name))) is not None:
            yield found, _nothing
        else:
            with self._index.turn(name, self._wait) as turn:
                yield self._with(name, row, turn.known), lambda: turn.note(self.run_id)

    def _wait(self, owner: str) -> None:
        if self._say is not None:
            self._say(f"run {self.run_id}: {owner} is learning the same task from the same beginning; waiting for it.")

    def _with(self, name: str, row: int, run_id: str | None) -> OpenRun | None:
        """The run ``run_id``, if it still has the state called ``name``."""
        if run_id is None or run_id == self.run_id:
            return None
        with suppress(DamagedRun):
            run = self._store.open(run_id)
            if run is not None and row < len(run.record.results) and run.record.results[row].beginning == name:
                return run if Checkpoints(run.folder, run_id).complete(row) else None
        return None


def _nothing() -> None:
    """For a state that nobody else will look for."""
