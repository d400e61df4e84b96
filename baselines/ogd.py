"""OGD: steps are orthogonal to the gradients of earlier tasks' examples, so that what was said of these does not change, to first order.

    g <- g - S S^T g,      and the optimizer's step likewise:  d <- d - S S^T d

g and d are over all entries of A and B together, n numbers. S (n, k), orthonormal, spans the gradients of the log-probability of the right
answer of ``directions`` rows of each finished task, one by one. Directions of which less than a ten-thousandth lies outside those before
are left out. With AdamW or momentum a projected gradient makes no projected step, hence the second projection (``project_step``).
S is of the coordinates of one adapter, so this one is carried through the stream, with its optimizer. S is large: directions x tasks x n x
4 bytes, which is refused beyond ``memory_gib`` before anything is learned.

Source: arXiv 1910.07104; TRACE's form BeyonderXX/TRACE (commit 462e39f) model/Regular/OGD.py, whose stored gradients are all the same
tensor and whose projection, slice by slice in bf16, is none: not rebuilt. Published for language models: LoRA of rank 8 on q and v; there
are no settings of the method beyond a declared 150 memories that nothing reads. In the third task of the small stream a step takes 4.8
times as long as LoRA's: gradient and step are both projected, and k grows with every task.
"""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from baselines.gradients import batches_of, gradient, some_rows
from baselines.lora import Lora, LoraConfig
from suite.backbones.learner import Learner
from suite.errors import ConfigError
from suite.lowrank.placement import Placement
from suite.parts import MethodConfig
from suite.randomness import RandomStreams
from trainables.method import Method, MethodFacts, Step, TaskContext, tensor_bytes

RESIDUAL = 1e-4  # share of a gradient that must be new
GIB = 2**30


class OgdConfig(MethodConfig):
    """Hyperparameters.

    Attributes:
        alpha: scale times rank; null means a scale of 1.
        directions: rows of each task whose gradients are kept, one forward and backward pass each.
        project_step: project what the optimizer makes of the gradient too.
        memory_gib: most that S may take at the end of the stream.
    """

    knows_later_tasks = False
    name: Literal["ogd"] = "ogd"
    rank: Annotated[int, Field(ge=1, le=512)] = 4
    alpha: Annotated[float, Field(gt=0)] | None = None
    placement: Placement = Placement(weights=("q", "k", "v", "o", "in", "out"))
    directions: Annotated[int, Field(ge=1)] = 100
    project_step: bool = True
    memory_gib: Annotated[float, Field(gt=0)] = 2.0

    def build(self) -> Ogd:
        return Ogd(self)


class Ogd(Method):
    """A LoRA carrier that is never merged, and S.

    Attributes:
        basis: S, (n, k) fp32 on the learner's device; columns of rows whose gradients added nothing are zero.
    """

    capturable = True

    def __init__(self, config: OgdConfig) -> None:
        super().__init__()
        self.config = config
        self.carrier = Lora(LoraConfig(rank=config.rank, alpha=config.alpha, placement=config.placement, between="carry"))
        self.carry_optimizer = self.carrier.carry_optimizer
        self.basis = torch.empty(0, 0)
        self._before: list[Tensor] = []

    def attach(self, learner: Learner, random: RandomStreams) -> None:
        self.carrier.attach(learner, random)
        self.slots = self.carrier.slots
        numbers = sum(self.config.rank * (slot.in_features + slot.out_features) for slot in self.slots)
        kept = sum(min(self.config.directions, len(task.train)) for task in learner.stream.tasks)
        size = 4 * numbers * kept / GIB
        if size > self.config.memory_gib:
            raise ConfigError(
                f"ogd: {kept} gradients of {numbers:,} numbers each take {size:.3g} GiB, and method.memory_gib allows "
                f"{self.config.memory_gib:g}; set a smaller method.directions, method.rank or method.placement, or allow more."
            )
        self.basis = torch.empty(numbers, 0, device=learner.device)

    def factors(self) -> list[nn.Parameter]:
        """In the order in which S has them."""
        return [p for group in self.parameter_groups() for p in group.parameters]

    def begin_task(self, context: TaskContext) -> None:
        self.carrier.begin_task(context)
        self._before = [torch.empty_like(p) for p in self.factors()]

    @torch.no_grad()
    def before_step(self, index: int, lr: float) -> None:
        for kept, parameter in zip(self._before, self.factors(), strict=True):
            kept.copy_(parameter)

    @torch.no_grad()
    def after_backward(self, step: Step) -> None:
        if self.basis.shape[1]:
            for parameter in self.factors():
                if parameter.grad is None:
                    parameter.grad = torch.zeros_like(parameter)
            self._project([p.grad for p in self.factors() if p.grad is not None])

    @torch.no_grad()
    def after_step(self, step: Step) -> None:
        if self.basis.shape[1] and self.config.project_step:
            moves = [p - kept for p, kept in zip(self.factors(), self._before, strict=True)]
            self._project(moves)
            for parameter, kept, move in zip(self.factors(), self._before, moves, strict=True):
                parameter.copy_(kept + move)

    def _project(self, parts: list[Tensor]) -> None:
        """Take out of the vector that ``parts`` make up what S spans, in place."""
        vector = torch.cat([part.flatten() for part in parts])
        vector -= self.basis @ (self.basis.T @ vector)
        for part, found in zip(parts, vector.split([part.numel() for part in parts]), strict=True):
            part.copy_(found.view_as(part))

    def end_task(self, context: TaskContext) -> None:
        self.carrier.end_task(context)
        rows = some_rows(context, self.config.directions, context.random["memory"])[:, 1]
        factors = self.factors()
        found = [
            torch.cat([part.flatten() for part in gradient(context.learner, one, factors)])
            for batch in batches_of(context, rows)
            for one in batch.one_by_one()
        ]
        self.basis = extended(self.basis, torch.stack(found, dim=1))

    def state(self) -> dict[str, Tensor]:
        return {"basis": self.basis}

    def load_state(self, state: dict[str, Tensor]) -> None:
        self.basis = state["basis"].to(self.basis.device)

    def facts(self) -> MethodFacts:
        inner = self.carrier.facts()
        carried = inner.carried_bytes + tensor_bytes([self.basis])
        notes = (f"ogd: steps keep clear of {int(self.basis.any(dim=0).sum())} directions",)
        return MethodFacts(inner.trainable_parameters, inner.effective_rank, carried_bytes=carried, notes=notes)


@torch.no_grad()
def extended(basis: Tensor, vectors: Tensor) -> Tensor:
    """Orthonormal columns (n, k) and a column for what each of ``vectors`` (n, m) has beside them; zeros where that is nothing.

    By Gram-Schmidt, twice for each vector, in fp64.
    """
    known, new = basis.double(), vectors.double()
    lengths = new.norm(dim=0)
    for _ in range(2):
        new = new - known @ (known.T @ new)
    columns = torch.zeros_like(new)
    for place in range(new.shape[1]):
        column, own = new[:, place], columns[:, :place]
        for _ in range(2):
            column = column - own @ (own.T @ column)
        length = column.norm()
        columns[:, place] = column / length.clamp(min=1e-30) * (length > RESIDUAL * lengths[place])
    return torch.cat([basis, columns.float()], dim=1)
