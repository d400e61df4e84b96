"""Gradients of the task loss for a method's own parameters, beside those of a training step: for Fisher matrices and memories."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import torch
from torch import Tensor, nn

from suite.backbones.learner import Batch, Learner
from trainables.method import TaskContext


def gradient(learner: Learner, batch: Batch, parameters: Sequence[nn.Parameter]) -> list[Tensor]:
    """Of the mean task loss of ``batch``, zeros where it does not reach; the parameters' own ``grad`` stays as it is."""
    found = torch.autograd.grad(learner.forward(batch).loss, list(parameters), allow_unused=True)
    return [torch.zeros_like(p) if g is None else g for p, g in zip(parameters, found, strict=True)]


def dot(some: Iterable[Tensor], others: Iterable[Tensor]) -> float:
    """Inner product of two lists of tensors, added up in fp64."""
    return sum(float((one.double() * other.double()).sum()) for one, other in zip(some, others, strict=True))


def some_rows(context: TaskContext, count: int, generator: torch.Generator) -> Tensor:
    """(count, 2) int64: the task's index and rows of its training split, drawn without repetition; all of them where they are fewer."""
    rows = torch.randperm(len(context.task.train), generator=generator)[:count].sort().values
    return torch.stack([torch.full_like(rows, context.index), rows], dim=1)


def batches_of(context: TaskContext, rows: Tensor) -> Iterator[Batch]:
    """The task's training rows ``rows`` (n,), rising, not augmented, at most a batch at a time."""
    start = 0
    for batch in context.batches():
        own = rows[(rows >= start) & (rows < start + len(batch))]
        start += len(batch)
        if len(own):
            yield batch.part(own - start + len(batch))


def decayed_sum(before: Mapping[str, Tensor], found: Mapping[str, Tensor], gamma: float) -> dict[str, Tensor]:
    """F <- gamma F + F_t by name: the Fisher matrices of all tasks in the room of one; the first task's as they are."""
    return {name: gamma * before[name] + value if name in before else value for name, value in found.items()}
