"""A-GEM around any method: a step may not raise the mean loss on a memory of all earlier tasks, to first order.

    g <- g - (<g, m> / <m, m>) m      if <g, m> < 0

g is the step's gradient over everything that the inner method learns, m that of the mean task loss on rows drawn from the memory: one more
pass per step whatever the number of tasks. The result is orthogonal to m. AdamW's step, which follows, is not a projected one.

Source: arXiv 1812.00420; aimagelab/mammoth (commit e75a491) models/agem.py. There are no published settings for LoRA.
"""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from baselines.gem import GradientMemory, GradientMemoryConfig
from baselines.gradients import dot


class AGemConfig(GradientMemoryConfig):
    """Hyperparameters.

    Attributes:
        inner: the method that learns, by its name or with its fields; ``lora`` by itself.
        memory_per_task: rows that are kept of each finished task.
        every: steps from one look at the memory to the next; steps between them are not constrained.
        memory_batch: rows of the memory that a step looks at.
    """

    knows_later_tasks = False
    of_earlier_tasks = frozenset({"every", "memory_batch"})
    name: Literal["agem"] = "agem"
    memory_batch: Annotated[int, Field(ge=1)] = 32

    def build(self) -> AGem:
        return AGem(self)


class AGem(GradientMemory):
    """One constraint for all earlier tasks."""

    def __init__(self, config: AGemConfig) -> None:
        super().__init__(config)
        self.config = config

    def changes(self, gradients: list[Tensor], parameters: list[nn.Parameter]) -> list[Tensor] | None:
        assert self.context is not None
        drawn = torch.randperm(len(self.memory), generator=self.context.random["memory"])[: self.config.memory_batch]
        reference = self.gradient_on(self.memory[drawn], parameters)
        along = dot(gradients, reference)
        if along >= 0:
            return None
        share = -along / max(dot(reference, reference), 1e-30)
        return [share * part for part in reference]
