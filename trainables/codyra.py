"""CoDyRA: LoRA whose rank-1 parts carry importance weights (gates); a soft threshold prunes them while the task is learned.

    y = W x + b + B (w * (A x));   after each optimizer step of the second phase   w <- S_kappa(w)

Source: arXiv 2412.01004; Artificer-AI-Lab/CoDyRA (commit c1691e4) models/codyra.py, loralib/codyra.py, runner_codyra.sh.
Where paper and released code differ, a field names the choice and the default follows the paper's operator and the release's
optimizer.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from suite.backbones.learner import Learner
from suite.counting import counted
from suite.errors import ConfigError
from suite.lowrank.layer import fresh_branch
from suite.lowrank.placement import Placement
from suite.lowrank.rank import GateInit, ThresholdOperator, no_signal_rank
from suite.parts import MethodConfig
from suite.randomness import RandomStreams
from trainables.method import Method, MethodFacts, ParameterGroup, Step, TaskContext, count_parameters

BRANCH = "task"
RELEASED_LEVELS = 50


class CodyraConfig(MethodConfig):
    """Hyperparameters; defaults are those of the released runner but for ``threshold_op``: there the paper's operator, which with
    the runner's schedule leaves 8.27 of 16 parts without any signal where the release's leaves 8.22.

    Attributes:
        kappa_max: largest threshold; 0 never prunes.
        kappa_levels: equal steps from 0 to ``kappa_max``; null = the release's 50, or as many as a task's steps leave room for.
        dense_fraction: share of the steps before the first threshold.
        threshold_op: ``soft`` zeroes |w| <= kappa (paper), ``codyra_release`` zeroes |w| < 2 kappa (released code).
        gate_init: standard normal (release) or all ones.
        gate_update: gates step with AdamW like A and B (release) or by plain gradient descent (paper's page).
        gate_lr_multiplier: learning rate of the gates as a multiple of the others'.
        kappa_times_lr: multiply the threshold by the step's learning rate, as a proximal step of an L1 penalty would.
    """

    knows_later_tasks = False
    name: Literal["codyra"] = "codyra"
    rank: Annotated[int, Field(ge=1, le=512)] = 16
    placement: Placement = Placement(weights=("q", "k", "v", "o", "in", "out"))
    kappa_max: Annotated[float, Field(ge=0)] = 5e-3
    kappa_levels: Annotated[int, Field(ge=2)] | None = None
    dense_fraction: Annotated[float, Field(ge=0, lt=1)] = 0.5
    threshold_op: ThresholdOperator = "soft"
    gate_init: GateInit = "normal"
    gate_update: Literal["adamw", "prox_sgd"] = "adamw"
    gate_lr_multiplier: Annotated[float, Field(ge=0)] = 1.0
    kappa_times_lr: bool = False

    def degenerate_settings(self) -> Sequence[tuple[MethodConfig, Mapping[str, Any]]]:
        """Gates of one that never move are no gates."""
        ungated = self.model_copy(
            update={"kappa_max": 0.0, "gate_init": "ones", "gate_update": "adamw", "gate_lr_multiplier": 0.0}
        )
        return [(ungated, {"name": "lora", "rank": self.rank, "placement": self.placement})]

    def build(self) -> Codyra:
        return Codyra(self)


class Codyra(Method):
    """Fresh gated branch per task; pruned and merged in fp32 after every task, the last one included.

    All gates are rows of one tensor, so that the threshold is a handful of operations whatever the number of slots.
    """

    capturable = True

    def __init__(self, config: CodyraConfig) -> None:
        super().__init__()
        self.config = config
        self.thresholds: list[float | None] = []
        self.applied: list[float] = []
        self._gates = torch.empty(0)
        self._kappa = self._gate_rate = torch.empty(())
        self._facts = MethodFacts(trainable_parameters=0)

    def attach(self, learner: Learner, random: RandomStreams) -> None:
        self.slots = learner.place(self.config.placement)

    def check_budget(self, tasks: Sequence[str], steps: Sequence[int]) -> None:
        """The task with the fewest steps decides: what fits it fits the others."""
        fewest, task = min(zip(steps, tasks, strict=True))
        self._schedule(fewest, task)

    def _schedule(self, steps: int, task: str) -> list[float | None]:
        config = self.config
        levels = config.kappa_levels
        if levels is None:
            levels = levels_that_fit(steps, config.dense_fraction)
            if levels is None:
                return [None] * steps
        return threshold_schedule(steps, config.dense_fraction, levels, config.kappa_max, where=task)

    def begin_task(self, context: TaskContext) -> None:
        config = self.config
        self.thresholds = self._schedule(context.steps, context.task.name)
        self.applied = []
        shape, device = (len(self.slots), config.rank), context.learner.device
        gates = torch.ones(shape)
        if config.gate_init == "normal":
            gates = torch.stack([torch.randn(config.rank, generator=context.random["gate"]) for _ in self.slots])
        self._gates = gates.to(device)
        self._kappa, self._gate_rate = torch.zeros((), device=device), torch.zeros((), device=device)
        for slot, gate in zip(self.slots, self._gates, strict=True):
            slot.parts[BRANCH] = fresh_branch(slot, config.rank, context.random["init"], gate=gate)

    def gates(self) -> list[nn.Parameter]:
        """The importance weights of all slots, (rank,) each."""
        return [gate for slot in self.slots if (gate := slot.branch(BRANCH).gate) is not None]

    def parameter_groups(self) -> list[ParameterGroup]:
        """Gates that step by their plain gradient are there too, at rate 0: counted, clipped and summed over workers like the rest."""
        branches = [slot.branch(BRANCH) for slot in self.slots]
        factors = [p for branch in branches for p in (branch.a, branch.b)]
        multiplier = self.config.gate_lr_multiplier if self.config.gate_update == "adamw" else 0.0
        return [ParameterGroup(factors), ParameterGroup(self.gates(), multiplier)]

    def before_step(self, index: int, lr: float) -> None:
        kappa = self.thresholds[index]
        if kappa is not None:
            kappa = kappa * lr if self.config.kappa_times_lr else kappa
            self.applied.append(kappa)
        self._kappa.fill_(kappa or 0.0)
        self._gate_rate.fill_(lr * self.config.gate_lr_multiplier)

    @torch.no_grad()
    def after_step(self, step: Step) -> None:
        """In the dense phase the threshold is 0, which leaves every gate as it is."""
        if self.config.gate_update == "prox_sgd":
            for gate in self.gates():
                if gate.grad is not None:
                    gate.sub_(self._gate_rate * gate.grad)
        threshold_(self._gates, self._kappa, self.config.threshold_op)

    def end_task(self, context: TaskContext) -> None:
        config = self.config
        groups = self.parameter_groups()
        ranks = {slot.name: slot.branch(BRANCH).effective_rank() for slot in self.slots}
        no_signal = no_signal_rank(config.rank, self.applied, config.threshold_op, config.gate_init)
        chosen, notes = self._levels_in_words(context.steps)
        self._facts = MethodFacts(count_parameters(groups), ranks, no_signal, chosen=chosen, notes=notes)
        for slot in self.slots:
            self.merge(slot, BRANCH)

    def facts(self) -> MethodFacts:
        return self._facts

    def _levels_in_words(self, steps: int) -> tuple[dict[str, int], tuple[str, ...]]:
        """What a config without ``kappa_levels`` came to under ``steps``: the number for the record, a note if it is not the release's."""
        if self.config.kappa_levels is not None:
            return {}, ()
        levels = levels_that_fit(steps, self.config.dense_fraction)
        if levels is None:
            return {"kappa_levels": 0}, (
                f"codyra: {counted(steps, 'step', 'leaves', 'leave')} no room for a threshold, so no rank is pruned",
            )
        note = f"codyra: {counted(steps, 'step', 'leaves', 'leave')} room for {counted(levels, 'threshold level')} instead of {RELEASED_LEVELS}"
        return {"kappa_levels": levels}, (note,) if levels < RELEASED_LEVELS else ()


def levels_that_fit(steps: int, dense_fraction: float) -> int | None:
    """The release's number of threshold levels, or as many as the steps after the dense phase; None when fewer than two fit."""
    fit = min(RELEASED_LEVELS, math.floor(steps - dense_fraction * steps))
    return fit if fit >= 2 else None


def threshold_schedule(steps: int, dense_fraction: float, levels: int, kappa_max: float, *, where: str) -> list[float | None]:
    """Threshold applied after each of the task's steps; None in the dense phase.

    Level k is ``k kappa_max / (levels - 1)``; the level counter starts at s >= dense, the operator at s > dense, one step later
    (release). With 500 steps, half of them dense, 50 levels and kappa_max 0.005: 249 applications that sum to 0.6499.

    Raises:
        ConfigError: when the steps leave no room for the levels: the release then silently prunes nothing.
    """
    dense = dense_fraction * steps
    width = math.floor((steps - dense) / levels)
    if width == 0:
        least, most = math.ceil(levels / (1 - dense_fraction)), math.floor(steps - dense)
        fewer = f"set method.kappa_levels={most} or training.steps={least}" if most > 1 else f"set training.steps={least}"
        raise ConfigError(
            f"codyra: {counted(steps, 'step')} for task '{where}' {'leaves' if steps == 1 else 'leave'} no room for {counted(levels, 'threshold level')} after dense_fraction "
            f"{dense_fraction}; {fewer}, or use a smaller method.dense_fraction."
        )
    schedule: list[float | None] = []
    level = 0
    for step in range(steps):
        if step >= dense and step % width == 0:
            level = min(level + 1, levels - 1)
        schedule.append(level * kappa_max / (levels - 1) if step > dense else None)
    return schedule


@torch.no_grad()
def threshold_(gates: Tensor, kappa: Tensor, operator: ThresholdOperator) -> None:
    """Shrink every gate towards zero by ``kappa`` (a scalar tensor), in place.

    soft:            w <- sign(w) max(|w| - kappa, 0)
    codyra_release:  the same, then 0 where the shrunk |w| is below kappa, i.e. where |w| was below 2 kappa, except |w| = kappa
                     exactly, which stays (three sequential operations of loralib/codyra.py)
    """
    magnitude = gates.abs()
    shrunk = magnitude - kappa
    if operator == "soft":
        shrunk.clamp_min_(0.0)
    else:
        kept = torch.where(magnitude > kappa, shrunk, magnitude)
        shrunk = torch.where(kept < kappa, torch.zeros_like(kept), kept)
    gates.copy_(shrunk.mul_(gates.sign()))
