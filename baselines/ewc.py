"""EWC on the factors of one adapter that goes through the whole stream.

    L = CE + lambda / 2 sum_p F_p (p - p*)^2,      F <- gamma F + F_t and p* <- p after each task

The sum is over all entries p of A and B; F is the diagonal of their empirical Fisher matrix, the mean squared gradient of single rows after
the task (online form: one F and one anchor). The adapter and its optimizer are carried on: with a fresh one the anchor would be of other
coordinates. The penalty knows A and B, not their product; ``ewclora`` holds the product back.

Source: arXiv 1612.00796; aimagelab/mammoth (commit e75a491) models/ewc_on.py; TRACE's form BeyonderXX/TRACE (commit 462e39f)
model/Regular/EWC.py. Published: lambda 10 (mammoth, a whole ResNet) and 400 (TRACE, all weights, gradients of batches during the training
and the loss divided by the accumulation steps); nothing for LoRA. F here is of the finished task, per example, of ``fisher_examples`` rows
that are not augmented; texts count by the mean over their answer tokens.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from baselines.gradients import batches_of, decayed_sum, gradient, some_rows
from baselines.lora import BRANCH, Lora, LoraConfig
from suite.backbones.learner import Learner
from suite.lowrank.placement import Placement
from suite.parts import MethodConfig
from suite.randomness import RandomStreams
from trainables.method import Method, MethodFacts, Step, TaskContext, tensor_bytes


class EwcConfig(MethodConfig):
    """Hyperparameters.

    Attributes:
        alpha: scale times rank; null means a scale of 1.
        strength: lambda.
        gamma: what is left of earlier tasks' F when a task's own is added.
        fisher_examples: rows of each task that F is taken from, one forward and backward pass each; few, for a short budget.
    """

    knows_later_tasks = False
    name: Literal["ewc"] = "ewc"
    rank: Annotated[int, Field(ge=1, le=512)] = 16
    alpha: Annotated[float, Field(gt=0)] | None = None
    placement: Placement = Placement(weights=("q", "k", "v", "o", "in", "out"))
    strength: Annotated[float, Field(ge=0)] = 400.0
    gamma: Annotated[float, Field(ge=0, le=1)] = 1.0
    fisher_examples: Annotated[int, Field(ge=1)] = 64

    def degenerate_settings(self) -> Sequence[tuple[MethodConfig, Mapping[str, Any]]]:
        carried = {"name": "lora", "rank": self.rank, "alpha": self.alpha, "placement": self.placement, "between": "carry"}
        return [(self.model_copy(update={"strength": 0.0}), carried)]

    def build(self) -> Ewc:
        return Ewc(self)


class Ewc(Method):
    """A LoRA carrier that is never merged, and F of its factors; the anchor is where the task began."""

    capturable = True

    def __init__(self, config: EwcConfig) -> None:
        super().__init__()
        self.config = config
        self.carrier = Lora(LoraConfig(rank=config.rank, alpha=config.alpha, placement=config.placement, between="carry"))
        self.carry_optimizer = self.carrier.carry_optimizer
        self.fisher: dict[str, Tensor] = {}
        self._anchors: list[Tensor] = []

    def attach(self, learner: Learner, random: RandomStreams) -> None:
        self.carrier.attach(learner, random)
        self.slots = self.carrier.slots

    def factors(self) -> dict[str, nn.Parameter]:
        """``<slot>/<a|b>`` -> factor."""
        branches = {slot.name: slot.branch(BRANCH) for slot in self.slots}
        return {f"{name}/{part}": getattr(branch, part) for name, branch in branches.items() for part in ("a", "b")}

    def begin_task(self, context: TaskContext) -> None:
        self.carrier.begin_task(context)
        self._anchors = [factor.detach().clone() for factor in self.factors().values()]

    def loss(self, step: Step) -> Tensor:
        total = step.outputs[0].loss
        if self.fisher and self.config.strength:
            total = total + self.config.strength / 2 * self.displacement()
        return total

    def displacement(self) -> Tensor:
        """Sum of F_p (p - p*)^2, a scalar."""
        pairs = zip(self.factors().items(), self._anchors, strict=True)
        return torch.stack([(self.fisher[name] * (p - anchor).square()).sum() for (name, p), anchor in pairs]).sum()

    def end_task(self, context: TaskContext) -> None:
        self.carrier.end_task(context)
        if self.config.strength:
            self.fisher = decayed_sum(self.fisher, self._fisher_of(context), self.config.gamma)

    def _fisher_of(self, context: TaskContext) -> dict[str, Tensor]:
        factors = self.factors()
        totals = {name: torch.zeros_like(factor) for name, factor in factors.items()}
        rows = some_rows(context, self.config.fisher_examples, context.random["fisher"])[:, 1]
        for batch in batches_of(context, rows):
            for one in batch.one_by_one():
                found = gradient(context.learner, one, list(factors.values()))
                for total, g in zip(totals.values(), found, strict=True):
                    total.addcmul_(g, g, value=1 / len(rows))
        return {name: total.detach() for name, total in totals.items()}

    def state(self) -> dict[str, Tensor]:
        return {f"fisher/{name}": value for name, value in self.fisher.items()}

    def load_state(self, state: dict[str, Tensor]) -> None:
        devices = {slot.name: slot.weight.device for slot in self.slots}
        found = {key.removeprefix("fisher/"): value for key, value in state.items()}
        self.fisher = {name: value.to(devices[name.rpartition("/")[0]]) for name, value in found.items()}

    def facts(self) -> MethodFacts:
        inner = self.carrier.facts()
        carried = inner.carried_bytes + tensor_bytes(self.fisher.values())
        return MethodFacts(inner.trainable_parameters, inner.effective_rank, carried_bytes=carried)
