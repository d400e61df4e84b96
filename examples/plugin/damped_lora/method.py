"""LoRA that adds a share of every task's update to the frozen weights: W <- W + amount B A."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import Field

from suite.backbones.learner import Learner
from suite.lowrank.layer import fresh_branch
from suite.lowrank.placement import Placement
from suite.parts import MethodConfig
from suite.randomness import RandomStreams
from trainables.method import Method, MethodFacts, TaskContext, count_parameters

BRANCH = "task"


class DampedLoraConfig(MethodConfig):
    """The hyperparameters, their ranges and their only defaults. With ``amount`` 1 it is the suite's ``lora``."""

    name: Literal["damped-lora"] = "damped-lora"
    rank: Annotated[int, Field(ge=1, le=512)] = 8
    amount: Annotated[float, Field(gt=0, le=1)] = 0.5
    placement: Placement = Placement(weights=("q", "k", "v", "o", "in", "out"))

    def degenerate_settings(self) -> Sequence[tuple[MethodConfig, Mapping[str, Any]]]:
        plain = {"name": "lora", "rank": self.rank, "placement": self.placement}
        return [(self.model_copy(update={"amount": 1.0}), plain)]

    def build(self) -> DampedLora:
        return DampedLora(self)


class DampedLora(Method):
    """A fresh branch on every slot of the placement per task; its damped update is merged when the task ends."""

    capturable = True

    def __init__(self, config: DampedLoraConfig) -> None:
        super().__init__()
        self.config = config
        self.counted = 0

    def attach(self, learner: Learner, random: RandomStreams) -> None:
        self.slots = learner.place(self.config.placement)

    def begin_task(self, context: TaskContext) -> None:
        for slot in self.slots:
            slot.parts[BRANCH] = fresh_branch(slot, self.config.rank, context.random["init"])

    def end_task(self, context: TaskContext) -> None:
        self.counted = count_parameters(self.parameter_groups())
        for slot in self.slots:
            self.merge(slot, BRANCH, self.config.amount)

    def facts(self) -> MethodFacts:
        return MethodFacts(self.counted, {slot.name: self.config.rank for slot in self.slots})
