"""MoRAM: every task adds rank-1 memories; each token reads those whose keys it matches best.

    z = A x,    h = z / ||z||_2 over all memories of the slot,    K = the k largest h,    w_K = softmax(h_K / tau), 0 elsewhere
    y = W x + b + scale B (w * z);    at test time w_i = 0 also where h_i < theta

A (M, in) holds the keys of all tasks, B (out, M) their values, M = r x tasks begun; those of finished tasks are frozen. A row's memories
depend on its own tokens alone. Nothing is merged, and training is not what evaluation computes where theta is not 0.

Source: arXiv 2506.21035 v3; Artificer-AI-Lab/MoRAM (commit aaa51d8) XTAIL/loralib/moram.py, XTAIL/models/moram.py. Published, X-TAIL:
r 16, k = r, tau 0.01, theta 0.2, rate 5e-4, 500 steps; TRACE: r 8, alpha 16, tau 0.03, q k v o. Its port for language models forgets the
scale when a task is stored, so that the function jumps there; here it stays. The text leaves open whether weights are normalised again
once memories are dropped: they are not here. What theta leaves over and how many memories a token really reads (the exponential of the
entropy of w) stand among each task's facts: both fall as memories grow in number.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from suite.backbones.learner import Learner
from suite.lowrank.layer import Part, Slot, fresh_branch
from suite.lowrank.placement import Placement
from suite.parts import MethodConfig
from suite.randomness import RandomStreams
from trainables.method import Method, MethodFacts, ParameterGroup, TaskContext, count_parameters, tensor_bytes

PART = "memories"


class MoramConfig(MethodConfig):
    """Hyperparameters.

    Attributes:
        rank: memories that a task adds to every slot.
        top: k, memories that a token reads, at least 2 in the release; null = ``rank``.
        tau: temperature of their weights.
        theta: least h of a memory that is read at test time; 0 drops none, not even those of negative h.
        alpha: scale times rank; null means a scale of 1.
    """

    knows_later_tasks = False
    name: Literal["moram"] = "moram"
    rank: Annotated[int, Field(ge=1, le=512)] = 16
    top: Annotated[int, Field(ge=1, le=4096)] | None = None
    tau: Annotated[float, Field(gt=0)] = 0.01
    theta: Annotated[float, Field(ge=0, lt=1)] = 0.2
    alpha: Annotated[float, Field(gt=0)] | None = None
    placement: Placement = Placement(weights=("q", "k", "v", "o", "in", "out"))

    @property
    def scale(self) -> float:
        return 1.0 if self.alpha is None else self.alpha / self.rank

    def build(self) -> Moram:
        return Moram(self)


class Memories(Part):
    """All memories of a slot.

    Attributes:
        old_a, old_b: keys (m, in) and values (out, m) of finished tasks, frozen.
        a, b: those of the task at hand, (r, in) and (out, r).
        seen: while it is a list, shares of the kept memories that pass theta and numbers of memories read, call by call.
    """

    def __init__(self, a: Tensor, b: Tensor, config: MoramConfig) -> None:
        super().__init__()
        self.old_a = nn.Parameter(a[:0], requires_grad=False)
        self.old_b = nn.Parameter(b[:, :0], requires_grad=False)
        self.a, self.b = nn.Parameter(a), nn.Parameter(b)
        self.top = config.top or config.rank
        self.tau, self.theta, self.scale = config.tau, config.theta, config.scale
        self.seen: list[Tensor] | None = None

    def forward(self, y: Tensor, x: Tensor) -> Tensor:
        """(..., out), (..., in) -> (..., out)."""
        z = F.linear(x, torch.cat([self.old_a, self.a]))
        h, kept = F.normalize(z.float(), dim=-1).topk(min(self.top, z.shape[-1]), dim=-1)
        w, passes = torch.softmax(h / self.tau, dim=-1), (h >= self.theta) | (self.theta == 0)
        if self.seen is not None:
            read = torch.special.entr(w).sum(dim=-1).exp()
            self.seen.append(torch.stack([passes.float().mean(), read.mean()]))
        if not self.training:
            w = w * passes
        weighted = z * torch.zeros_like(z).scatter(-1, kept, w.to(z.dtype))
        return y + F.linear(weighted, self.scale * torch.cat([self.old_b, self.b], dim=1)).to(y.dtype)

    def learn(self, a: Tensor, b: Tensor) -> None:
        """What is here is finished; go on with fresh memories."""
        self.old_a = nn.Parameter(torch.cat([self.old_a, self.a]).detach(), requires_grad=False)
        self.old_b = nn.Parameter(torch.cat([self.old_b, self.b], dim=1).detach(), requires_grad=False)
        self.a, self.b = nn.Parameter(a), nn.Parameter(b)


class Moram(Method):
    """One ``Memories`` per slot."""

    capturable = True
    mergeable = False
    jumps = "the keys of a new task take part in the choice at once, before its values say anything"

    def __init__(self, config: MoramConfig) -> None:
        super().__init__()
        self.config = config
        self._facts = MethodFacts(trainable_parameters=0)

    def attach(self, learner: Learner, random: RandomStreams) -> None:
        self.slots = learner.place(self.config.placement)

    def begin_task(self, context: TaskContext) -> None:
        for slot in self.slots:
            fresh = fresh_branch(slot, self.config.rank, context.random["init"])
            self._put(slot, fresh.a.detach(), fresh.b.detach())

    def _put(self, slot: Slot, a: Tensor, b: Tensor) -> None:
        if PART in slot.parts:
            self.memories(slot).learn(a, b)
        else:
            slot.parts[PART] = Memories(a, b, self.config)

    def memories(self, slot: Slot) -> Memories:
        """Those of a slot; KeyError before the first task."""
        part = slot.part(PART)
        assert isinstance(part, Memories)
        return part

    def end_task(self, context: TaskContext) -> None:
        trainable = count_parameters(self.parameter_groups())
        passing, read = self._measured(context)
        for part in self.modules().values():
            part.requires_grad_(False)
        ranks = {slot.name: self.config.rank * (context.index + 1) for slot in self.slots}
        carried = tensor_bytes(p for part in self.modules().values() for p in part.parameters())
        found = {"memories_over_theta": round(passing, 4), "memories_read_per_token": round(read, 4)}
        self._facts = MethodFacts(trainable, ranks, carried_bytes=carried, chosen=found)

    @torch.no_grad()
    def _measured(self, context: TaskContext) -> tuple[float, float]:
        """Share of the kept memories that pass theta and memories read per token; means over slots, on one batch of the task."""
        parts = [self.memories(slot) for slot in self.slots]
        for part in parts:
            part.seen = []
        context.learner.forward(next(context.batches()))
        seen = torch.stack([one for part in parts for one in part.seen or []]).mean(dim=0)
        for part in parts:
            part.seen = None
        return float(seen[0]), float(seen[1])

    def parameter_groups(self) -> list[ParameterGroup]:
        learned = [p for slot in self.slots for p in slot.parts.parameters() if p.requires_grad]
        return [ParameterGroup(learned)] if learned else []

    def modules(self) -> Mapping[str, nn.Module]:
        return {slot.name: slot.part(PART) for slot in self.slots if PART in slot.parts}

    def state(self) -> dict[str, Tensor]:
        return {"tasks": torch.tensor(len(self.memories(self.slots[0]).old_a) // self.config.rank + 1)}

    def load_state(self, state: dict[str, Tensor]) -> None:
        for slot in self.slots:
            for _ in range(int(state["tasks"])):
                device, rank = slot.weight.device, self.config.rank
                empty = torch.zeros(rank, slot.in_features, device=device), torch.zeros(slot.out_features, rank, device=device)
                self._put(slot, *empty)

    def facts(self) -> MethodFacts:
        return self._facts
