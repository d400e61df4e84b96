"""Weight ensembling (WE): after a task the network is the mean of what it was at regular steps, the start included.

    W <- W_before + 1/(n + 1) sum over snapshots k = 1..n of  dW_k,      dW_k = B_k A_k after k F steps

The mean is one of weights, not of factors: [B_1 .. B_n] [A_1; ..; A_n] / (n + 1) is exact and needs 2 n r (in + out) numbers per slot where
a dense mean needs in out. What has no factors (all weights under ``finetune``) is averaged tensor by tensor, as in the release.

Source: ZSCL, arXiv 2303.06628; Thunderbeee/ZSCL (commit b96e714) mtil/src/models/finetune.py, helpers.py, mtil/scripts/we.sh: F = 100 of 1000
steps. There it goes around full fine-tuning.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any, Literal

import torch
from pydantic import Field
from torch import Tensor

from baselines.weight_shift import Shift, TaskMove, joined
from suite.errors import ConfigError
from suite.lowrank.layer import stacked
from suite.parts import MethodConfig
from trainables.method import Method, MethodFacts, TaskContext
from trainables.wrapper import Wrapper, WrapperConfig


class WeightEnsembleConfig(WrapperConfig):
    """Hyperparameters.

    Attributes:
        inner: the method that learns, by its name or with its fields; ``lora`` by itself.
        every: F, steps between snapshots; null = a tenth of the task's steps (100 of 1000 in the release); 0 takes none and averages nothing.
    """

    knows_later_tasks = False
    name: Literal["weight-ensemble"] = "weight-ensemble"
    every: Annotated[int, Field(ge=0)] | None = None

    def degenerate_settings(self) -> Sequence[tuple[MethodConfig, Mapping[str, Any]]]:
        return [(self.model_copy(update={"every": 0}), self.inner.model_dump())]

    def build(self) -> WeightEnsemble:
        return WeightEnsemble(self, self.every)


class WeightEnsemble(Wrapper):
    """Snapshots are taken on the host between steps, so that the steps themselves stay as they are."""

    capturable = True
    other_weights = True

    def __init__(self, config: WrapperConfig, every: int | None) -> None:
        super().__init__(config)
        self.every = every
        self.mean: RunningMean | None = None
        self.ranks: dict[str, int] = {}
        self.chosen: dict[str, int] = {}

    def check_budget(self, tasks: Sequence[str], steps: Sequence[int]) -> None:
        super().check_budget(tasks, steps)
        fewest, task = min(zip(steps, tasks, strict=True))
        if self.every and self.every > fewest:
            raise ConfigError(
                f"method.every: {self.every} steps between snapshots leave none of the {fewest} steps of task '{task}'; "
                f"use at most {fewest}, or null for a tenth of the steps."
            )

    def begin_task(self, context: TaskContext) -> None:
        every = max(1, context.steps // 10) if self.every is None else self.every
        self.mean = RunningMean(self.inner, context, every) if every else None
        super().begin_task(context)
        if self.mean is not None:
            self.mean.begun()

    def before_step(self, index: int, lr: float) -> None:
        if self.mean is not None:
            self.mean.note(index)
        super().before_step(index, lr)

    def end_task(self, context: TaskContext) -> None:
        if self.mean is None:
            super().end_task(context)
            return
        self.mean.note(self.steps(context) or 0)
        for name, factors in self.mean.end(lambda: super(WeightEnsemble, self).end_task(context)).items():
            self.add(context.learner.slots[name], stacked(factors))
        self.ranks, self.chosen = self.mean.ranks(), {"snapshots": self.mean.count}
        self.mean = None

    def facts(self) -> MethodFacts:
        found = super().facts()
        ranks = {name: self.ranks.get(name, rank) for name, rank in found.effective_rank.items()}
        return replace(found, effective_rank=ranks, chosen={**found.chosen, **self.chosen})


class RunningMean:
    """Mean of the network's states in one task: as it began and after every ``every`` steps.

    Attributes:
        count: snapshots so far, the start left out.
    """

    def __init__(self, method: Method, context: TaskContext, every: int) -> None:
        self.move = TaskMove(method, context.learner.network)
        self.every = every
        self.count = 0
        self.snapshots: list[Shift] = []
        self.tensors: list[Tensor] = []

    def begun(self) -> None:
        """After the method's ``begin_task``: the start counts once."""
        self.move.begun()
        self.tensors = [value.clone() for value in self.move.tensors_before]

    @torch.no_grad()
    def note(self, steps: int) -> None:
        """After ``steps`` steps of the task."""
        if not steps or steps % self.every:
            return
        self.count += 1
        self.snapshots.append(self.move.so_far())
        for mean, tensor in zip(self.tensors, self.move.tensors, strict=True):
            mean += (tensor - mean) / (self.count + 1)

    def end(self, end_task: Callable[[], None]) -> Shift:
        """Run the method's ``end_task`` and return what is to be added for the network to be the mean."""
        self.move.write(self.tensors)
        _, present = self.move.end(end_task)
        share = 1 / (self.count + 1)
        return joined(*((snapshot, share) for snapshot in self.snapshots), (present, -1.0))

    def ranks(self) -> dict[str, int]:
        """Parts of every slot's mean update, at most as many as its weight has dimensions."""
        counts: Counter[str] = Counter()
        for snapshot in self.snapshots:
            counts.update({name: sum(len(one.a) for one in found) for name, found in snapshot.items()})
        slots = [slot for slot in self.move.method.slots if slot.name in counts]
        return {slot.name: min(counts[slot.name], slot.in_features, slot.out_features) for slot in slots}
