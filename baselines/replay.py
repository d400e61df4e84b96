"""Experience replay on fixed-rank LoRA: rows of finished tasks are mixed into every step.

    L = CE(current batch) + weight CE(memory batch)

Source: arXiv 1902.10486; aimagelab/mammoth (commit e75a491) models/er.py, utils/buffer.py. mammoth takes one mean over both batches
joined; that is this loss with ``weight = memory_share``, divided by 1 + memory_share. The default weight of 1 counts both means alike.
Rows are inserted once, after their task, never per epoch: the release's way gives duplicates. TRACE's replay is another method: after each
task one more epoch over a tenth of the earlier rows and all of LIMA.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import torch
from pydantic import Field
from torch import Tensor

from baselines.lora import Lora, LoraConfig
from suite.backbones.learner import Batch, Learner
from suite.benchmarks.stream import ImageTask, LabelSpace
from suite.lowrank.placement import Placement
from suite.parts import MethodConfig
from suite.randomness import RandomStreams
from trainables.method import Method, MethodFacts, ParameterGroup, Step, TaskContext

REFERENCE_BYTES = 16  # one (task, row) pair of int64: the memory points into the training data


class ReplayConfig(MethodConfig):
    """Hyperparameters.

    Attributes:
        memory_size: rows kept over all finished tasks.
        selection: ``reservoir`` = every row seen so far is kept with equal probability, ``balanced`` = equal shares per task.
        memory_share: memory rows per step as a share of the current batch.
        weight: of the mean loss over the memory rows; equal to ``memory_share`` it is mammoth's, up to a constant factor.
        label_space: classes a replayed image is judged among: its own task's, all seen ones, or ``protocol`` = as the stream.
    """

    name: Literal["replay"] = "replay"
    rank: Annotated[int, Field(ge=1, le=512)] = 16
    placement: Placement = Placement(weights=("q", "k", "v", "o", "in", "out"))
    memory_size: Annotated[int, Field(ge=0)] = 200
    selection: Literal["reservoir", "balanced"] = "reservoir"
    memory_share: Annotated[float, Field(gt=0, le=4)] = 0.5
    weight: Annotated[float, Field(ge=0)] = 1.0
    label_space: Literal["protocol", "own", "seen"] = "protocol"

    def degenerate_settings(self) -> Sequence[tuple[MethodConfig, Mapping[str, Any]]]:
        plain = {"name": "lora", "rank": self.rank, "placement": self.placement}
        return [(self.model_copy(update={"memory_size": 0}), plain), (self.model_copy(update={"weight": 0.0}), plain)]

    def build(self) -> Replay:
        return Replay(self)


class Replay(Method):
    """A LoRA carrier plus a memory of (task, row) pairs."""

    capturable = True

    def __init__(self, config: ReplayConfig) -> None:
        super().__init__()
        self.config = config
        self.carrier = Lora(LoraConfig(rank=config.rank, placement=config.placement))
        self.memory = torch.empty(0, 2, dtype=torch.int64)
        self.seen = torch.zeros(1, dtype=torch.int64)

    def attach(self, learner: Learner, random: RandomStreams) -> None:
        self.carrier.attach(learner, random)
        self.slots = self.carrier.slots
        self.added = self.carrier.added

    def begin_task(self, context: TaskContext) -> None:
        self.carrier.begin_task(context)

    def extra_batches(self, context: TaskContext, current: Batch) -> list[Batch]:
        if not len(self.memory) or not self.config.weight:
            return []
        generator = context.random["memory"]
        count = max(1, round(len(current) * self.config.memory_share))
        items = self.memory[torch.randint(len(self.memory), (count,), generator=generator)]
        return [context.learner.batch(items[:, 0], items[:, 1], generator, self._label_space(context))]

    def _label_space(self, context: TaskContext) -> Literal["own", "seen"]:
        if self.config.label_space == "protocol":
            return "seen" if context.learner.stream.protocol is LabelSpace.UNION else "own"
        return self.config.label_space

    def loss(self, step: Step) -> Tensor:
        total = step.outputs[0].loss
        for memory in step.outputs[1:]:
            total = total + self.config.weight * memory.loss
        return total

    def parameter_groups(self) -> list[ParameterGroup]:
        return self.carrier.parameter_groups()

    def end_task(self, context: TaskContext) -> None:
        self.carrier.end_task(context)
        rows = torch.arange(len(context.task.train))
        items = torch.stack([torch.full_like(rows, context.index), rows], dim=1)
        insert = self._reservoir if self.config.selection == "reservoir" else self._balanced
        insert(items, context)

    def _reservoir(self, items: Tensor, context: TaskContext) -> None:
        """One pass: item n (from 0) goes to slot j = randint(0, n) when j < size (Vitter's algorithm R)."""
        generator = context.random["reservoir"]
        memory = self.memory.tolist()
        for item in items.tolist():
            self.seen += 1
            if len(memory) < self.config.memory_size:
                memory.append(item)
                continue
            place = int(torch.randint(int(self.seen), (1,), generator=generator))
            if place < self.config.memory_size:
                memory[place] = item
        self.memory = torch.tensor(memory, dtype=torch.int64).reshape(-1, 2)

    def _balanced(self, items: Tensor, context: TaskContext) -> None:
        """Equal shares per task, within a task equal shares per class; earlier shares shrink by dropping their tail."""
        share = self.config.memory_size // (context.index + 1)
        kept = [self.memory[self.memory[:, 0] == task][:share] for task in range(context.index)]
        order = torch.randperm(len(items), generator=context.random["reservoir"])
        if isinstance(context.task, ImageTask):
            labels = torch.from_numpy(context.task.train.labels)[order]
            turn = torch.stack([(labels[:i] == labels[i]).sum() for i in range(len(labels))])
            order = order[torch.argsort(turn, stable=True)]
        self.memory = torch.cat([*kept, items[order[:share]]])

    def state(self) -> dict[str, Tensor]:
        return {"memory": self.memory, "seen": self.seen}

    def load_state(self, state: dict[str, Tensor]) -> None:
        self.memory, self.seen = state["memory"], state["seen"]

    def facts(self) -> MethodFacts:
        inner = self.carrier.facts()
        carried = REFERENCE_BYTES * len(self.memory)
        return MethodFacts(inner.trainable_parameters, inner.effective_rank, carried_bytes=carried)
