"""Joint fine-tuning: every weight but the logit scale is trained on all tasks seen so far, with all their data at hand.

    L = (CE(current task) + k CE(rows drawn from the k earlier tasks, each task equally often)) / (k + 1)

No continual learner: the upper bound that shows what forgetting costs (cumulative or multi-task training of GEM and TRACE).
Use the learning rate of ``finetune``.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from baselines.finetune import Finetune
from suite.backbones.learner import Batch
from suite.benchmarks.stream import LabelSpace
from suite.parts import MethodConfig
from trainables.method import Step, TaskContext


class JointConfig(MethodConfig):
    """Has no hyperparameters of its own; budget and learning rate are the run's."""

    knows_later_tasks = False
    name: Literal["joint"] = "joint"

    def build(self) -> Joint:
        return Joint()


class Joint(Finetune):
    """Fine-tuning whose every step also sees a batch of earlier tasks."""

    extra_data = "all earlier tasks"

    def __init__(self) -> None:
        super().__init__()
        self.earlier = 0  # tasks before the current one
        self.pool = torch.empty(0, 2, dtype=torch.int64)  # the longest row of each

    def begin_task(self, context: TaskContext) -> None:
        super().begin_task(context)
        self.earlier = context.index
        lengths = [context.learner.lengths(task) for task in range(context.index)]
        longest = [0 if known is None else int(known.argmax()) for known in lengths]
        self.pool = torch.tensor(list(enumerate(longest)), dtype=torch.int64).reshape(-1, 2)

    def extra_batches(self, context: TaskContext, current: Batch) -> list[Batch]:
        if context.index == 0:
            return []
        generator = context.random["memory"]
        tasks = torch.randint(context.index, (len(current),), generator=generator)
        counts = torch.tensor([len(task.train) for task in context.learner.stream.tasks[: context.index]])
        rows = (torch.rand(len(current), generator=generator, dtype=torch.float64) * counts[tasks]).long()
        among: Literal["own", "seen"] = "seen" if context.learner.stream.protocol is LabelSpace.UNION else "own"
        return [context.learner.batch(tasks, rows, generator, among, pool=self.pool)]

    def loss(self, step: Step) -> Tensor:
        if len(step.outputs) == 1:
            return step.outputs[0].loss
        return (step.outputs[0].loss + self.earlier * step.outputs[1].loss) / (self.earlier + 1)
