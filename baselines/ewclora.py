"""EWC-LoRA: the task's update is held back where earlier tasks' losses are sensitive to the weight it is added to.

    L = CE + lambda / 2 sum over slots sum_ij F_ij (B A)_ij^2,      F <- gamma F + F_t after each task

A (r, in), B (out, r); F (out, in) is the diagonal of the empirical Fisher matrix of the frozen weight W, for which gradients are switched
on after the task. The update is merged, so that the anchor is W itself and no copy of it is kept. With G = F * (B A) the penalty's
gradients are lambda B^T G and lambda G A^T.

Source: arXiv 2602.17559; yaoyz96/low-rank-cl (commit d007ef5) methods/ewclora.py, models/vit_ewclora.py, configs/ewclora/*.json.
Published: k and v of a vision tower (``vision:kv``), rank 10, lambda 1e7 and gamma 1 with ``fisher=batch``, Adam at 5e-4, batch 128. The
release squares the gradient of a batch's mean; per example, as the Fisher matrix is meant, F is up to a batch larger, and logits that are a
hundred times a cosine, as CLIP's, make it larger by about 100^2, hence the default of lambda here: on the miniature 100 loses nothing of a
new task and 1e5 learns none. The notes of a run say lambda times the mean of F, which can be compared. Otherwise than there: the product B A is
merged, where the release adds new factors to old ones and the function jumps; F is of ``fisher_examples`` rows, not augmented; texts count
by the mean over their answer tokens.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import torch
from pydantic import Field
from torch import Tensor

from baselines.gradients import batches_of, decayed_sum, some_rows
from baselines.lora import BRANCH, Lora, LoraConfig
from suite.backbones.learner import Batch, Learner
from suite.lowrank.placement import Placement
from suite.lowrank.statistics import weight_gradients
from suite.parts import MethodConfig
from suite.randomness import RandomStreams
from trainables.method import Method, MethodFacts, Step, TaskContext, tensor_bytes


class EwcLoraConfig(MethodConfig):
    """Hyperparameters.

    Attributes:
        strength: lambda.
        gamma: what is left of earlier tasks' F when a task's own is added.
        fisher: ``per_example`` = mean of the squared gradients of single rows, ``batch`` = of whole batches (release).
        fisher_examples: rows of each task that F is taken from, one forward and backward pass each; few, for a short budget.
    """

    knows_later_tasks = False
    name: Literal["ewclora"] = "ewclora"
    rank: Annotated[int, Field(ge=1, le=512)] = 10
    placement: Placement = Placement(weights=("k", "v"))
    strength: Annotated[float, Field(ge=0)] = 100.0
    gamma: Annotated[float, Field(ge=0, le=1)] = 1.0
    fisher: Literal["per_example", "batch"] = "per_example"
    fisher_examples: Annotated[int, Field(ge=1)] = 64

    def degenerate_settings(self) -> Sequence[tuple[MethodConfig, Mapping[str, Any]]]:
        return [
            (self.model_copy(update={"strength": 0.0}), {"name": "lora", "rank": self.rank, "placement": self.placement}),
        ]

    def build(self) -> EwcLora:
        return EwcLora(self)


class EwcLora(Method):
    """A LoRA carrier and one F per slot."""

    capturable = True
    whole_weights = True

    def __init__(self, config: EwcLoraConfig) -> None:
        super().__init__()
        self.config = config
        self.carrier = Lora(LoraConfig(rank=config.rank, placement=config.placement))
        self.fisher: dict[str, Tensor] = {}

    def attach(self, learner: Learner, random: RandomStreams) -> None:
        self.carrier.attach(learner, random)
        self.slots = self.carrier.slots
        self.added = self.carrier.added

    def begin_task(self, context: TaskContext) -> None:
        self.carrier.begin_task(context)

    def loss(self, step: Step) -> Tensor:
        total = step.outputs[0].loss
        if self.fisher and self.config.strength:
            total = total + self.config.strength / 2 * self.displacement()
        return total

    def displacement(self) -> Tensor:
        """Sum over slots of sum_ij F_ij (B A)_ij^2, a scalar with gradients for A and B."""
        branches = [(slot.branch(BRANCH), self.fisher[slot.name]) for slot in self.slots]
        return torch.stack([_WeighedSquares.apply(branch.a, branch.b, f) for branch, f in branches]).sum()

    def end_task(self, context: TaskContext) -> None:
        self.carrier.end_task(context)
        if self.config.strength:
            self.fisher = decayed_sum(self.fisher, self._fisher_of(context), self.config.gamma)

    def _fisher_of(self, context: TaskContext) -> dict[str, Tensor]:
        """(out, in) per slot, of the merged network."""
        learner, rows = context.learner, some_rows(context, self.config.fisher_examples, context.random["fisher"])[:, 1]
        found = batches_of(context, rows)
        if self.config.fisher == "per_example":
            return learner.weight_gradients(found, self.slots, per_example=True)

        def loss(batch: Batch) -> Tensor:
            return learner.forward(batch).loss

        losses = ((len(batch), lambda batch=batch: loss(batch)) for batch in found)
        return weight_gradients(self.slots, losses, squares=True)

    def state(self) -> dict[str, Tensor]:
        return {f"fisher/{name}": value for name, value in self.fisher.items()}

    def load_state(self, state: dict[str, Tensor]) -> None:
        devices = {slot.name: slot.weight.device for slot in self.slots}
        found = {key.removeprefix("fisher/"): value for key, value in state.items()}
        self.fisher = {name: value.to(devices[name]) for name, value in found.items()}

    def facts(self) -> MethodFacts:
        inner = self.carrier.facts()
        found = self.fisher.values()
        mean = sum(float(f.sum()) for f in found) / max(1, sum(f.numel() for f in found))
        notes = (f"ewclora: lambda times the mean Fisher entry is {self.config.strength * mean:.3g}",)
        return MethodFacts(inner.trainable_parameters, inner.effective_rank, carried_bytes=tensor_bytes(found), notes=notes)


class _WeighedSquares(torch.autograd.Function):
    """sum_ij F_ij (B A)_ij^2; of the (out, in) matrices none is kept for the backward pass."""

    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor, fisher: Tensor) -> Tensor:
        product = b @ a
        weighed = fisher * product
        ctx.save_for_backward(2 * b.T @ weighed, 2 * weighed @ a.T)
        return (weighed * product).sum()

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor, Tensor, None]:
        for_a, for_b = ctx.saved_tensors
        return upstream[0] * for_a, upstream[0] * for_b, None
