"""DER++ around any method: replay that also holds the network to what it once answered on the stored rows.

    L = L_inner(current batch) + alpha D(z(x_m), h_m) + beta CE(x'_m, y'_m),      two independent draws m, m' from one memory

Images: z are the cosines with the classes of the row's own task, h those of the network after that task, D their mean squared difference.
Texts (``derpp_topk``): h are the ``top`` largest log-probabilities of every answer token, D is KL(h || z) over these and the rest as one.

Source: arXiv 2004.07211; aimagelab/mammoth (commit e75a491) models/derpp.py, models/config/derpp.yaml: alpha 0.3, beta 0.5, 500 rows, a
ResNet. Its logits are unbounded, cosines lie within 1, so alpha may have to be much larger here. mammoth stores what the network says while it learns the
row; here it is the finished task's network on the row as it is, not augmented.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from baselines.distillation import asked
from baselines.memory import REFERENCE_BYTES, JudgedAmong, RowMemory, Selection
from suite.backbones.learner import Batch, Learner, Output
from suite.parts import MethodConfig
from suite.randomness import RandomStreams
from trainables.method import Step, TaskContext, tensor_bytes
from trainables.wrapper import Wrapper, WrapperConfig

Row = tuple[int, int]  # task, row of its training split


class DerppConfig(WrapperConfig):
    """Hyperparameters.

    Attributes:
        inner: the method that learns, by its name or with its fields; ``lora`` by itself.
        memory_size, selection, memory_share, label_space: as of ``replay``; either draw has ``memory_share``.
        alpha: of the distance to the stored answers.
        beta: of the mean loss over the other draw; with ``alpha`` 0 this is ``replay`` with that weight.
        top: log-probabilities stored per answer token; images have all their classes.
    """

    knows_later_tasks = False
    of_earlier_tasks = frozenset({"memory_share", "beta", "label_space"})
    name: Literal["derpp"] = "derpp"
    memory_size: Annotated[int, Field(ge=0)] = 500
    selection: Selection = "reservoir"
    memory_share: Annotated[float, Field(gt=0, le=4)] = 0.5
    label_space: JudgedAmong = "protocol"
    alpha: Annotated[float, Field(ge=0)] = 0.3
    beta: Annotated[float, Field(ge=0)] = 0.5
    top: Annotated[int, Field(ge=1)] = 64

    def degenerate_settings(self) -> Sequence[tuple[MethodConfig, Mapping[str, Any]]]:
        inner = self.inner.model_dump()
        shared = ("memory_size", "selection", "memory_share", "label_space")
        replay = {"name": "replay", "inner": inner, "weight": self.beta, **{key: getattr(self, key) for key in shared}}
        off = self.model_copy(update={"alpha": 0.0, "beta": 0.0})
        return [(off, inner), (self.model_copy(update={"alpha": 0.0}), replay)]

    def build(self) -> Derpp:
        return Derpp(self)


class Derpp(Wrapper):
    """The inner method, a memory of (task, row) pairs and what was answered on each.

    Attributes:
        answers: row -> cosines (classes of its task,), or log-probabilities (answer tokens, top).
        ids: row -> token ids (answer tokens, top); empty for images.
    """

    extra_data = "stored examples"
    other_weights = True  # those that gave the stored answers

    def __init__(self, config: DerppConfig) -> None:
        super().__init__(config)
        self.config = config
        self.memory = RowMemory(config.memory_size, config.selection)
        self.answers: dict[Row, Tensor] = {}
        self.ids: dict[Row, Tensor] = {}

    def check_budget(self, tasks: Sequence[str], steps: Sequence[int]) -> None:
        super().check_budget(tasks, steps)
        self.memory.require_room(len(tasks), self.config.name)

    def attach(self, learner: Learner, random: RandomStreams) -> None:
        super().attach(learner, random)
        self.learner = learner

    def own_batches(self, context: TaskContext, current: Batch) -> list[Batch]:
        """First the rows that are compared with their stored answers, where there are such, then those that are learned again."""
        if not len(self.memory):
            return []
        count, found = max(1, round(len(current) * self.config.memory_share)), []
        if self.config.alpha:
            batch = self.memory.draw(context, count, "own", by="memory answers")
            found.append(batch.without_labels() if self.learner.kind == "clip" else batch)
        if self.config.beta:
            found.append(self.memory.draw(context, count, self.config.label_space))
        return found

    def term(self, step: Step, own: Sequence[tuple[Batch, Output]]) -> Tensor | None:
        if not own:
            return None
        replayed = self.config.beta * own[-1][1].loss if self.config.beta else None
        if not self.config.alpha:
            return replayed
        held = self.config.alpha * self.distance(*own[0])
        return held if replayed is None else held + replayed

    def distance(self, batch: Batch, output: Output) -> Tensor:
        """D between what the network says of stored rows and what it said then, a scalar."""
        rows, device = places(batch), self.learner.device
        then = torch.cat([self.answers[row] for row in rows]).to(device)
        if self.learner.kind == "clip":
            return F.mse_loss(torch.cat(list(self._cosines(batch, output))), then)
        ids = torch.cat([self.ids[row] for row in rows]).to(device)
        now = self.learner.distil_logits(batch, output).float().log_softmax(dim=1)
        return bucket_divergence(then, now.gather(1, ids))

    def _cosines(self, batch: Batch, output: Output) -> Iterator[Tensor]:
        """Row by row with the classes of its own task."""
        tasks = sorted(set(batch.tasks.tolist()))
        classes = {task: self.learner.class_features([task], judged=False).float() for task in tasks}
        for feature, task in zip(output.features.float(), batch.tasks.tolist(), strict=True):
            yield classes[task] @ feature

    def end_task(self, context: TaskContext) -> None:
        super().end_task(context)
        self.memory.insert(context)
        kept = {(task, row) for task, row in self.memory.rows.tolist()}
        self.answers = {row: value for row, value in self.answers.items() if row in kept}
        self.ids = {row: value for row, value in self.ids.items() if row in kept}
        new = torch.tensor(sorted(row for task, row in kept if task == context.index), dtype=torch.int64)
        with asked(self.learner):
            for batch in context.batches():
                some = torch.isin(batch.rows, new).nonzero()[:, 0]
                if self.config.alpha and len(some):
                    self._note(batch.part(some))

    def _note(self, batch: Batch) -> None:
        """Store what the network says of rows of one task."""
        if self.learner.kind == "clip":
            found = self._cosines(batch, self.learner.forward(batch.without_labels()))
            self.answers |= {row: value.cpu() for row, value in zip(places(batch), found, strict=True)}
            return
        for one in batch.one_by_one():  # answers differ in length
            shares = self.learner.distil_logits(one, self.learner.forward(one)).float().log_softmax(dim=1)
            value, ids = shares.topk(min(self.config.top, shares.shape[1]), dim=1)
            self.answers[places(one)[0]], self.ids[places(one)[0]] = value.cpu(), ids.cpu()

    def state(self) -> dict[str, Tensor]:
        """Answers one below the other in the order of the memory, and how long each is."""
        found = {**super().state(), **self.memory.state()}
        for name, stored in (("answers", self.answers), ("ids", self.ids)):
            if stored:
                rows = [stored[(task, row)] for task, row in self.memory.rows.tolist()]
                found |= {name: torch.cat(rows), f"{name} in each": torch.tensor([len(row) for row in rows])}
        return found

    def load_state(self, state: dict[str, Tensor]) -> None:
        super().load_state(state)
        self.memory.load_state(state)
        rows = [(task, row) for task, row in self.memory.rows.tolist()]
        for name, stored in (("answers", self.answers), ("ids", self.ids)):
            stored.clear()
            if name in state:
                stored.update(zip(rows, state[name].split(state[f"{name} in each"].tolist()), strict=True))

    def own_bytes(self) -> int:
        tensors = [*self.answers.values(), *self.ids.values()]
        return REFERENCE_BYTES * len(self.memory) + 8 * len(tensors) + tensor_bytes(tensors)


def places(batch: Batch) -> list[Row]:
    """Task and row of each of the batch's rows."""
    return list(zip(batch.tasks.tolist(), batch.rows.tolist(), strict=True))


def bucket_divergence(then: Tensor, now: Tensor) -> Tensor:
    """Mean over tokens of KL over k + 1 buckets: k log-probabilities (tokens, k) each and what they leave of 1."""
    rest_then, rest_now = ((1 - shares.exp().sum(dim=1)).clamp(min=1e-7) for shares in (then, now))
    inside = (then.exp() * (then - now)).sum(dim=1)
    return (inside + rest_then * (rest_then.log() - rest_now.log())).mean()
