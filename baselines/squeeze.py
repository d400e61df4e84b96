"""LoRA-Squeeze: learn at a high rank, keep the leading singular directions of the update.

    dW = B A = U S V^T (rank R)   ->   dW' = U_k S_k V_k^T (rank k),     A (R, in), B (out, R)

With ``stages=1`` the update is cut once (post): after the last step, or, with a ``refine_fraction``, before the last share of the steps,
which then learn at rank k. With more stages rank falls from R to k in equal steps, the last of them at the same moment (annealed).
A cut in the middle of the task replaces the factors by sqrt(S) V^T and U sqrt(S) in place, the rest is zero and stays so; the optimizer's
state of the factors begins anew. The update that is left is merged.

Source: arXiv 2602.10993, of which the abstract alone could be read: when and how often is cut, and that the optimizer begins anew, are a
reconstruction; there is no public code and there are no published settings. At k = CoDyRA's merged rank this is what CoDyRA's gates are to
be compared with: the same number of parts, chosen by their size. ``allocation=global`` lets the slots compete for them, as gates do.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import torch
from pydantic import Field
from torch import nn

from baselines.lora import BRANCH, Lora, LoraConfig
from baselines.merged_rank import MergedRankConfig, Ranks
from suite.backbones.learner import Learner
from suite.errors import ConfigError
from suite.lowrank.layer import Factors, merged_form
from suite.lowrank.truncation import Decomposition, decomposed
from suite.parts import MethodConfig
from suite.randomness import RandomStreams
from trainables.method import Method, MethodFacts, TaskContext, count_parameters


class SqueezeConfig(MergedRankConfig):
    """Hyperparameters.

    Attributes:
        rank: at which a task begins.
        merged_rank: parts per slot that are merged: their mean, or a finished run (its folder or ``record.json``) whose ranks are taken over.
        stages: cuts until ``merged_rank`` is reached.
        refine_fraction: share of the steps after the last cut; 0 cuts after the last step.
        allocation: ``uniform`` = every slot keeps its own ``merged_rank``, ``global`` = the largest singular values of all slots are kept,
            as many as these are together.
    """

    name: Literal["squeeze"] = "squeeze"
    stages: Annotated[int, Field(ge=1, le=512)] = 1
    refine_fraction: Annotated[float, Field(ge=0, lt=1)] = 0.0
    allocation: Literal["uniform", "global"] = "uniform"

    def degenerate_settings(self) -> Sequence[tuple[MethodConfig, Mapping[str, Any]]]:
        whole = self.model_copy(update={"merged_rank": float(self.rank)})
        return [(whole, {"name": "lora", "rank": self.rank, "placement": self.placement})]

    def build(self) -> Squeeze:
        return Squeeze(self)


class Squeeze(Method):
    """A LoRA carrier whose branches lose their smallest singular directions."""

    capturable = True

    def __init__(self, config: SqueezeConfig) -> None:
        super().__init__()
        self.config = config
        self.carrier = Lora(LoraConfig(rank=config.rank, placement=config.placement))
        self.targets: list[Ranks] = []
        self._cuts: dict[int, Ranks] = {}  # step before which is cut, or the number of steps -> parts that stay
        self._restarted: list[nn.Parameter] = []
        self._ranks: Ranks = {}
        self._kept = torch.ones(2)  # squared norms of all updates after and before the last cut
        self._trainable = 0
        if not config.refine_fraction and config.merged_rank != config.rank:
            self.jumps = "what exceeds the merged rank is cut off after the last step"

    def attach(self, learner: Learner, random: RandomStreams) -> None:
        self.carrier.attach(learner, random)
        self.slots = self.carrier.slots
        self.targets = self.config.merged_ranks(self.slots, learner.stream.task_names)

    def check_budget(self, tasks: Sequence[str], steps: Sequence[int]) -> None:
        """There has to be something to cut, and a finished run where ``merged_rank`` names one."""
        self.config.named_ranks(tasks)
        fewest, task = min(zip(steps, tasks, strict=True))
        if self._last_cut(fewest) < self.config.stages:
            raise ConfigError(
                f"squeeze: {fewest} steps for task '{task}' leave no room for {self.config.stages} cuts before the last "
                f"{self.config.refine_fraction:g} of them; set a smaller method.stages or method.refine_fraction, or more training.steps."
            )

    def _last_cut(self, steps: int) -> int:
        return round(steps * (1 - self.config.refine_fraction))

    def begin_task(self, context: TaskContext) -> None:
        self.carrier.begin_task(context)
        config, target = self.config, self.targets[context.index]
        last = self._last_cut(context.steps)
        self._cuts = {}
        self._ranks = dict.fromkeys(target, config.rank)
        if any(rank < config.rank for rank in target.values()):
            for stage in range(1, config.stages + 1):
                left = 1 - stage / config.stages
                ranks = {name: rank + round(left * (config.rank - rank)) for name, rank in target.items()}
                self._cuts[last * stage // config.stages] = ranks

    def before_step(self, index: int, lr: float) -> None:
        self._restarted = []
        if index in self._cuts:
            self._cut(self._cuts[index])
            branches = [slot.branch(BRANCH) for slot in self.slots]
            self._restarted = [factor for branch in branches for factor in (branch.a, branch.b)]

    def restarted(self) -> Sequence[nn.Parameter]:
        return self._restarted

    @torch.no_grad()
    def _cut(self, ranks: Ranks) -> None:
        """Leave the leading ``ranks`` parts in the first places of the branches, zeros behind them."""
        found = {slot.name: decomposed(merged_form(slot, BRANCH)) for slot in self.slots}
        ranks = largest(found, sum(ranks.values())) if self.config.allocation == "global" else ranks
        self._kept = torch.stack([found[name].kept(rank) for name, rank in ranks.items()]).sum(dim=0)
        for slot in self.slots:
            branch, rank = slot.branch(BRANCH), ranks[slot.name]
            a, b = found[slot.name].cut(rank)
            branch.a.zero_()[:rank] = a
            branch.b.zero_()[:, :rank] = b
        self._ranks = ranks

    def end_task(self, context: TaskContext) -> None:
        self._trainable = count_parameters(self.parameter_groups())
        if context.steps in self._cuts:
            self._cut(self._cuts[context.steps])
        for slot in self.slots:
            a, b = merged_form(slot, BRANCH)
            kept = self._ranks[slot.name]
            self.add(slot, Factors(a[:kept].clone(), b[:, :kept].clone()))
            del slot.parts[BRANCH]

    def facts(self) -> MethodFacts:
        kept, whole = self._kept.tolist()
        note = f"squeeze: the last cut kept {kept / whole if whole else 1:.4f} of the updates' squared norm"
        return MethodFacts(self._trainable, self._ranks, notes=(note,) if self._cuts else ())


def largest(found: Mapping[str, Decomposition], count: int) -> Ranks:
    """How many of the ``count`` largest singular values of all slots belong to each."""
    values = torch.cat([one.values for one in found.values()])
    owners = torch.repeat_interleave(torch.arange(len(found)), torch.tensor([len(one.values) for one in found.values()]))
    chosen = owners[values.argsort(descending=True, stable=True)[:count].cpu()]
    counts = torch.bincount(chosen, minlength=len(found)).tolist()
    return dict(zip(found, counts, strict=True))
