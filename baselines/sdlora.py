"""SD-LoRA: the directions of earlier tasks stay as they are, the magnitudes of all tasks are learned on.

    y = W x + b + sum over tasks i <= t of  alpha_i B_i A_i x,     A_i (r, in), B_i (out, r) frozen for i < t

alpha_i is one number per task, shared by all layers and projections (``magnitude=global``, both public codes), or one per task and slot.
The release divides a finished task's factors by their Frobenius norms, so that the function jumps there, and sets every alpha back to its
initial value at each task (``renormalise=release``, ``carry_magnitudes=false``). The defaults here keep the norms in the factors, which is
the same as folding them into alpha, and carry what was learned, so that nothing jumps.

Source: arXiv 2501.13198; WuYichen-97/SD-Lora-CL (commit 8bacded) backbone/lora.py, models/sdlora.py, exps/sdlora_*.json; second
implementation in RL-VIG/LibContinual core/model/sd_lora.py. Published: q and v of a ViT-B/16 (``vision:qv``), rank 10, magnitudes begin at
0.8, SGD with momentum 0.9 (``training.optimizer=sgd``; the files say Adam, the code takes SGD) at 8e-3 to 2e-2, batch 128.
The release's orthogonality term is left out: it is computed there and never added. ``absorb`` is the knowledge-distillation variant (KD):
a direction that the earlier ones of its slot span is dropped and its share added to their magnitudes; ranks that fall with the tasks
(RR) are not offered. Slots are told apart by ``Branch.scale`` where absorbing gives them different magnitudes.
"""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from suite.backbones.learner import Batch, Learner
from suite.lowrank.layer import Slot, fresh_branch
from suite.lowrank.placement import Placement
from suite.parts import MethodConfig
from suite.randomness import RandomStreams
from trainables.method import Method, MethodFacts, ParameterGroup, RunPass, Step, TaskContext, count_parameters, tensor_bytes


class SdLoraConfig(MethodConfig):
    """Hyperparameters.

    Attributes:
        magnitude: ``global`` = one alpha per task, ``per_slot`` = one per task and slot.
        magnitude_init: alpha of a new task.
        magnitude_lr_multiplier: learning rate of the magnitudes as a multiple of the factors'.
        carry_magnitudes: go on with what was learned; false sets all to ``magnitude_init`` at every task (release).
        renormalise: ``fold`` keeps the norms of finished factors, ``release`` divides them out.
        absorb: drop a new direction whose relative residual over the earlier ones of its slot is below this (LibContinual 9e-4).
    """

    knows_later_tasks = False
    name: Literal["sdlora"] = "sdlora"
    rank: Annotated[int, Field(ge=1, le=512)] = 10
    placement: Placement = Placement(weights=("q", "v"))
    magnitude: Literal["global", "per_slot"] = "global"
    magnitude_init: Annotated[float, Field(gt=0)] = 0.8
    magnitude_lr_multiplier: Annotated[float, Field(ge=0)] = 1.0
    carry_magnitudes: bool = True
    renormalise: Literal["fold", "release"] = "fold"
    absorb: Annotated[float, Field(ge=0, lt=1)] | None = None

    def build(self) -> SdLora:
        return SdLora(self)


