"""Fixed-rank LoRA on a stream: one branch per slot and a policy between tasks.

    y = W x + b + (alpha / r) B A x

``merge`` adds the update to W after each task (the baseline of the CoDyRA page), ``carry`` goes on with the same branch and the
same Adam state (SeqLoRA of TRACE), ``stack`` freezes it beside a fresh one (IncLoRA).
Source: arXiv 2106.09685; policies as in BeyonderXX/TRACE model/lora.py and cmnfriend/O-LoRA logs.
"""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import Field

from suite.backbones.learner import Learner
from suite.lowrank.layer import Branch, Slot, fresh_branch, merged_form
from suite.lowrank.placement import Placement
from suite.parts import MethodConfig
from suite.randomness import RandomStreams
from trainables.method import Method, MethodFacts, TaskContext, count_parameters, tensor_bytes

BRANCH = "task"
PAST = "past"


class LoraConfig(MethodConfig):
    """Hyperparameters of fixed-rank LoRA; ``alpha`` null means a scale of 1, otherwise the scale is alpha / rank."""

    knows_later_tasks = False
    name: Literal["lora"] = "lora"
    rank: Annotated[int, Field(ge=1, le=512)] = 16
    alpha: Annotated[float, Field(gt=0)] | None = None
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    placement: Placement = Placement(weights=("q", "k", "v", "o", "in", "out"))
    between: Literal["merge", "carry", "stack"] = "merge"

    @property
    def scale(self) -> float:
        return 1.0 if self.alpha is None else self.alpha / self.rank

    def build(self) -> Lora:
        return Lora(self)


class Lora(Method):
    """The carrier of most baselines; others own one and add to it."""

    capturable = True

    def __init__(self, config: LoraConfig) -> None:
        super().__init__()
        self.config = config
        self.carry_optimizer = config.between == "carry"
        self._facts = MethodFacts(trainable_parameters=0)

    def attach(self, learner: Learner, random: RandomStreams) -> None:
        self.slots = learner.place(self.config.placement)

    def begin_task(self, context: TaskContext) -> None:
        if self.config.dropout:  # masks come from torch's own generators, on whichever device the branch is
            torch.manual_seed(int(torch.randint(2**62, (), generator=context.random["dropout"])))
        for slot in self.slots:
            if BRANCH not in slot.parts:
                branch = fresh_branch(slot, self.config.rank, context.random["init"], scale=self.config.scale)
                branch.dropout = self.config.dropout
                slot.parts[BRANCH] = branch

    def end_task(self, context: TaskContext) -> None:
        trainable = count_parameters(self.parameter_groups())
        for slot in self.slots:
            if self.config.between == "merge":
                self.merge(slot, BRANCH)
            elif self.config.between == "stack":
                stack(slot)
        carried = tensor_bytes(p for slot in self.slots for p in slot.parts.parameters())
        ranks = {slot.name: self.config.rank for slot in self.slots}
        self._facts = MethodFacts(trainable, ranks, carried_bytes=carried)

    def facts(self) -> MethodFacts:
        return self._facts


@torch.no_grad()
def stack(slot: Slot) -> None:
    """Freeze the task's branch and join it to ``past``: A rows below, B columns beside; the same function as merging."""
    new = merged_form(slot, BRANCH)
    a, b = new
    if PAST in slot.parts:
        past = slot.branch(PAST)
        a, b = torch.cat([past.a, a]), torch.cat([past.b, b], dim=1)
    frozen = Branch(a, b).to(slot.weight.device)
    frozen.requires_grad_(False)
    del slot.parts[BRANCH]
    slot.parts[PAST] = frozen
