"""The control of CoDyRA's pruning: the same gated LoRA, but which parts survive is drawn before the task begins.

    y = W x + b + B (w * (A x)),      w_i = 0 from some step on for every part i that was not drawn

Of the ``rank`` parts of a slot ``merged_rank`` are drawn. ``pruned=start`` leaves the others out from the first step to the last;
``pruned=ramp`` lets all of them learn as CoDyRA does and then, after ``dense_fraction`` of the steps, has the gates of the others shrink in
equal steps to exactly 0 at the last one. Where CoDyRA does no better than this at its own merged rank, its gates have chosen nothing.
With gates of one that never move (``gate_init=ones``, ``gate_lr_multiplier=0``) and ``pruned=start`` it is plain LoRA of that rank, slot by
slot where ``merged_rank`` names a run.

Source: none; a control of this suite. Layer and optimizer are CoDyRA's (``trainables/codyra.py``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import torch
from pydantic import Field
from torch import Tensor

from baselines.merged_rank import MergedRankConfig, Ranks
from suite.backbones.learner import Learner
from suite.lowrank.layer import fresh_branch
from suite.lowrank.rank import GateInit
from suite.parts import MethodConfig
from suite.randomness import RandomStreams
from trainables.method import Method, MethodFacts, ParameterGroup, Step, TaskContext, count_parameters

BRANCH = "task"


class RandomPartsConfig(MergedRankConfig):
    """Hyperparameters; gates as in CoDyRA.

    Attributes:
        rank: parts that there are.
        merged_rank: parts per slot that are merged: their mean, or a finished run (its folder or ``record.json``) whose ranks are taken over.
        pruned: when the parts that were not drawn are left out.
        dense_fraction: share of the steps before their gates begin to shrink (``pruned=ramp``).
        gate_lr_multiplier: learning rate of the gates as a multiple of the others'.
    """

    name: Literal["random-parts"] = "random-parts"
    pruned: Literal["start", "ramp"] = "start"
    dense_fraction: Annotated[float, Field(ge=0, lt=1)] = 0.5
    gate_init: GateInit = "normal"
    gate_lr_multiplier: Annotated[float, Field(ge=0)] = 1.0

    def degenerate_settings(self) -> Sequence[tuple[MethodConfig, Mapping[str, Any]]]:
        """With every part drawn it is CoDyRA that never prunes, and so LoRA where no gate learns."""
        whole = self.model_copy(update={"merged_rank": float(self.rank)})
        gated = {"gate_init": self.gate_init, "gate_lr_multiplier": self.gate_lr_multiplier}
        return [(whole, {"name": "codyra", "rank": self.rank, "placement": self.placement, **gated, "kappa_max": 0.0})]

    def build(self) -> RandomParts:
        return RandomParts(self)


class RandomParts(Method):
    """Fresh gated branch per task, merged without the parts that were not drawn. All gates are rows of one tensor."""

    capturable = True

    def __init__(self, config: RandomPartsConfig) -> None:
        super().__init__()
        self.config = config
        self.targets: list[Ranks] = []
        self.drawn = torch.empty(0)  # (slots, rank), 1 where a part was drawn
        self._gates = self._factor = torch.empty(0)
        self._steps = 0
        self._facts = MethodFacts(trainable_parameters=0)

    def attach(self, learner: Learner, random: RandomStreams) -> None:
        self.slots = learner.place(self.config.placement)
        self.targets = self.config.merged_ranks(self.slots, learner.stream.task_names)

    def check_budget(self, tasks: Sequence[str], steps: Sequence[int]) -> None:
        """Where ``merged_rank`` names a run there has to be a finished one."""
        self.config.named_ranks(tasks)

    def begin_task(self, context: TaskContext) -> None:
        config, target, device = self.config, self.targets[context.index], context.learner.device
        self._steps = context.steps
        self.drawn = torch.stack([drawn(config.rank, target[slot.name], context.random["parts"]) for slot in self.slots])
        gates = torch.ones(len(self.slots), config.rank)
        if config.gate_init == "normal":
            gates = torch.stack([torch.randn(config.rank, generator=context.random["gate"]) for _ in self.slots])
        self._gates = (gates * self.drawn if config.pruned == "start" else gates).to(device)
        self._factor = torch.ones_like(self._gates)
        for slot, gate in zip(self.slots, self._gates, strict=True):
            slot.parts[BRANCH] = fresh_branch(slot, config.rank, context.random["init"], gate=gate)

    def parameter_groups(self) -> list[ParameterGroup]:
        branches = [slot.branch(BRANCH) for slot in self.slots]
        factors = [p for branch in branches for p in (branch.a, branch.b)]
        gates = [branch.gate for branch in branches if branch.gate is not None]
        return [ParameterGroup(factors), ParameterGroup(gates, self.config.gate_lr_multiplier)]

    def before_step(self, index: int, lr: float) -> None:
        """A gate that is multiplied by (n - 1) / n, n steps before the end, falls in equal steps to 0."""
        others = 0.0
        if self.config.pruned == "ramp":
            left = self._steps - index
            others = (left - 1) / left if index >= self.config.dense_fraction * self._steps or left == 1 else 1.0
        self._factor.copy_(self.drawn + (1 - self.drawn) * others)

    @torch.no_grad()
    def after_step(self, step: Step) -> None:
        self._gates.mul_(self._factor)

    def end_task(self, context: TaskContext) -> None:
        trainable = count_parameters(self.parameter_groups())
        ranks = {slot.name: slot.branch(BRANCH).effective_rank() for slot in self.slots}
        self._facts = MethodFacts(trainable, ranks)
        for slot in self.slots:
            self.merge(slot, BRANCH)

    def facts(self) -> MethodFacts:
        return self._facts


def drawn(rank: int, count: int, generator: torch.Generator) -> Tensor:
    """(rank,) of 0 and 1, with ``count`` ones in random places."""
    chosen = torch.zeros(rank)
    chosen[torch.randperm(rank, generator=generator)[:count]] = 1.0
    return chosen