class SdLora(Method):
    """One branch ``task<i>`` per task and slot; its gate holds alpha_i in each of its r places.

    Attributes:
        magnitudes: (tasks begun, 1 or slots), the trained alphas; gates repeat them and hand their gradients back.
    """

    capturable = True

    def __init__(self, config: SdLoraConfig) -> None:
        super().__init__()
        self.config = config
        self.magnitudes = nn.Parameter(torch.empty(0, 1))
        self._gates = torch.empty(0)  # (tasks, slots, r), of which every branch's gate is a part
        self._facts = MethodFacts(trainable_parameters=0)
        if config.renormalise == "release" or not config.carry_magnitudes:
            self.jumps = "norms are divided out of finished directions or magnitudes begin anew, as in the release"

    def attach(self, learner: Learner, random: RandomStreams) -> None:
        self.slots = learner.place(self.config.placement)
        columns = 1 if self.config.magnitude == "global" else len(self.slots)
        self.magnitudes = nn.Parameter(torch.empty(0, columns, device=learner.device))

    def begin_task(self, context: TaskContext) -> None:
        config, before = self.config, self.magnitudes.detach()
        grown = torch.cat([before, before.new_empty(1, before.shape[1])])
        grown[-1 if config.carry_magnitudes else slice(None)] = config.magnitude_init
        self.magnitudes = nn.Parameter(grown)
        for slot in self.slots:
            slot.parts[f"task{context.index}"] = fresh_branch(slot, config.rank, context.random["init"])
        self._gates = torch.empty(len(grown), len(self.slots), config.rank, device=grown.device)
        self._fill_gates()
        for number, slot in enumerate(self.slots):
            for task in tasks_of(slot):
                slot.branch(f"task{task}").gate = nn.Parameter(self._gates[task, number])

    @torch.no_grad()
    def _fill_gates(self) -> None:
        self._gates.copy_(self.magnitudes[:, :, None])

    def parameter_groups(self) -> list[ParameterGroup]:
        newest = f"task{len(self.magnitudes) - 1}"
        branches = [slot.branch(newest) for slot in self.slots if newest in slot.parts]
        factors = [p for branch in branches for p in (branch.a, branch.b)]
        return [
            ParameterGroup(factors),
            ParameterGroup([self.magnitudes], self.config.magnitude_lr_multiplier, weight_decay=0.0),
        ]

    def backward(self, batches: list[Batch], run: RunPass) -> Tensor:
        """Magnitudes stand in the network as gates, so their gradients are sums of the gates'."""
        loss = run(batches)
        rows = torch.zeros(self._gates.shape[:2], device=self._gates.device)
        for number, slot in enumerate(self.slots):
            for task in tasks_of(slot):
                gate = slot.branch(f"task{task}").gate
                if gate is not None and gate.grad is not None:
                    rows[task, number] = gate.grad.sum()
                    gate.grad = None
        found = rows.sum(dim=1, keepdim=True) if self.config.magnitude == "global" else rows
        self.magnitudes.grad = found if self.magnitudes.grad is None else self.magnitudes.grad + found
        return loss

    def after_step(self, step: Step) -> None:
        self._fill_gates()

    @torch.no_grad()
    def end_task(self, context: TaskContext) -> None:
        trainable = count_parameters(self.parameter_groups())
        newest = f"task{context.index}"
        for number, slot in enumerate(self.slots):
            branch = slot.branch(newest)
            if self.config.renormalise == "release":
                for factor in (branch.a, branch.b):
                    factor.div_(factor.norm().clamp(min=1e-12))
            if self.config.absorb is not None:
                self._absorb(slot, number, context.index)
            slot.parts.requires_grad_(False)
        ranks = {slot.name: self.config.rank * len(slot.parts) for slot in self.slots}
        carried = tensor_bytes([*self.state().values(), *(p for slot in self.slots for p in slot.parts.parameters())])
        self._facts = MethodFacts(trainable, ranks, carried_bytes=carried)

    def _absorb(self, slot: Slot, number: int, newest: int) -> None:
        """Least squares of the newest update on the earlier ones; where these span it their scales take it over."""
        earlier = tasks_of(slot)[:-1]
        products = torch.stack(
            [(f.b @ f.a).double().flatten() for f in (slot.branch(f"task{i}").factors() for i in [*earlier, newest]) if f]
        )
        target, known = products[-1], products[:-1]
        if not earlier or not target.norm():
            return
        shares = torch.linalg.lstsq(known.T, target[:, None]).solution[:, 0]
        if (known.T @ shares - target).norm() >= self.config.absorb * target.norm():
            return
        for task, share in zip(earlier, shares.tolist(), strict=True):
            slot.branch(f"task{task}").scale *= 1 + share
        del slot.parts[f"task{newest}"]

    def state(self) -> dict[str, Tensor]:
        return {"magnitudes": self.magnitudes.detach()}

    def load_state(self, state: dict[str, Tensor]) -> None:
        self.magnitudes = nn.Parameter(state["magnitudes"].to(self.magnitudes.device))

    def facts(self) -> MethodFacts:
        return self._facts


def tasks_of(slot: Slot) -> list[int]:
    """Tasks whose direction stands in the slot, in their order."""
    return [int(key.removeprefix("task")) for key in slot.parts]
