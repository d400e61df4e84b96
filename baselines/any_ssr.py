"""Any-SSR: one LoRA per task above shared layers, and a ridge regression that sends every example to a task's LoRA.

    y = W x + b + (alpha / r) B_t A_t x    in the layers from ``shared_layers`` on,    t = argmax_i (q(x) V)_i at test time
    V = (sum q^T q + ridge I)^-1 sum q^T e_task    over the training rows of all tasks,    V (width, tasks)

q(x) (width,) is the mean state of an example's tokens behind the shared layers, which stay as they are, so that it needs no LoRA; of a
prompt neither padding nor answer counts. The sums are taken in once, task after task, and give what all rows at once would: neither order
matters, and nothing that was learned ever changes. What remains to forget is the routing: its accuracy on the validation rows of the tasks
so far stands among each task's facts as ``router_accuracy``. With tasks that look as different as TRACE's it is close to 1, and the method
then shows what knowing the task alone gives.

Source: ICCV 2025; ZHUANGHP/Any-SSR (commit bfc65a5) train_router_ana_continual.py: layers 0-3 shared, ridge 100, rate 1e-4, 10 epochs.
There a random linear map to 10,000 numbers comes before the regression; without a non-linearity it adds nothing, so it is left out, and
padding enters the mean. Rank, scale and slots are those of TRACE's LoRA. On a CLIP the LoRAs stand in the image encoder alone: the
texts of classes belong to no one example.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from suite.backbones.learner import Learner, slot_address
from suite.backbones.token_sites import is_continued
from suite.errors import ConfigError
from suite.lowrank.layer import fresh_branch
from suite.lowrank.placement import Placement
from suite.parts import MethodConfig
from suite.randomness import RandomStreams
from trainables.method import Method, MethodFacts, TaskContext, count_parameters, tensor_bytes


class AnySsrConfig(MethodConfig):
    """Hyperparameters; ``alpha`` null means a scale of 1, otherwise the scale is alpha / rank.

    Attributes:
        shared_layers: layers without LoRA, behind which examples are told apart; null = an eighth of them, at least one (4 of 32).
        ridge: strength of the penalty on V.
    """

    knows_later_tasks = False
    name: Literal["any-ssr"] = "any-ssr"
    rank: Annotated[int, Field(ge=1, le=512)] = 8
    alpha: Annotated[float, Field(gt=0)] | None = 32.0
    placement: Placement = Placement(weights=("q", "v"))
    shared_layers: Annotated[int, Field(ge=1)] | None = None
    ridge: Annotated[float, Field(gt=0)] = 100.0

    @property
    def scale(self) -> float:
        return 1.0 if self.alpha is None else self.alpha / self.rank

    def build(self) -> AnySsr:
        return AnySsr(self)


class OwnRows:
    """What stands between A and B of a task's branch: rows that were sent elsewhere are 0; all count where nothing was sent."""

    def __init__(self, method: AnySsr, task: int) -> None:
        self.method, self.task = method, task

    def __call__(self, x: Tensor, low: Tensor) -> Tensor:  # (n, tokens, in), (n, tokens, r) -> (n, tokens, r)
        route = self.method.route
        return low if route is None else low * (route == self.task)[:, None, None]


