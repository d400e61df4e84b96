"""O-LoRA: the new A is pushed to be orthogonal to the A of every earlier task.

    L = CE + lambda1 sum over slots sum_jk |A_past A^T|_jk + lambda2 sum over slots (||A||_F + ||B||_F)

Source: arXiv 2310.14152; cmnfriend/O-LoRA (commit 07117e1) src/uie_trainer_lora.py. The paper writes squares, the released code
absolute values: ``penalty`` chooses. The release has settings for language models alone: rank 8 and alpha 32 (a scale of 4) on q and v;
lambda1 0.5 and lambda2 0 on every task of the four-task streams, other values task by task on its fifteen-task stream, which cannot be set
here. The penalty is a sum over slots, so six placements of two encoders weigh it more than q and v of one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import torch
from pydantic import Field
from torch import Tensor

from baselines.lora import BRANCH, Lora, LoraConfig
from suite.backbones.learner import Learner
from suite.errors import SuiteError
from suite.lowrank.placement import Placement
from suite.parts import MethodConfig
from suite.randomness import RandomStreams
from trainables.method import Method, MethodFacts, Step, TaskContext, tensor_bytes


class OLoraConfig(MethodConfig):
    """Hyperparameters; past updates are merged, past A kept.

    Attributes:
        alpha: scale times rank; null means a scale of 1. The released scripts have alpha 32 at rank 8.
        lambda1, lambda2: as in the released T5 scripts of the four-task streams (``scripts/order_1.sh`` to ``order_3.sh``).
    """

    knows_later_tasks = False
    of_earlier_tasks = frozenset({"lambda1", "penalty"})
    name: Literal["olora"] = "olora"
    rank: Annotated[int, Field(ge=1, le=512)] = 16
    alpha: Annotated[float, Field(gt=0)] | None = None
    placement: Placement = Placement(weights=("q", "k", "v", "o", "in", "out"))
    lambda1: Annotated[float, Field(ge=0)] = 0.5
    lambda2: Annotated[float, Field(ge=0)] = 0.0
    penalty: Literal["abs", "square"] = "abs"

    def degenerate_settings(self) -> Sequence[tuple[MethodConfig, Mapping[str, Any]]]:
        plain = {"name": "lora", "rank": self.rank, "alpha": self.alpha, "placement": self.placement}
        return [(self.model_copy(update={"lambda1": 0.0, "lambda2": 0.0}), plain)]

    def build(self) -> OLora:
        return OLora(self)


class OLora(Method):
    """Merges B into W with its A (the same function as keeping both) and stores only the rows of A."""

    capturable = True

    def __init__(self, config: OLoraConfig) -> None:
        super().__init__()
        self.config = config
        self.carrier = Lora(LoraConfig(rank=config.rank, alpha=config.alpha, placement=config.placement))
        self.past: dict[str, Tensor] = {}

    def attach(self, learner: Learner, random: RandomStreams) -> None:
        self.carrier.attach(learner, random)
        self.slots = self.carrier.slots
        self.added = self.carrier.added

    def begin_task(self, context: TaskContext) -> None:
        if context.index > 0 and not self.past:
            raise SuiteError(
                f"olora: task {context.index} begins without the subspaces of earlier tasks, so the penalty would be zero; "
                "resume from a checkpoint that holds them."
            )
        self.carrier.begin_task(context)

    def loss(self, step: Step) -> Tensor:
        total = step.outputs[0].loss
        if self.config.lambda1 and self.past:
            total = total + self.config.lambda1 * self.overlap()
        if self.config.lambda2:
            branches = [slot.branch(BRANCH) for slot in self.slots]
            total = total + self.config.lambda2 * sum(b.a.norm() + b.b.norm() for b in branches)
        return total

    def overlap(self) -> Tensor:
        """Sum over slots of |A_past A^T| or its square; a scalar with gradients for the current A only."""
        terms = [self.past[slot.name] @ slot.branch(BRANCH).a.T for slot in self.slots]  # (past rows, r) each
        return torch.stack([(t.abs() if self.config.penalty == "abs" else t.square()).sum() for t in terms]).sum()

    def end_task(self, context: TaskContext) -> None:
        for slot in self.slots:
            rows = slot.branch(BRANCH).a.detach().clone()
            self.past[slot.name] = torch.cat([self.past[slot.name], rows]) if slot.name in self.past else rows
        self.carrier.end_task(context)

    def state(self) -> dict[str, Tensor]:
        return {f"past/{name}": rows for name, rows in self.past.items()}

    def load_state(self, state: dict[str, Tensor]) -> None:
        devices = {slot.name: slot.weight.device for slot in self.slots}
        self.past = {key.removeprefix("past/"): value for key, value in state.items()}
        self.past = {name: rows.to(devices[name]) for name, rows in self.past.items()}

    def facts(self) -> MethodFacts:
        inner = self.carrier.facts()
        return MethodFacts(inner.trainable_parameters, inner.effective_rank, carried_bytes=tensor_bytes(self.past.values()))
