"""LoDA: a general branch on directions that old and new tasks share, a specific one on those that the new task alone uses.

    y = W x + b + g B_S A_S x + s B_P A_P x,      A (r, in) frozen but for A_S in the first task, B (out, r) from 0

C (in, in) is the second moment of what enters the map on the task's rows, P the sum of those of earlier tasks. A_S holds the top r
eigenvectors of C + P, A_P (from the second task on) an orthonormal basis of the top r solutions of C u = lambda P u, both over sqrt 3.
After the task C is collected again, the specific branch is merged whole and part i of the general one times

    1 - p_i / (p_i + gamma c_i),    p_i = a_i P a_i^T,  c_i = a_i C a_i^T       (the whole of it after the first task);   P <- P + C

Gradient-aligned optimisation: the batch's classes fall into two halves at random; the gradient of each half is taken where a move of
-rho u g / ||g|| has led, g being that of the other half, tensor by tensor, u uniform in 0 to 1 and new in every pass.

Source: arXiv 2603.00191; HHHLF/LoDA_ICML2026 (commit 92f8ba8) models/decomposed_lora.py, methods/dlora.py, exps/dlora/. Published: q, k and v
of the vision tower (``vision:qkv``), rank 64 (ImageNet-R) or 32 (DomainNet), gamma 3, rho 0.7 or 0.3, g 0.25 and s 0.5 (0.5 and 1, halved),
SGD (``training.optimizer=sgd``) at 0.02 or 0.01, 20 epochs, batch 48. Otherwise than there: both halves' gradients are one optimizer step,
weighted by their rows, where the release takes a step for each; the loss is the run's, not a cosine margin; q, k and v have an A_S each,
which differ in the first task alone; one pass over the data serves both uses of C after a task; P takes C up once, where the release adds
it twice; texts have no classes, their rows are halved (reconstruction).

A step takes about 3.3 times as long as LoRA's on the small stream: two passes per half, each through two branches.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from baselines.inflora import frozen_a, inputs_of
from suite.backbones.learner import Batch, Learner
from suite.lowrank.layer import Factors, Slot, merged_form, require_ranks
from suite.lowrank.placement import Placement
from suite.lowrank.subspace import contrasting, leading
from suite.parts import MethodConfig
from suite.randomness import RandomStreams
from trainables.method import Method, MethodFacts, RunPass, TaskContext, count_parameters, tensor_bytes

GENERAL = "general"
SPECIFIC = "specific"


class LodaConfig(MethodConfig):
    """Hyperparameters; rank and rho are those published for DomainNet.

    Attributes:
        rank: of either branch.
        general_weight, specific_weight: scales g and s.
        gamma: how much the new task counts when the general branch is merged; 0 drops that branch from the second task on.
        aligned: gradient-aligned optimisation; two more passes over the rows of every step.
        rho: the longest move to where a half's gradient is taken; it is a length per tensor, so narrow networks need less.
    """

    knows_later_tasks = False
    name: Literal["loda"] = "loda"
    rank: Annotated[int, Field(ge=1, le=512)] = 32
    placement: Placement = Placement(weights=("q", "k", "v"))
    general_weight: Annotated[float, Field(gt=0)] = 0.25
    specific_weight: Annotated[float, Field(gt=0)] = 0.5
    gamma: Annotated[float, Field(ge=0)] = 3.0
    aligned: bool = True
    rho: Annotated[float, Field(ge=0)] = 0.3

    def build(self) -> Loda:
        return Loda(self)


class Loda(Method):
    """Carries one moment per distinct input, under the name of the first of the slots that share it."""

    jumps = "the general branch is merged in part"

    def __init__(self, config: LodaConfig) -> None:
        super().__init__()
        self.config = config
        self.past: dict[str, Tensor] = {}
        self._draws = torch.Generator()
        self._facts = MethodFacts(trainable_parameters=0)

    def attach(self, learner: Learner, random: RandomStreams) -> None:
        self.slots = learner.place(self.config.placement)
        require_ranks(self.config.rank, self.slots)

    def begin_task(self, context: TaskContext) -> None:
        config = self.config
        self._draws = context.random["halves"]
        for slots, moment in inputs_of(context, self.slots):
            past = self.past.get(slots[0].name)
            general = leading(moment if past is None else moment.double() + past.double(), config.rank)[1]
            specific = None if past is None else contrasting(moment, past, config.rank)
            for slot in slots:
                slot.parts[GENERAL] = frozen_a(slot, general.T / math.sqrt(3), scale=config.general_weight)
                if specific is None:
                    slot.branch(GENERAL).a.requires_grad_(True)
                else:
                    slot.parts[SPECIFIC] = frozen_a(slot, specific.T / math.sqrt(3), scale=config.specific_weight)

    def backward(self, batches: list[Batch], run: RunPass) -> Tensor:
        """One number is drawn per pass whatever its rows are, so that workers stay in step; each moves by the gradient of its own.

        The loss for the log is that of the weights as they are, not where they are moved to.
        """
        if not self.config.aligned:
            return run(batches)
        draws = torch.Generator().manual_seed(int(torch.randint(2**62, (), generator=self._draws)))
        batch = batches[0]
        reach = self.config.rho * float(torch.rand((), generator=draws))
        first, second = halves(batch, draws)
        if not len(second):
            return run(batches)
        parameters = [parameter for group in self.parameter_groups() for parameter in group.parameters]
        before = [parameter.grad for parameter in parameters]
        found: list[list[Tensor]] = []
        losses = []
        for ahead, own in ((first, second), (second, first)):
            share = len(own) / len(batch)
            loss, guide = gradients(parameters, run, batch.part(ahead))
            with moved(parameters, [-reach * g / (g.norm() + 1e-12) for g in guide]):
                _, gradient = gradients(parameters, run, batch.part(own))
            losses.append((1 - share) * loss)
            found.append([share * g for g in gradient])
        for parameter, old, one, other in zip(parameters, before, *found, strict=True):
            parameter.grad = one + other if old is None else old + one + other
        return losses[0] + losses[1]

    def end_task(self, context: TaskContext) -> None:
        trainable = count_parameters(self.parameter_groups())
        ranks = {slot.name: self.config.rank * len(slot.parts) for slot in self.slots}
        kept = []
        for slots, moment in inputs_of(context, self.slots):
            past = self.past.get(slots[0].name)
            for slot in slots:
                kept.append(self._merge_general(slot, moment, past))
                if SPECIFIC in slot.parts:
                    self.merge(slot, SPECIFIC)
            self.past[slots[0].name] = (moment if past is None else moment + past).float()
        notes = (f"loda: {sum(kept) / len(kept):.2f} of the general branch was merged",) if context.index else ()
        self._facts = MethodFacts(trainable, ranks, carried_bytes=tensor_bytes(self.past.values()), notes=notes)

    def _merge_general(self, slot: Slot, moment: Tensor, past: Tensor | None) -> float:
        """Returns the mean share of its parts that went into the weight."""
        a, b = merged_form(slot, GENERAL)
        shares = torch.ones(len(a), device=a.device) if past is None else general_shares(a, moment, past, self.config.gamma)
        self.add(slot, Factors(a, b * shares))
        del slot.parts[GENERAL]
        return float(shares.mean())

    def state(self) -> dict[str, Tensor]:
        return {f"past/{name}": moment for name, moment in self.past.items()}

    def load_state(self, state: dict[str, Tensor]) -> None:
        devices = {slot.name: slot.weight.device for slot in self.slots}
        names = [key.removeprefix("past/") for key in state]
        self.past = {name: state[f"past/{name}"].to(devices[name]) for name in names}

    def facts(self) -> MethodFacts:
        return self._facts


def general_shares(a: Tensor, moment: Tensor, past: Tensor, gamma: float) -> Tensor:
    """(r,) gamma c_i / (p_i + gamma c_i) of the rows of ``a`` (r, in): how much of each part is merged."""
    rows = a.double()
    c, p = (((rows @ m.double()) * rows).sum(dim=1).clamp(min=0) for m in (moment, past))
    return (gamma * c / (p + gamma * c + 1e-12)).to(a.dtype)


def halves(batch: Batch, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Rows of one half of the batch's classes and of the other, which is empty where there is one class; texts: of the rows."""
    labels = batch.inputs.get("labels")
    kinds = torch.arange(len(batch)) if labels is None else labels.cpu()
    distinct = kinds.unique()
    order = distinct[torch.randperm(len(distinct), generator=generator)]
    first = torch.isin(kinds, order[: max(1, len(order) // 2)])
    return first.nonzero()[:, 0], (~first).nonzero()[:, 0]


def gradients(parameters: list[nn.Parameter], run: RunPass, batch: Batch) -> tuple[Tensor, list[Tensor]]:
    """Task loss of ``batch`` and its gradients; the parameters' own ``grad`` is lost."""
    for parameter in parameters:
        parameter.grad = None
    loss = run([batch])
    return loss, [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]


@contextmanager
def moved(parameters: list[nn.Parameter], moves: list[Tensor]) -> Iterator[None]:
    """The parameters elsewhere for a while; afterwards they are, bit for bit, what they were."""
    before = [parameter.detach().clone() for parameter in parameters]
    with torch.no_grad():
        for parameter, move in zip(parameters, moves, strict=True):
            parameter.add_(move)
    try:
        yield
    finally:
        with torch.no_grad():
            for parameter, value in zip(parameters, before, strict=True):
                parameter.copy_(value)