class AnySsr(Method):
    """One branch ``task<i>`` per task and slot; finished ones are frozen.

    Attributes:
        route: (n,) tasks of the rows of the coming forward pass; None: all belong to the task at hand.
        gram, sums: of the regression, (width, width) and (width, tasks finished), fp64 on the CPU.
    """

    capturable = True
    mergeable = False

    def __init__(self, config: AnySsrConfig) -> None:
        super().__init__()
        self.config = config
        self.begun = 0
        self.route: Tensor | None = None
        self.gram, self.sums = torch.empty(0, 0), torch.empty(0, 0)
        self._sent: dict[int, int] = {}  # prompt that is being answered -> task
        self._facts = MethodFacts(trainable_parameters=0)

    def attach(self, learner: Learner, random: RandomStreams) -> None:
        self.learner = learner
        placed = [(slot, slot_address(slot.name)) for slot in learner.place(self.config.placement)]
        count = 1 + max(layer for encoder, layer, _ in map(slot_address, learner.slots) if encoder != "text")
        self.shared = self.config.shared_layers or max(1, count // 8)
        self.slots = [slot for slot, (encoder, layer, _) in placed if encoder != "text" and layer >= self.shared]
        if not self.slots:
            raise ConfigError(
                f"any-ssr: placement '{self.config.placement}' has nothing behind the first {self.shared} of {count} layers"
                f"{' of the image encoder' if learner.kind == 'clip' else ''}; use a smaller method.shared_layers or another placement."
            )

    def begin_task(self, context: TaskContext) -> None:
        for slot in self.slots:
            branch = fresh_branch(slot, self.config.rank, context.random["init"], scale=self.config.scale)
            branch.middle = OwnRows(self, context.index)
            slot.parts[f"task{context.index}"] = branch
        self.begun = context.index + 1

    @property
    def finished(self) -> int:
        """Tasks that examples are sent to."""
        return self.sums.shape[1]

    def before_forward(self, inputs: Mapping[str, Tensor], *, training: bool) -> None:
        self._switch(training)
        if training or not self.finished:
            self.route = None
        elif is_continued(inputs):
            self.route = torch.tensor([self._sent[prompt] for prompt in inputs["example"].tolist()], device=self.learner.device)
        else:
            self.route = self.routed(inputs)
            if "example" in inputs:
                self._sent |= zip(inputs["example"].tolist(), self.route.tolist(), strict=True)

    def _switch(self, training: bool) -> None:
        """The branch of the task at hand alone in training, those of finished tasks at test time."""
        for slot in self.slots:
            for key in slot.parts:
                task = int(key.removeprefix("task"))
                slot.part(key).enabled = task == self.begun - 1 if training else task < self.finished

    def routed(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """(n,) the task of each row."""
        best: Tensor = (self.query(inputs) @ self.solution()).argmax(dim=1)
        return best.to(self.learner.device)

    def query(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """(n, width) fp64 on the CPU."""
        self.route = None  # of the rows before, whose number may be another
        return self.learner.query(inputs, layers=self.shared).double().cpu()

    def solution(self) -> Tensor:
        """V (width, tasks finished)."""
        eye = torch.eye(len(self.gram), dtype=self.gram.dtype)
        found: Tensor = torch.linalg.solve(self.gram + self.config.ridge * eye, self.sums)
        return found

    @torch.no_grad()
    def end_task(self, context: TaskContext) -> None:
        trainable = count_parameters(self.parameter_groups())
        rows = torch.cat([self.query(batch.inputs) for batch in context.batches()])
        width = rows.shape[1]
        gram, sums = (self.gram, self.sums) if self.finished else (rows.new_zeros(width, width), rows.new_zeros(width, 0))
        self.gram, self.sums = gram + rows.T @ rows, torch.cat([sums, rows.sum(dim=0)[:, None]], dim=1)
        for slot in self.slots:
            slot.parts.requires_grad_(False)
        ranks = {slot.name: self.config.rank for slot in self.slots}  # an example passes one task's branch alone
        carried = tensor_bytes([*self.state().values(), *(p for slot in self.slots for p in slot.parts.parameters())])
        found = {"router_accuracy": round(self.router_accuracy(context), 4)}
        self._facts = MethodFacts(trainable, ranks, carried_bytes=carried, chosen=found)

    def router_accuracy(self, context: TaskContext) -> float:
        """Share of the validation rows of all finished tasks that are sent to their own; every task counts alike."""
        shares = []
        for task in range(self.finished):
            batches = self.learner.batches(task, "validation", context.batch_size)
            shares.append(torch.cat([self.routed(batch.inputs) == task for batch in batches]).double().mean())
        return float(torch.stack(shares).mean())

    def state(self) -> dict[str, Tensor]:
        return {"gram": self.gram, "sums": self.sums}

    def load_state(self, state: dict[str, Tensor]) -> None:
        self.gram, self.sums = state["gram"], state["sums"]
        self.begun = self.finished
        for slot in self.slots:
            for task in range(self.finished):
                slot.branch(f"task{task}").middle = OwnRows(self, task)

    def facts(self) -> MethodFacts:
        return self._facts
