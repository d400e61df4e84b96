"""Experience replay around any method: rows of finished tasks are mixed into every step.

    L = L_inner(current batch) + weight CE(memory batch)

Source: arXiv 1902.10486; aimagelab/mammoth (commit e75a491) models/er.py, utils/buffer.py. mammoth takes one mean over both batches
joined; that is this loss with ``weight = memory_share``, divided by 1 + memory_share. The default weight of 1 counts both means alike.
Rows are inserted once, after their task, never per epoch: the release's way gives duplicates. TRACE's replay is another method: after each
task one more epoch over a tenth of the earlier rows and all of LIMA.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import Field
from torch import Tensor

from baselines.memory import REFERENCE_BYTES, JudgedAmong, RowMemory, Selection
from suite.backbones.learner import Batch, Output
from suite.parts import MethodConfig
from trainables.method import Step, TaskContext
from trainables.wrapper import Wrapper, WrapperConfig


class ReplayConfig(WrapperConfig):
    """Hyperparameters.

    Attributes:
        inner: the method that learns, by its name or with its fields; ``lora`` by itself.
        memory_size: rows kept over all finished tasks.
        selection: ``reservoir`` = every row seen so far is kept with equal probability, ``balanced`` = equal shares per task.
        memory_share: memory rows per step as a share of the current batch.
        weight: of the mean loss over the memory rows; equal to ``memory_share`` it is mammoth's, up to a constant factor.
        label_space: classes a replayed image is judged among: its own task's, all seen ones, or ``protocol`` = as the stream.
    """

    knows_later_tasks = False
    of_earlier_tasks = frozenset({"memory_share", "weight", "label_space"})
    name: Literal["replay"] = "replay"
    memory_size: Annotated[int, Field(ge=0)] = 200
    selection: Selection = "reservoir"
    memory_share: Annotated[float, Field(gt=0, le=4)] = 0.5
    weight: Annotated[float, Field(ge=0)] = 1.0
    label_space: JudgedAmong = "protocol"

    def degenerate_settings(self) -> Sequence[tuple[MethodConfig, Mapping[str, Any]]]:
        inner = self.inner.model_dump()
        return [(self.model_copy(update={"memory_size": 0}), inner), (self.model_copy(update={"weight": 0.0}), inner)]

    def build(self) -> Replay:
        return Replay(self)


class Replay(Wrapper):
    """The inner method and a memory of (task, row) pairs."""

    capturable = True
    extra_data = "stored examples"

    def __init__(self, config: ReplayConfig) -> None:
        super().__init__(config)
        self.config = config
        self.memory = RowMemory(config.memory_size, config.selection)

    def check_budget(self, tasks: Sequence[str], steps: Sequence[int]) -> None:
        super().check_budget(tasks, steps)
        self.memory.require_room(len(tasks), self.config.name)

    def own_batches(self, context: TaskContext, current: Batch) -> list[Batch]:
        if not len(self.memory) or not self.config.weight:
            return []
        count = max(1, round(len(current) * self.config.memory_share))
        return [self.memory.draw(context, count, self.config.label_space)]

    def term(self, step: Step, own: Sequence[tuple[Batch, Output]]) -> Tensor | None:
        return self.config.weight * own[0][1].loss if own else None

    def end_task(self, context: TaskContext) -> None:
        super().end_task(context)
        self.memory.insert(context)

    def state(self) -> dict[str, Tensor]:
        return {**super().state(), **self.memory.state()}

    def load_state(self, state: dict[str, Tensor]) -> None:
        super().load_state(state)
        self.memory.load_state(state)

    def own_bytes(self) -> int:
        return REFERENCE_BYTES * len(self.memory)
