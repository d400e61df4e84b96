"""Rows of finished tasks that a method may look at again: which are kept, and batches drawn from them."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from suite.backbones.learner import Batch
from suite.benchmarks.stream import ImageTask, LabelSpace
from suite.errors import ConfigError
from trainables.method import TaskContext

REFERENCE_BYTES = 16  # one (task, row) pair of int64: the memory points into the training data
Selection = Literal["reservoir", "balanced"]
JudgedAmong = Literal["protocol", "own", "seen"]


class RowMemory:
    """At most ``size`` rows of all finished tasks together.

    Attributes:
        rows: (m, 2) int64, task and row of its training split.
        seen: (1,) int64, rows that came by.
    """

    def __init__(self, size: int, selection: Selection) -> None:
        self.size = size
        self.selection = selection
        self.rows = torch.empty(0, 2, dtype=torch.int64)
        self.seen = torch.zeros(1, dtype=torch.int64)

    def __len__(self) -> int:
        return len(self.rows)

    def require_room(self, tasks: int, method: str) -> None:
        """Refuse a memory whose equal shares are empty once all ``tasks`` have one; size 0 keeps nothing, and says so.

        Raises:
            ConfigError: naming the least size.
        """
        if self.selection == "balanced" and 0 < self.size < tasks:
            raise ConfigError(
                f"{method}: a memory_size of {self.size} in equal shares leaves none of {tasks} tasks a row; set method.memory_size to at "
                f"least {tasks}, or to 0 for no memory."
            )

    def insert(self, context: TaskContext) -> None:
        """The rows of a finished task, each once: once per epoch would keep some of them twice."""
        rows = torch.arange(len(context.task.train))
        items = torch.stack([torch.full_like(rows, context.index), rows], dim=1)
        insert = self._reservoir if self.selection == "reservoir" else self._balanced
        insert(items, context)

    def _reservoir(self, items: Tensor, context: TaskContext) -> None:
        """One pass: item n (from 0) goes to slot j = randint(0, n) when j < size (Vitter's algorithm R)."""
        generator = context.random["reservoir"]
        memory = self.rows.tolist()
        for item in items.tolist():
            self.seen += 1
            if len(memory) < self.size:
                memory.append(item)
                continue
            place = int(torch.randint(int(self.seen), (1,), generator=generator))
            if place < self.size:
                memory[place] = item
        self.rows = torch.tensor(memory, dtype=torch.int64).reshape(-1, 2)

    def _balanced(self, items: Tensor, context: TaskContext) -> None:
        """Equal shares per task, within a task equal shares per class; earlier shares shrink by dropping their tail."""
        share = self.size // (context.index + 1)
        kept = [self.rows[self.rows[:, 0] == task][:share] for task in range(context.index)]
        order = torch.randperm(len(items), generator=context.random["reservoir"])
        if isinstance(context.task, ImageTask):
            labels = torch.from_numpy(context.task.train.labels)[order]
            turn = torch.stack([(labels[:i] == labels[i]).sum() for i in range(len(labels))])
            order = order[torch.argsort(turn, stable=True)]
        self.rows = torch.cat([*kept, items[order[:share]]])

    def draw(self, context: TaskContext, count: int, among: JudgedAmong, *, by: str = "memory") -> Batch:
        """``count`` rows with replacement; all batches of a task have one shape, and one label space, that of all rows kept.

        Args:
            among: classes a replayed image is judged among: its own task's, all seen ones, or ``protocol`` = as the stream.
            by: name of the generator.
        """
        generator = context.random[by]
        items = self.rows[torch.randint(len(self.rows), (count,), generator=generator)]
        return context.learner.batch(items[:, 0], items[:, 1], generator, label_space(context, among), pool=self.rows)

    def state(self) -> dict[str, Tensor]:
        """See ``Method.state``."""
        return {"memory": self.rows, "seen": self.seen}

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Inverse of ``state``."""
        self.rows, self.seen = state["memory"], state["seen"]


def label_space(context: TaskContext, among: JudgedAmong) -> Literal["own", "seen"]:
    """The label space that ``among`` means in the run's stream."""
    if among == "protocol":
        return "seen" if context.learner.stream.protocol is LabelSpace.UNION else "own"
    return among
