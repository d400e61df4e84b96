"""KeepLoRA: the input side of a task's update follows the task's gradient, outside what the pretrained weights and earlier tasks use.

    y = W x + b + s B A x,    A = (top r right singular vectors of G R)^T  frozen,    B trained from 0,    R = I - P P^T - M M^T

G (out, in) is the mean gradient of the task loss for W over the task's rows; P (in, p) holds, for each slot, the leading right singular
vectors of the pretrained W with the share ``weight_energy`` of its squared singular values; M (in, m), orthogonal to P, what earlier tasks'
inputs have beside it. After the task the update is merged and M grows by leading eigenvectors of R C R, with the share ``feature_energy``
of its trace, C (in, in) being the second moment of what now enters the map. P comes from the pretrained weights again and is not stored.

Source: arXiv 2601.19659; MaolinLuo/KeepLoRA (commit a17f9c2)
MTIL/model/{prin_subspace,prin_subspace_helper,keeplora_helper,peft_modules}.py, configs/keeplora_order{1,2}.yaml. Published: q, k, v and o
of both encoders, rank 16, alpha 1 (s = 1 / 16), shares 0.85 (vision), 0.2 (text) and 0.99, AdamW at 1e-3 with weight decay 0.01 on a
one-cycle schedule, batch 64, 10 epochs. Otherwise than there: alpha is 8 and the last share 0.9 unless they are set, for with s = 1 / 16
the few steps of a shared budget teach nothing, and 0.99 of every task leaves narrow networks no direction for an eighth; B begins at 0,
where the release begins at the gradient's own and takes that out of W, which without weight decay is the same training; P is on the input
side, where the release takes left singular vectors; C is a second moment over all tokens, not a running mean by position; images are not
augmented for G and C. Language models, for which nothing is published, take the share of the text encoder. The cosine heads of "KeepLoRA+"
are left out.
"""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from baselines.inflora import BRANCH, NOISE, frozen_a, fullest_layer, inputs_of
from suite.backbones.learner import Learner, slot_address
from suite.errors import SuiteError
from suite.lowrank.layer import Slot, require_ranks
from suite.lowrank.placement import Placement
from suite.lowrank.subspace import Subspace, leading
from suite.parts import MethodConfig
from suite.randomness import RandomStreams
from trainables.method import Method, MethodFacts, TaskContext, count_parameters, tensor_bytes


class KeepLoraConfig(MethodConfig):
    """Hyperparameters.

    Attributes:
        alpha: scale s times rank; 1 in the release.
        weight_energy_vision, weight_energy_text: shares of the pretrained weights' energy that no update may touch.
        feature_energy: share of what a task's inputs have beside that and beside earlier tasks' that later updates may not touch.
    """

    knows_later_tasks = False
    name: Literal["keeplora"] = "keeplora"
    rank: Annotated[int, Field(ge=1, le=512)] = 16
    alpha: Annotated[float, Field(gt=0)] = 8.0
    placement: Placement = Placement(weights=("q", "k", "v", "o"))
    weight_energy_vision: Annotated[float, Field(ge=0, lt=1)] = 0.85
    weight_energy_text: Annotated[float, Field(ge=0, lt=1)] = 0.2
    feature_energy: Annotated[float, Field(ge=0, le=1)] = 0.9

    @property
    def scale(self) -> float:
        return self.alpha / self.rank

    def build(self) -> KeepLora:
        return KeepLora(self)


class KeepLora(Method):
    """Carries M of each slot.

    Attributes:
        principal: P of each slot.
        used: M of each slot, (in, m) fp32; slots that no task has used yet are missing.
    """

    capturable = True
    whole_weights = True

    def __init__(self, config: KeepLoraConfig) -> None:
        super().__init__()
        self.config = config
        self.principal: dict[str, Subspace] = {}
        self.used: dict[str, Tensor] = {}
        self._facts = MethodFacts(trainable_parameters=0)

    def attach(self, learner: Learner, random: RandomStreams) -> None:
        self.slots = learner.place(self.config.placement)
        require_ranks(self.config.rank, self.slots)
        self.principal = {slot.name: self._principal_of(slot) for slot in self.slots}

    def _principal_of(self, slot: Slot) -> Subspace:
        vision = slot_address(slot.name)[0] == "vision"
        share = self.config.weight_energy_vision if vision else self.config.weight_energy_text
        weight = slot.weight.detach()[slot.rows].double()
        return Subspace.empty(slot.in_features, slot.weight.device).grown(weight.T @ weight, share)

    def outside(self, slot: Slot, matrix: Tensor) -> Tensor:
        """R matrix R of a symmetric (in, in), fp64."""
        beside = self.principal[slot.name].outside(matrix)
        return Subspace(self.used[slot.name]).outside(beside) if slot.name in self.used else beside

    def begin_task(self, context: TaskContext) -> None:
        gradients = context.learner.weight_gradients(context.batches(), self.slots)
        for slot in self.slots:
            g = gradients[slot.name].double()
            square = g.T @ g
            values, vectors = leading(self.outside(slot, square), self.config.rank)
            a = vectors[:, values > NOISE**2 * leading(square, 1)[0]].T
            if len(a):
                slot.parts[BRANCH] = frozen_a(slot, a, scale=self.config.scale)
        if not any(BRANCH in slot.parts for slot in self.slots):
            raise SuiteError(
                f"keeplora: no direction is left to task '{context.task.name}' in any layer; use a smaller method.feature_energy or "
                "smaller method.weight_energy_vision and method.weight_energy_text."
            )

    def end_task(self, context: TaskContext) -> None:
        trainable = count_parameters(self.parameter_groups())
        ranks = {slot.name: slot.branch(BRANCH).rank if BRANCH in slot.parts else 0 for slot in self.slots}
        for slot in self.slots:
            if BRANCH in slot.parts:
                self.merge(slot, BRANCH)
        for slots, moment in inputs_of(context, self.slots):
            for slot in slots:
                self._grow(slot, moment)
        notes = fullest_layer("keeplora", ranks, self.config.rank)
        self._facts = MethodFacts(trainable, ranks, carried_bytes=tensor_bytes(self.used.values()), notes=notes)

    def _grow(self, slot: Slot, moment: Tensor) -> None:
        beside = self.outside(slot, moment)
        values, vectors = leading(beside, slot.in_features)
        share = torch.cumsum(values.clamp(min=0), dim=0) / values.clamp(min=0).sum()
        count = int((share < self.config.feature_energy).sum()) + 1 if self.config.feature_energy else 0
        firm = values[:count] > NOISE**2 * moment.double().trace()  # what is left of a full space is rounding
        new = vectors[:, :count][:, firm].float()
        self.used[slot.name] = torch.cat([self.used[slot.name], new], dim=1) if slot.name in self.used else new

    def state(self) -> dict[str, Tensor]:
        return {f"used/{name}": columns for name, columns in self.used.items()}

    def load_state(self, state: dict[str, Tensor]) -> None:
        devices = {slot.name: slot.weight.device for slot in self.slots}
        found = {key.removeprefix("used/"): columns for key, columns in state.items()}
        self.used = {name: columns.to(devices[name]) for name, columns in found.items()}

    def facts(self) -> MethodFacts:
        return self._facts
