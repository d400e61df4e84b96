"""GEM around any method: a step may not raise the loss on the memory of any earlier task, to first order.

    v = argmin over v >= margin of  1/2 v^T (G G^T + eps I) v + (G g)^T v,      g <- g + G^T v      if any <g, G_k> < 0

g is the step's gradient over everything that the inner method learns, A and B of a LoRA, together; row k of G is that of the mean task loss
on earlier task k's memory, taken anew in every step, so that it is of the weights and the coordinates of the moment. The dual has one number
per earlier task and is solved by accelerated projected gradient. The optimizer sees the projected gradient; AdamW's step is no projected one.

Source: arXiv 1706.08840; facebookresearch/GradientEpisodicMemory. TRACE's and TreeLoRA's releases (commits 462e39f and c6a9b6d,
model/Regular/GEM.py) have the name, all weights, one stale gradient per task and tensor, and a sign that makes the step go along with what
it violates (qpth's convention with quadprog's q): not rebuilt. Nothing is published for LoRA; one adapter for the stream, as the releases
have one network, is ``inner={name: lora, between: carry}``. Every step makes one more forward and backward pass per earlier task, which
makes it the slowest method here; ``every`` does so in some steps only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from baselines.gradients import dot, some_rows
from baselines.memory import REFERENCE_BYTES, label_space
from suite.backbones.learner import Batch
from suite.parts import MethodConfig
from trainables.method import Step, TaskContext
from trainables.wrapper import Wrapper, WrapperConfig

RIDGE = 1e-9  # eps, where the rows of G have length 1
ROUNDS = 5000  # of the dual at most; it ends where nothing moves


class GradientMemoryConfig(WrapperConfig):
    """What GEM and A-GEM have in common; they say what it means."""

    memory_per_task: Annotated[int, Field(ge=0)] = 16
    every: Annotated[int, Field(ge=1)] = 1

    def degenerate_settings(self) -> Sequence[tuple[MethodConfig, Mapping[str, Any]]]:
        return [(self.model_copy(update={"memory_per_task": 0}), self.inner.model_dump())]


class GemConfig(GradientMemoryConfig):
    """Hyperparameters.

    Attributes:
        inner: the method that learns, by its name or with its fields; ``lora`` by itself.
        memory_per_task: rows that are kept of each finished task.
        every: steps from one look at the memory to the next; steps between them are not constrained.
        margin: least v, the paper's memory strength; above 0 a step that violates one memory is pulled towards all.
    """

    knows_later_tasks = False
    of_earlier_tasks = frozenset({"every", "margin"})
    name: Literal["gem"] = "gem"
    margin: Annotated[float, Field(ge=0)] = 0.0

    def build(self) -> Gem:
        return Gem(self)


class GradientMemory(Wrapper):
    """The inner method and rows of earlier tasks, equally many of each; subclasses say what they constrain.

    Every worker of several looks at the whole memory, so that all project alike.
    """

    extra_data = "stored examples"

    def __init__(self, config: GradientMemoryConfig) -> None:
        super().__init__(config)
        self.memory_config = config
        self.memory = torch.empty(0, 2, dtype=torch.int64)
        self.context: TaskContext | None = None

    def begin_task(self, context: TaskContext) -> None:
        super().begin_task(context)
        self.context = context

    def after_backward(self, step: Step) -> None:
        super().after_backward(step)
        if not len(self.memory) or step.index % self.memory_config.every:
            return
        parameters = [p for group in self.parameter_groups() for p in group.parameters if p.grad is not None]
        gradients = [p.grad for p in parameters if p.grad is not None]
        changes = self.changes(gradients, parameters)
        if changes is not None:
            torch._foreach_add_(gradients, changes)

    def changes(self, gradients: list[Tensor], parameters: list[nn.Parameter]) -> list[Tensor] | None:
        """What is to be added to the gradients; None where they may stay as they are."""
        raise TypeError(f"{type(self).__name__} does not say what it constrains")

    def gradient_on(self, items: Tensor, parameters: list[nn.Parameter]) -> list[Tensor]:
        """Of the mean task loss on memory items (n, 2), judged as the stream's protocol says."""
        assert self.context is not None
        learner, views = self.context.learner, self.context.random["memory-views"]
        batch = learner.batch(items[:, 0], items[:, 1], views, label_space(self.context, "protocol"))
        held = [p for group in self.parameter_groups() for p in group.parameters]
        kept = [p.grad for p in held]
        for p in held:
            p.grad = None

        def run(batches: list[Batch]) -> Tensor:
            loss = learner.forward(batches[0]).loss
            loss.backward()
            return loss.detach()

        self.innermost.backward([batch], run)  # some parameters stand in no graph and get their gradients there
        found = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
        for p, own in zip(held, kept, strict=True):
            p.grad = own
        return found

    def end_task(self, context: TaskContext) -> None:
        super().end_task(context)
        count = self.memory_config.memory_per_task
        if count:
            self.memory = torch.cat([self.memory, some_rows(context, count, context.random["memory"])])

    def state(self) -> dict[str, Tensor]:
        return {**super().state(), "memory": self.memory}

    def load_state(self, state: dict[str, Tensor]) -> None:
        super().load_state(state)
        self.memory = state["memory"]

    def own_bytes(self) -> int:
        return REFERENCE_BYTES * len(self.memory)


class Gem(GradientMemory):
    """One constraint per earlier task."""

    def __init__(self, config: GemConfig) -> None:
        super().__init__(config)
        self.config = config

    def changes(self, gradients: list[Tensor], parameters: list[nn.Parameter]) -> list[Tensor] | None:
        tasks = self.memory[:, 0].unique().tolist()
        rows = [self.gradient_on(self.memory[self.memory[:, 0] == task], parameters) for task in tasks]
        along = torch.tensor([dot(row, gradients) for row in rows], dtype=torch.float64)
        if bool((along >= 0).all()):
            return None
        products = torch.tensor([[dot(one, other) for other in rows] for one in rows], dtype=torch.float64)
        v = dual(products, along, self.config.margin).tolist()
        return [
            torch.stack([w * part for w, part in zip(v, parts, strict=True)]).sum(dim=0) for parts in zip(*rows, strict=True)
        ]


def dual(products: Tensor, along: Tensor, margin: float = 0.0) -> Tensor:
    """v >= margin that minimises 1/2 v^T (P + eps I) v + q^T v, for P = G G^T (k, k) and q = G g (k,), fp64.

    Rows of G count by their directions: v is solved for in units of one over their norms, which is the same problem, better conditioned.
    """
    norms = products.diagonal().clamp(min=1e-30).sqrt()
    p = products / norms[:, None] / norms + RIDGE * torch.eye(len(along), dtype=torch.float64)
    q, least = along / norms, margin * norms
    largest = torch.linalg.eigvalsh(p)[-1]
    v, ahead, speed = least.clone(), least.clone(), 1.0
    for _ in range(ROUNDS):
        new = torch.maximum(least, ahead - (p @ ahead + q) / largest)
        if float((new - v) @ (ahead - new)) < 0:
            faster = (1 + (1 + 4 * speed**2) ** 0.5) / 2
            ahead_of = new + (speed - 1) / faster * (new - v)
        else:  # the momentum leads uphill: begin it anew
            faster, ahead_of = 1.0, new
        if float((new - ahead).abs().max()) <= 1e-13 * float(1 + new.abs().max()):
            return new / norms
        v, ahead, speed = new, ahead_of, faster
    return v / norms
