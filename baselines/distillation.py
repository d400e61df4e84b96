"""Distillation: the network at an earlier moment as a teacher, and the loss towards what it says.

    D(Z, Z*) = T^2 mean over rows of CE(softmax(Z* / T), Z / T)

A cross-entropy, as in ZSCL's release, not the divergence KL(Z* || Z): the two differ by the teacher's entropy, which has no gradient.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from suite.backbones.learner import Learner
from trainables.method import Method


class Teacher:
    """The network as it is now, spoken to later: the values of all that is going to change. No second network is needed.

    Attributes:
        tensors: what is going to change; ``values`` are what they hold now.
    """

    def __init__(self, learner: Learner, tensors: list[nn.Parameter]) -> None:
        self.learner = learner
        self.tensors = tensors
        self.values = [tensor.detach().clone() for tensor in tensors]

    @classmethod
    def before_steps(cls, learner: Learner, method: Method) -> Teacher:
        """The network as a task begins: what ``method`` holds trainable, whether in parts, modules or the network itself."""
        held = [p for group in method.parameter_groups() for p in group.parameters]
        parts = [p for site in learner.sites.values() for p in site.parameters() if p.requires_grad]
        modules = [p for module in method.modules().values() for p in module.parameters()]
        return cls(learner, list({id(p): p for p in (*held, *parts, *modules)}.values()))

    @contextmanager
    def speaking(self, *, alone: bool = False) -> Iterator[None]:
        """The learner's network is the teacher, without gradients and dropout; afterwards it is the student again.

        The tensors are pointed at other memory and back, nothing is written: a graph that waits for its backward pass stays valid.

        Args:
            alone: without the parts that stand in the network.
        """
        parts = {key for site in self.learner.sites.values() for key in site.parts} if alone else set()
        now = [tensor.data for tensor in self.tensors]
        for tensor, value in zip(self.tensors, self.values, strict=True):
            tensor.data = value
        try:
            with asked(self.learner), self.learner.without(*parts):
                yield
        finally:
            for tensor, data in zip(self.tensors, now, strict=True):
                tensor.data = data


@contextmanager
def asked(learner: Learner) -> Iterator[None]:
    """Forward passes for their answers alone: no gradients, no dropout of live parts."""
    sites = [site for site in learner.sites.values() if site.training]
    for site in sites:
        site.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for site in sites:
            site.train()


def distillation(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """D of logits (n, k) each, a scalar."""
    wanted = F.softmax(teacher.float() / temperature, dim=1)
    return temperature**2 * F.cross_entropy(student.float() / temperature, wanted)


def both_ways(student: Tensor, teacher: Tensor, temperature: float, over_texts: float, over_images: float) -> Tensor:
    """Weighted sum of D with a distribution over the texts of each image (release: image loss), and over the images of each text.

    Args:
        student, teacher: (images, texts) logits.
    """
    total = student.new_zeros(())
    if over_texts:
        total = total + over_texts * distillation(student, teacher, temperature)
    if over_images:
        total = total + over_images * distillation(student.T, teacher.T, temperature)
    return total
