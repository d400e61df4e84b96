"""RAIL: what its two forms share, the features of the frozen network and who answers. ``rail_primal`` and ``rail_dual`` regress.

    p = softmax of the zero-shot logits;   answer = (1 - mix) p + mix r where p's largest entry is a learned class, elsewhere p

r is the ridge regression's output for image features x (dim,), trained on one-hot classes, 0 for classes that are not learned. No gradient
step is ever taken, and neither the order of the tasks nor that of the rows matters.

Source: arXiv 2406.18868; linghan1997/Regression-based-Analytic-Incremental-Learning (commit eaac644) primal_RAIL.py, dual_RAIL.py, utils.py.
Published: mix 0.8 (0.9 in a later configuration). Ours: features of the images as they are, not of one random crop; sums in fp64; the
choice between ridge and zero-shot is made among the classes of the evaluation, so that MTIL, which names the task, has it too. Of classes
that share a prompt the first one's r counts.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator

import torch
from torch import Tensor

from suite.backbones.learner import Output
from suite.benchmarks.stream import ImageTask
from trainables.method import Method, MethodFacts, Need, TaskContext, tensor_bytes


class Rail(Method):
    """What both forms share: features of the frozen network in, ridge or zero-shot out.

    Attributes:
        seen: classes learned so far; they are the first ones of the stream.
    """

    needs: frozenset[Need] = frozenset({"clip"})

    def __init__(self, mix: float) -> None:
        super().__init__()
        self.mergeable = False
        self.mix = mix
        self.seen = 0

    def steps(self, context: TaskContext) -> int:
        return 0

    @torch.no_grad()
    def end_task(self, context: TaskContext) -> None:
        task, first = context.task, self.seen
        assert isinstance(task, ImageTask)
        self.seen += len(task.class_names)
        self.learn((features, first + labels) for features, labels in rows_of(context))

    @abstractmethod
    def learn(self, rows: Iterator[tuple[Tensor, Tensor]]) -> None:
        """Take in batches of features (n, dim) fp32 and classes (n,) of the stream."""

    @abstractmethod
    def regress(self, features: Tensor) -> Tensor:
        """(n, classes seen) of features (n, dim) fp32."""

    def answer(self, output: Output, classes: Tensor) -> Tensor:
        if not self.seen:
            return output.logits
        with torch.autocast(classes.device.type, enabled=False):
            found = self.regress(output.features.float())
        known = classes < self.seen
        ridge = found.new_zeros(len(found), len(classes))
        ridge[:, known] = found[:, classes[known]]
        return fused(output.logits, ridge, known, self.mix)

    def facts(self) -> MethodFacts:
        return MethodFacts(trainable_parameters=0, carried_bytes=tensor_bytes(self.state().values()))


def rows_of(context: TaskContext) -> Iterator[tuple[Tensor, Tensor]]:
    """Features (n, dim) fp32 and labels (n,) of the task's training rows, batch by batch, as the network stands."""
    for batch in context.batches():
        yield context.learner.forward(batch.without_labels()).features.float(), batch.inputs["labels"]


def fused(logits: Tensor, ridge: Tensor, known: Tensor, mix: float) -> Tensor:
    """Scores (n, k) fp64 from zero-shot logits (n, k), the ridge's output (n, k) and which classes are learned, (k,) bool."""
    shares = torch.softmax(logits.double(), dim=1)
    trusted = known[shares.argmax(dim=1)]
    return torch.where(trusted[:, None], (1 - mix) * shares + mix * ridge, shares)
