"""InfLoRA: the input side of a task's update is frozen, outside what earlier tasks' inputs span and inside what its own inputs use.

    y = W x + b + B A x,    A = (top r left singular vectors of (I - M M^T) C)^T / sqrt 3  frozen,    B trained from 0

C (in, in) is the second moment of what enters the map on the new task's rows, M (in, m) the orthonormal basis of earlier tasks' inputs,
A (r, in), B (out, r). After task t (from 0) of T the update is merged, C is collected again and M grows by leading directions of
(I - M M^T) C until it holds the share e_t = e0 + (e1 - e0) t / T of the energy; its complement is kept instead where that is smaller.

Source: arXiv 2404.00228; liangyanshuo/InfLoRA (commit e08b00e) methods/inflora.py, models/vit_inflora.py, configs/*_inflora.json, where
A and B have each other's names. Published: k and v of the vision tower (``vision:kv``; the default here takes every tower, so that
language models have it too), rank 10, e0 0.95 (CIFAR-100) or 0.98 (ImageNet-R), e1 1, Adam at 5e-4 without weight decay, batch 128.
Otherwise than there: moments are of images that are not augmented, a basis holds at least e_t after the first task too (the release stops
one direction earlier), A has fewer rows where the r-th singular value is noise, and padding of texts does not count.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from suite.backbones.learner import Learner
from suite.errors import SuiteError
from suite.lowrank.layer import Branch, Slot, require_ranks
from suite.lowrank.placement import Placement
from suite.lowrank.subspace import Subspace, leading
from suite.parts import MethodConfig
from suite.randomness import RandomStreams
from trainables.method import Method, MethodFacts, TaskContext, count_parameters, tensor_bytes

BRANCH = "task"
NOISE = 1e-6  # singular values below this share of the moment's largest are rounding


class InfLoraConfig(MethodConfig):
    """Hyperparameters.

    Attributes:
        energy_start, energy_end: e0 and e1.
        energy: ``eig2`` = shares of the sum of squared eigenvalues of C (release: fourth powers of activations), ``eig1`` = of the sum.
    """

    name: Literal["inflora"] = "inflora"
    rank: Annotated[int, Field(ge=1, le=512)] = 10
    placement: Placement = Placement(weights=("k", "v"))
    energy_start: Annotated[float, Field(ge=0, le=1)] = 0.95
    energy_end: Annotated[float, Field(ge=0, le=1)] = 1.0
    energy: Literal["eig2", "eig1"] = "eig2"

    def build(self) -> InfLora:
        return InfLora(self)


class InfLora(Method):
    """Carries one basis per distinct input: q, k and v of an attention share theirs, under the name of the first of them."""

    capturable = True

    def __init__(self, config: InfLoraConfig) -> None:
        super().__init__()
        self.config = config
        self.used: dict[str, Subspace] = {}
        self._facts = MethodFacts(trainable_parameters=0)

    def attach(self, learner: Learner, random: RandomStreams) -> None:
        self.slots = learner.place(self.config.placement)
        require_ranks(self.config.rank, self.slots)

    def begin_task(self, context: TaskContext) -> None:
        for slots, moment in inputs_of(context, self.slots):
            a = self._directions(slots[0], moment)
            for slot in slots:
                if len(a):
                    slot.parts[BRANCH] = frozen_a(slot, a)
        if not any(BRANCH in slot.parts for slot in self.slots):
            raise SuiteError(
                f"inflora: no direction is left to task '{context.task.name}' in any layer; use a smaller method.energy_start or "
                "method.energy_end."
            )

    def _directions(self, slot: Slot, moment: Tensor) -> Tensor:
        """(r, in) rows of A; fewer where nothing but rounding is left."""
        square = moment.double() @ moment.double()
        values, vectors = leading(self._used(slot).outside(square), self.config.rank)
        largest = leading(square, 1)[0]
        return vectors[:, values > NOISE**2 * largest].T / math.sqrt(3)

    def _used(self, slot: Slot) -> Subspace:
        return self.used.get(slot.name, Subspace.empty(slot.in_features, slot.weight.device))

    def end_task(self, context: TaskContext) -> None:
        trainable = count_parameters(self.parameter_groups())
        ranks = {slot.name: slot.branch(BRANCH).rank if BRANCH in slot.parts else 0 for slot in self.slots}
        for slot in self.slots:
            if BRANCH in slot.parts:
                self.merge(slot, BRANCH)
        share = self.share(context)
        for slots, moment in inputs_of(context, self.slots):
            energy = moment.double() @ moment.double() if self.config.energy == "eig2" else moment
            self.used[slots[0].name] = self._used(slots[0]).grown(energy, share)
        notes = fullest_layer("inflora", ranks, self.config.rank)
        self._facts = MethodFacts(trainable, ranks, carried_bytes=tensor_bytes(self.state().values()), notes=notes)

    def share(self, context: TaskContext) -> float:
        """Energy e_t that the basis has to hold after the task."""
        done = context.index / len(context.learner.stream)
        return self.config.energy_start + (self.config.energy_end - self.config.energy_start) * done

    def state(self) -> dict[str, Tensor]:
        return {f"{'complement' if used.complement else 'used'}/{name}": used.columns for name, used in self.used.items()}

    def load_state(self, state: dict[str, Tensor]) -> None:
        devices = {slot.name: slot.weight.device for slot in self.slots}
        self.used = {}
        for key, columns in state.items():
            kind, _, name = key.partition("/")
            self.used[name] = Subspace(columns.to(devices[name]), complement=kind == "complement")

    def facts(self) -> MethodFacts:
        return self._facts


def inputs_of(context: TaskContext, slots: list[Slot]) -> list[tuple[list[Slot], Tensor]]:
    """Slots on one input and its second moment (in, in) over the task's training rows, input by input."""
    moments = context.learner.moments(context.batches(), slots)
    together: dict[int, list[Slot]] = {}
    for slot in slots:
        together.setdefault(id(moments[slot.name]), []).append(slot)
    return [(found, moments[found[0].name]) for found in together.values()]


@torch.no_grad()
def frozen_a(slot: Slot, a: Tensor, *, scale: float = 1.0) -> Branch:
    """A branch that learns B alone, from zero; ``a`` (r, in)."""
    device = slot.weight.device
    branch = Branch(a.to(device), torch.zeros(slot.out_features, len(a), device=device), scale=scale)
    branch.a.requires_grad_(False)
    return branch


def fullest_layer(method: str, ranks: Mapping[str, int], offered: int) -> tuple[str, ...]:
    """A note for the record where fewer directions than ``offered`` were left to a slot."""
    least = min(ranks.values())
    return (f"{method}: {least} of {offered} directions were left in the fullest layer",) if least < offered else ()
