"""A trainer, and how many tasks its network has learned."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from suite.runs.record import TaskResult
from trainables.checkpoint import Checkpoints
from trainables.stream_trainer import StreamTrainer, TaskReport

NOWHERE = -1  # on the way from one state to another


class StandingTrainer:
    """Brings the network to where a task begins: it is there, or a fresh one is, from the run's checkpoints.

    Args:
        assembled: makes a trainer over a fresh network.

    Attributes:
        at: tasks that the network has learned.
    """

    def __init__(self, assembled: Callable[[], StreamTrainer], checkpoints: Checkpoints) -> None:
        self._assembled = assembled
        self.checkpoints = checkpoints
        self.trainer, self.at = assembled(), 0

    def bring(self, row: int, results: Sequence[TaskResult]) -> StreamTrainer:
        """The trainer after ``row`` tasks; ``results`` are those of row 0 and at least these.

        Raises:
            DamagedRun: a checkpoint is missing or damaged.
        """
        if self.at != row:
            if self.at:
                row_zero = self.trainer.row_zero
                del self.trainer  # one network at a time
                self.trainer = self._assembled()
                self.trainer.row_zero = row_zero
            self.at = NOWHERE
            if row:
                trainer, of_tasks = self.trainer, results[1 : row + 1]
                trainer.optimizer_state = self.checkpoints.load(of_tasks, trainer.journal, trainer.method, trainer.random)
            self.at = row
        return self.trainer

    def learn(self, row: int, results: Sequence[TaskResult]) -> TaskReport:
        """Learn the task that ``row`` comes after; raises as ``StreamTrainer.rows`` and as ``bring``."""
        report = self.bring(row - 1, results).task(row - 1)
        self.at = row
        return report

    def store(self) -> dict[str, str]:
        """Write the checkpoint of the last learned task; returns its files' checksums."""
        trainer = self.trainer
        return self.checkpoints.save(self.at, trainer.journal, trainer.method, trainer.random, trainer.optimizer_state)
