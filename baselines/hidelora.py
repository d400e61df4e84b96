"""HiDeLoRA as TreeLoRA's code has it: one shared LoRA whose rows of A are contrasted with each other and with earlier tasks' rows.

    L = CE + strength sum over slots of (mean over rows i of M of -log softmax_j(<m_i, m_j> / temperature)_i),    M = [A_hist; A]

A_hist (t r, in) are the rows that A had after each of t earlier tasks, constant; A (r, in) is the branch that is carried through the
stream. Each row shall match itself best: rows grow longer and apart from all others.

Source: ZinYY/TreeLoRA (commit c6a9b6d) model/Regular/HideLoRA.py, with whose numbers TRACE's tables compare: q and v, r 8, alpha 32,
dropout 0.1, strength 0.5, temperature 0.8. There the history stays empty, so that the term knows nothing of earlier tasks:
``history=release``. The method of the name, HiDe-PET (thu-ml/HiDe-PET, commit 5811702), is another one: a LoRA per task that a second
model chooses, statistics of features per class, a head aligned with samples of them. None of it is in TreeLoRA's form nor here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from baselines.lora import BRANCH, Lora, LoraConfig
from suite.backbones.learner import Learner
from suite.lowrank.placement import Placement
from suite.parts import MethodConfig
from suite.randomness import RandomStreams
from trainables.method import Method, MethodFacts, Step, TaskContext, tensor_bytes


class HideLoraConfig(MethodConfig):
    """Hyperparameters; ``alpha`` null means a scale of 1, otherwise the scale is alpha / rank.

    Attributes:
        strength, temperature: of the contrast.
        history: ``tasks`` = contrast with the rows that earlier tasks ended with, ``release`` = with the current ones alone.
    """

    knows_later_tasks = False
    name: Literal["hidelora"] = "hidelora"
    rank: Annotated[int, Field(ge=1, le=512)] = 8
    alpha: Annotated[float, Field(gt=0)] | None = 32.0
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1
    placement: Placement = Placement(weights=("q", "v"))
    strength: Annotated[float, Field(ge=0)] = 0.5
    temperature: Annotated[float, Field(gt=0)] = 0.8
    history: Literal["tasks", "release"] = "tasks"

    def shared_lora(self) -> LoraConfig:
        """The carrier."""
        return LoraConfig(rank=self.rank, alpha=self.alpha, dropout=self.dropout, placement=self.placement, between="carry")

    def degenerate_settings(self) -> Sequence[tuple[MethodConfig, Mapping[str, Any]]]:
        return [(self.model_copy(update={"strength": 0.0}), self.shared_lora().model_dump())]

    def build(self) -> HideLora:
        return HideLora(self)


class HideLora(Method):
    """Carries the shared branch with its optimizer state and, with a history, the rows of A after each task."""

    capturable = True

    def __init__(self, config: HideLoraConfig) -> None:
        super().__init__()
        self.config = config
        self.carrier = Lora(config.shared_lora())
        self.carry_optimizer = True
        self.past: dict[str, Tensor] = {}
        self._facts = MethodFacts(trainable_parameters=0)

    def attach(self, learner: Learner, random: RandomStreams) -> None:
        self.carrier.attach(learner, random)
        self.slots = self.carrier.slots

    def begin_task(self, context: TaskContext) -> None:
        self.carrier.begin_task(context)

    def loss(self, step: Step) -> Tensor:
        if not self.config.strength:
            return step.outputs[0].loss
        return step.outputs[0].loss + self.config.strength * self.contrast()

    def contrast(self) -> Tensor:
        """Sum over slots of the mean cross-entropy of rows with themselves; a scalar with gradients for the current A."""
        terms = []
        for slot in self.slots:
            rows: Tensor = slot.branch(BRANCH).a
            rows = torch.cat([self.past[slot.name], rows]) if slot.name in self.past else rows
            itself = torch.arange(len(rows), device=rows.device)
            terms.append(F.cross_entropy(rows @ rows.T / self.config.temperature, itself))
        return torch.stack(terms).sum()

    def end_task(self, context: TaskContext) -> None:
        if self.config.history == "tasks" and self.config.strength:
            for slot in self.slots:
                rows = slot.branch(BRANCH).a.detach().clone()
                self.past[slot.name] = torch.cat([self.past[slot.name], rows]) if slot.name in self.past else rows
        self.carrier.end_task(context)
        inner = self.carrier.facts()
        carried = inner.carried_bytes + tensor_bytes(self.past.values())
        self._facts = MethodFacts(inner.trainable_parameters, inner.effective_rank, carried_bytes=carried)

    def state(self) -> dict[str, Tensor]:
        return dict(self.past)

    def load_state(self, state: dict[str, Tensor]) -> None:
        devices = {slot.name: slot.weight.device for slot in self.slots}
        self.past = {name: rows.to(devices[name]) for name, rows in state.items()}

    def facts(self) -> MethodFacts:
        return self._facts
