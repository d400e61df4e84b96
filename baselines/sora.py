"""SoRA: gated LoRA whose gates are pulled to zero from the first step on, by a penalty and by a constant threshold.

    y = W x + b + s B (w * (A x)),    L = CE + eta mean_i |w_i|,    after each optimizer step   w <- S_xi(w)

A (r, in), B (out, r), w (r,) ~ N(0, 1), s = alpha / r; the mean is over all gates of all slots. Gates have a group of their own without
weight decay. After the task zero gates are dropped and the rest is merged: that, and a stream of tasks, is the suite's; the method is
published for one task.

Source: arXiv 2311.11696; TsinghuaC3I/SoRA (commit c275ac2) src/lora.py, src/sparse_optimizer.py, src/trainer.py,
scripts/run_glue_sora_*.sh, where eta is ``sparse_lambda`` and xi ``sparse_lambda_2``. Published for DeBERTa-v3-base: all linear layers,
rank 8, alpha 16, eta 10, xi 3e-4, learning rate 8e-4 (the gates' warmed up), batch 8, 20 epochs, weight decay 0.1, gradients clipped at
0.1. Its ladder of ever larger xi on trained weights (algorithm 1) is not offered. As in CoDyRA the released operator zeroes |w| < 2 xi, the
paper's |w| <= xi: ``threshold_op``. Without any signal erfc(n xi / sqrt 2) of the gates outlive n steps, 0.37 at xi 3e-4 after 3000.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from suite.backbones.learner import Learner
from suite.lowrank.layer import fresh_branch
from suite.lowrank.placement import Placement
from suite.lowrank.rank import ThresholdOperator, no_signal_rank
from suite.parts import MethodConfig
from suite.randomness import RandomStreams
from trainables.codyra import threshold_
from trainables.method import Method, MethodFacts, ParameterGroup, Step, TaskContext, count_parameters

BRANCH = "task"


class SoraConfig(MethodConfig):
    """Hyperparameters.

    Attributes:
        alpha: scale times rank; null means a scale of 1.
        eta: weight of the mean absolute gate in the loss.
        xi: threshold of every step.
        threshold_op: ``soft`` zeroes |w| <= xi (paper), ``codyra_release`` zeroes |w| < 2 xi, which is SoRA's release too.
        gate_lr_multiplier: learning rate of the gates as a multiple of the others'.
    """

    knows_later_tasks = False
    name: Literal["sora"] = "sora"
    rank: Annotated[int, Field(ge=1, le=512)] = 8
    alpha: Annotated[float, Field(gt=0)] | None = 16.0
    placement: Placement = Placement(weights=("q", "k", "v", "o", "in", "out"))
    eta: Annotated[float, Field(ge=0)] = 10.0
    xi: Annotated[float, Field(ge=0)] = 3e-4
    threshold_op: ThresholdOperator = "soft"
    gate_lr_multiplier: Annotated[float, Field(ge=0)] = 1.0

    @property
    def scale(self) -> float:
        return 1.0 if self.alpha is None else self.alpha / self.rank

    def degenerate_settings(self) -> Sequence[tuple[MethodConfig, Mapping[str, Any]]]:
        """Without penalty and threshold it is gated LoRA: CoDyRA that never prunes, whose scale is 1."""
        off = self.model_copy(update={"eta": 0.0, "xi": 0.0, "alpha": None})
        shared = {"rank": self.rank, "placement": self.placement, "gate_lr_multiplier": self.gate_lr_multiplier}
        return [(off, {"name": "codyra", **shared, "kappa_max": 0.0})]

    def build(self) -> Sora:
        return Sora(self)


class Sora(Method):
    """Fresh gated branch per task, pruned and merged after it. All gates are rows of one tensor."""

    capturable = True

    def __init__(self, config: SoraConfig) -> None:
        super().__init__()
        self.config = config
        self._gates = self._xi = torch.empty(0)
        self._facts = MethodFacts(trainable_parameters=0)

    def attach(self, learner: Learner, random: RandomStreams) -> None:
        self.slots = learner.place(self.config.placement)

    def begin_task(self, context: TaskContext) -> None:
        config, device = self.config, context.learner.device
        gates = [torch.randn(config.rank, generator=context.random["gate"]) for _ in self.slots]
        self._gates = torch.stack(gates).to(device)
        self._xi = torch.full((), config.xi, device=device)
        for slot, gate in zip(self.slots, self._gates, strict=True):
            slot.parts[BRANCH] = fresh_branch(slot, config.rank, context.random["init"], gate=gate, scale=config.scale)

    def gates(self) -> list[nn.Parameter]:
        """Those of all slots, (rank,) each."""
        return [gate for slot in self.slots if (gate := slot.branch(BRANCH).gate) is not None]

    def parameter_groups(self) -> list[ParameterGroup]:
        branches = [slot.branch(BRANCH) for slot in self.slots]
        factors = [p for branch in branches for p in (branch.a, branch.b)]
        return [ParameterGroup(factors), ParameterGroup(self.gates(), self.config.gate_lr_multiplier, weight_decay=0.0)]

    def loss(self, step: Step) -> Tensor:
        total = step.outputs[0].loss
        if self.config.eta:
            total = total + self.config.eta * torch.stack([gate.abs().mean() for gate in self.gates()]).mean()
        return total

    @torch.no_grad()
    def after_step(self, step: Step) -> None:
        threshold_(self._gates, self._xi, self.config.threshold_op)

    def end_task(self, context: TaskContext) -> None:
        config = self.config
        trainable = count_parameters(self.parameter_groups())
        ranks = {slot.name: slot.branch(BRANCH).effective_rank() for slot in self.slots}
        no_signal = no_signal_rank(config.rank, [config.xi] * context.steps, config.threshold_op, "normal")
        self._facts = MethodFacts(trainable, ranks, no_signal)
        for slot in self.slots:
            self.merge(slot, BRANCH)

    def facts(self) -> MethodFacts:
        return self._facts
