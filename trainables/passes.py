"""The forward and backward passes of one optimizer step; the same for fast steps and for their plain reference."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from suite.backbones.learner import Batch
from suite.errors import SuiteError
from trainables.faults import checked_loss, named
from trainables.method import Method, Step, TaskContext
from trainables.precision import autocast


class Pass(NamedTuple):
    """One forward pass of a step: the current task's batch and the method's extra ones, and its weight in the step's loss."""

    batches: list[Batch]
    weight: float


def run_passes(
    passes: Sequence[Pass], method: Method, context: TaskContext, precision: str, *, index: int, lr: float
) -> tuple[Tensor, Step]:
    """Gradients of step ``index`` add up in the parameters; returns the task loss, a scalar, and the last pass as the hooks see it."""
    device = context.learner.device
    total = torch.zeros((), device=device)
    step: Step | None = None
    for batches, weight in passes:

        def run(batches: list[Batch], weight: float = weight) -> Tensor:
            nonlocal step
            with autocast(device, precision):
                outputs = [context.learner.forward(batch) for batch in batches]
                step = Step(index, context.steps, lr, batches, outputs)
                loss = checked_loss(method, method.loss(step)) * weight
            loss.backward()
            return outputs[0].loss.detach() * weight

        total += checked_loss(method, method.backward(batches, run), "backward")
    if step is None:
        raise SuiteError(f"{named(method)}: backward() ran no pass; correct the method.")
    return total, step
