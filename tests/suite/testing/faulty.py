"""Methods with one fault each, installed as an outside package by the tests beside this file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Tensor

from suite.backbones.learner import Learner, Output
from suite.lowrank.layer import Branch, Factors, Slot, fresh_branch
from suite.lowrank.placement import Placement
from suite.parts import MethodConfig
from suite.randomness import RandomStreams
from trainables.method import Method, MethodFacts, Step, TaskContext, count_parameters

BRANCH = "task"


class Sound(Method):
    """LoRA of rank 2, merged after every task: no fault."""

    needs = frozenset({"clip"})

    def __init__(self) -> None:
        super().__init__()
        self.counted = 0

    def attach(self, learner: Learner, random: RandomStreams) -> None:
        self.slots = learner.place(Placement(weights=("q", "k", "v", "o", "in", "out")))

    def begin_task(self, context: TaskContext) -> None:
        for slot in self.slots:
            slot.parts[BRANCH] = self.fresh(slot, context)

    def fresh(self, slot: Slot, context: TaskContext) -> Branch:
        return fresh_branch(slot, 2, context.random["init"])

    def end_task(self, context: TaskContext) -> None:
        self.counted = count_parameters(self.parameter_groups())
        for slot in self.slots:
            self.merge(slot, BRANCH)

    def facts(self) -> MethodFacts:
        return MethodFacts(self.counted)


class Thaws(Sound):
    """Leaves a weight of the backbone learning."""

    def end_task(self, context: TaskContext) -> None:
        super().end_task(context)
        next(context.learner.network.parameters()).requires_grad_(True)


class Touches(Sound):
    """Changes a weight that is not its own, past ``add``, so that no file of the run knows of it."""

    def end_task(self, context: TaskContext) -> None:
        super().end_task(context)
        with torch.no_grad():
            next(context.learner.network.parameters()).mul_(1.001)


class Miscounts(Sound):
    def facts(self) -> MethodFacts:
        return MethodFacts(self.counted + 1)


class Jumps(Sound):
    """Begins a task with an update that is not zero."""

    def fresh(self, slot: Slot, context: TaskContext) -> Branch:
        branch = super().fresh(slot, context)
        branch.b.data += 0.01
        return branch


class Compares(Sound):
    """Judges an image by those beside it, and does not say so."""

    def answer(self, output: Output, classes: Tensor) -> Tensor:
        return output.logits - output.logits.mean(0)


class Forgets(Sound):
    """Begins a task from the last one's directions, and keeps them in no state."""

    def __init__(self) -> None:
        super().__init__()
        self.directions: dict[str, Tensor] = {}

    def fresh(self, slot: Slot, context: TaskContext) -> Branch:
        branch = super().fresh(slot, context)
        branch.a.data.copy_(self.directions.get(slot.name, branch.a.data))
        return branch

    def end_task(self, context: TaskContext) -> None:
        self.directions = {slot.name: slot.branch(BRANCH).a.detach().clone() for slot in self.slots}
        super().end_task(context)


class AddsNothing(Sound):
    """A penalty on factors that are gone: always zero."""

    def loss(self, step: Step) -> Tensor:
        sizes = [slot.branch(key).b.square().sum() for slot in self.slots for key in slot.parts if key != BRANCH]
        return step.outputs[0].loss + sum(sizes, torch.zeros(()))


class Unlearns(Sound):
    def loss(self, step: Step) -> Tensor:
        return -step.outputs[0].loss


class SaysTooMuch(Sound):
    """Says that it carries bytes which no file holds."""

    def facts(self) -> MethodFacts:
        return MethodFacts(self.counted, carried_bytes=4096)


class WrongForm(Branch):
    def factors(self) -> Factors | None:
        found = super().factors()
        return None if found is None else Factors(found.a, 3 * found.b)


class MergesWrongly(Sound):
    """Its parts say another merged form than what they compute."""

    def fresh(self, slot: Slot, context: TaskContext) -> Branch:
        branch = super().fresh(slot, context)
        return WrongForm(branch.a.data, branch.b.data)


class Damped(Sound):
    """No fault: it merges half of every update."""

    def end_task(self, context: TaskContext) -> None:
        self.counted = count_parameters(self.parameter_groups())
        for slot in self.slots:
            self.merge(slot, BRANCH, 0.5)


class AsksForReferences(Sound):
    """No fault; only that it cannot do without a reference set."""

    needs = frozenset({"clip", "references"})

    def begin_task(self, context: TaskContext) -> None:
        super().begin_task(context)
        assert context.references is not None
        assert len(context.references) > 2


FAULTS: Mapping[str, type[Sound]] = {found.__name__: found for found in (Sound, *Sound.__subclasses__())}


class FaultyConfig(MethodConfig):
    """``parent`` names the fault with which it says that it is the suite's LoRA of rank 2; empty = it says nothing."""

    name: Literal["faulty"] = "faulty"
    fault: str = "Sound"
    parent: str = ""

    def degenerate_settings(self) -> Sequence[tuple[MethodConfig, Mapping[str, Any]]]:
        off = self.model_copy(update={"fault": self.parent, "parent": ""})
        return [(off, {"name": "lora", "rank": 2})] if self.parent else []

    def build(self) -> Sound:
        return FAULTS[self.fault]()
