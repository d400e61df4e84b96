"""A tiny stream learned once and looked at wherever a method could go wrong; what was seen answers most conformance tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from suite.backbones.learner import Batch, Learner, Output, no_choice, own_logits
from suite.benchmarks.stream import Stream
from suite.config import RunConfig
from suite.lowrank.export import merge_live_branches
from suite.lowrank.layer import Slot
from trainables.assemble import assemble
from trainables.checkpoint import module_tensors
from trainables.method import RunPass, Step, TaskContext, count_parameters
from trainables.stream_trainer import StreamTrainer, TaskReport

CPU = torch.device("cpu")


@dataclass
class Seen:
    """What was seen of one task.

    Attributes:
        begun, live, merged, ended: what the network says after ``begin_task``, after the last step, the same with every part that
            has a merged form merged, and after ``end_task``; ``merged`` is None where no part has a merged form.
        held: numbers in the parameters that the optimizer was given.
        losses: task loss of the current batch, step by step.
        batches: the current batch, step by step; of the first task alone.
        term: largest gradient that the method's own terms had in the last step, as a share of the task loss's.
    """

    begun: list[Tensor] = field(default_factory=list)
    live: list[Tensor] = field(default_factory=list)
    merged: list[Tensor] | None = None
    ended: list[Tensor] = field(default_factory=list)
    held: int = 0
    losses: list[float] = field(default_factory=list)
    batches: list[Batch] = field(default_factory=list)
    term: float = 0.0


class Watched:
    """Learns the stream of ``config`` without a break.

    Attributes:
        stream: what is learned, opened once for all that learn it.
        reports: of the trainer, one per task.
        tasks: what was seen, one per task; empty entries where the method takes no part in training at all.
        astray: tensors of the backbone that neither the optimizer nor ``Method.add`` may have changed, and that changed.
        learning: tensors of the backbone that still ask for gradients after the last task.
    """

    def __init__(self, config: RunConfig, data_root: Path) -> None:
        self.config = config
        self.stream = config.benchmark.open(data_root)
        self.trainer = assemble(config, self.stream, CPU)
        self.method, self.learner = self.trainer.method, self.trainer.learner
        self.tasks = [Seen() for _ in self.trainer.stream.tasks]
        self.reports: list[TaskReport] = []
        before = self._backbone()
        self._before = {name: value.clone() for name, value in before.items()}
        self._held: set[int] = set()
        self._watch()
        self._learn()
        self.astray = [name for name, value in self._expected().items() if not torch.equal(value, before[name])]
        parameters = dict(self.learner.network.named_parameters(remove_duplicate=False))
        self.learning = [name for name in before if name in parameters and parameters[name].requires_grad]

    def _learn(self) -> None:
        self.trainer.row_zero = self.trainer.first_row().outcomes
        for index, report in enumerate(self.trainer.rows(0)):
            self.reports.append(report)
            self.tasks[index].ended = said(self.learner)

    def _watch(self) -> None:
        """Looks before and after the method's own hooks; the trainer finds these in the place of the method's."""
        method = self.method
        begin_task, loss, backward, end_task = method.begin_task, method.loss, method.backward, method.end_task

        current = 0

        def begin_and_look(context: TaskContext) -> None:
            nonlocal current
            current = context.index
            begin_task(context)
            self.tasks[context.index].begun = said(self.learner)

        def loss_and_look(step: Step) -> Tensor:
            total = loss(step)
            seen = self.tasks[current]
            if step.index == step.of - 1:
                seen.term = max(seen.term, self._share_of_terms(total, step.outputs[0].loss))
            return total

        def backward_and_look(batches: list[Batch], run: RunPass) -> Tensor:
            """What it returns is the loss of the log; it may have run passes elsewhere, on other rows or at other weights."""
            found = backward(batches, run)
            self.tasks[current].losses.append(float(found))
            self.tasks[current].batches += [batches[0]] if current == 0 else []
            return found

        def look_and_end(context: TaskContext) -> None:
            seen, groups = self.tasks[context.index], method.parameter_groups()
            seen.held = count_parameters(groups)
            self._held |= {parameter.data_ptr() for group in groups for parameter in group.parameters}
            self._look_merged(seen)
            end_task(context)

        hooks: dict[str, Callable[..., Any]] = {
            "begin_task": begin_and_look,
            "loss": loss_and_look,
            "backward": backward_and_look,
            "end_task": look_and_end,
        }
        for name, hook in hooks.items():
            setattr(method, name, hook)

    def _share_of_terms(self, total: Tensor, task: Tensor) -> float:
        """Gradient of what ``total`` has beside the task loss, measured by the task loss's own."""
        parameters = [p for group in self.method.parameter_groups() for p in group.parameters]
        if total is task or not parameters:
            return 0.0
        both = torch.autograd.grad(total, parameters, retain_graph=True, allow_unused=True)
        alone = torch.autograd.grad(task, parameters, retain_graph=True, allow_unused=True)
        zero = torch.zeros(())
        pairs = [
            (zero if one is None else one, zero if other is None else other) for one, other in zip(both, alone, strict=True)
        ]
        apart = max(float((one - other).abs().max()) for one, other in pairs)
        return apart / max(*(float(other.abs().max()) for _, other in pairs), 1e-12)

    def _look_merged(self, seen: Seen) -> None:
        """The network's words with live parts and with their merged forms, then everything as it was."""
        parts = [(slot, slot.part(key)) for slot in self.learner.slots.values() for key in slot.parts]
        mergeable = [(slot, part, found) for slot, part in parts if part.enabled and (found := part.factors()) is not None]
        if not mergeable:
            return
        seen.live = said(self.learner)
        kept = {slot.weight.data_ptr(): (slot.weight, slot.weight.detach().clone()) for slot, _, _ in mergeable}
        for slot, part, factors in mergeable:
            slot.add_to_weight(factors)
            part.enabled = False
        seen.merged = said(self.learner)
        with torch.no_grad():
            for weight, value in kept.values():
                weight.copy_(value)
        for _, part, _ in mergeable:
            part.enabled = True

    @torch.no_grad()
    def untaught_losses(self) -> list[float]:
        """What the first task's batches cost before anything is learned."""
        trainer = assemble(self.config, self.stream, CPU)
        trainer.learner.begin_task(0)
        trainer.method.begin_task(trainer.context(0))
        return [float(trainer.learner.forward(batch).loss) for batch in self.tasks[0].batches]

    def _backbone(self) -> dict[str, Tensor]:
        """Tensors of the network that are no method's, by name."""
        parts = [tensor for site in self.learner.sites.values() for tensor in site.state_dict().values()]
        own = {tensor.data_ptr() for tensor in [*parts, *module_tensors(self.method).values()]}
        return {name: value for name, value in self.learner.network.state_dict().items() if value.data_ptr() not in own}

    @torch.no_grad()
    def _expected(self) -> dict[str, Tensor]:
        """The backbone's tensors as the journal says they must be now; without those that the optimizer was given."""
        now = self._backbone()
        found = {name: self._before[name] for name in self._before if now[name].data_ptr() not in self._held}
        by_place = {now[name].data_ptr(): value for name, value in found.items()}
        for task in self.trainer.journal.tasks:
            for name, added in task.items():
                slot = self.learner.slots[name]
                weight = by_place.get(slot.weight.data_ptr(), slot.weight.clone())  # of what is held nothing is expected
                for factors in added:
                    weight[slot.rows] += factors.b @ factors.a
        return found


def merged_answers(trainer: StreamTrainer) -> list[Tensor] | None:
    """What the bare network says, as ``said``, once all that has a merged form is merged; None where something is left beside it."""
    learner = trainer.learner
    beside = [key for site in learner.sites.values() if not isinstance(site, Slot) for key in site.parts]
    parts = [slot.part(key) for slot in learner.slots.values() for key in slot.parts]
    if beside or trainer.method.modules() or any(part.factors() is None for part in parts):
        return None
    merge_live_branches(trainer.journal)
    learner.before_forward, learner.answer = no_choice, own_logits
    return said(learner)


def said(learner: Learner, *, alone: bool = False) -> list[Tensor]:
    """What the network says of each task's validation split at test time, in the order of the tasks.

    Images: the scores (n, k) by which the method judges them. Texts: the logits of the first answer token of the prompts that are read
    first, and of each task the answers' scores (n,). ``alone`` judges image by image, and the tasks in the opposite order.
    """
    count = len(learner.stream.tasks)
    order = list(reversed(range(count))) if alone else list(range(count))
    with _listening(learner, alone=alone) as heard:
        outcomes = learner.evaluate("validation", order)
    if learner.kind == "clip":
        return heard[::-1] if alone else heard
    scores = [torch.from_numpy(found.scores) for found in outcomes]
    return [*(scores[::-1] if alone else scores), *([] if alone else heard[:1])]


def _rows(output: Output) -> list[Output]:
    """``output`` of each row by itself."""
    pairs = zip(output.logits.split(1), output.features.split(1), strict=True)
    return [Output(None, partial(_itself, logits), partial(_itself, features)) for logits, features in pairs]


def _itself(tensor: Tensor) -> Tensor:
    return tensor


@contextmanager
def _listening(learner: Learner, *, alone: bool) -> Iterator[list[Tensor]]:
    heard: list[Tensor] = []
    if learner.kind == "clip":
        answer: Callable[[Output, Tensor], Tensor] = learner.answer

        def answer_and_note(output: Output, classes: Tensor) -> Tensor:
            rows = _rows(output) if alone else [output]
            heard.append(torch.cat([answer(row, classes) for row in rows]))
            return heard[-1]

        learner.answer = answer_and_note
        try:
            yield heard
        finally:
            learner.answer = answer
    else:
        hook = learner.network.register_forward_hook(lambda _module, _inputs, output: heard.append(output.logits.float()))
        try:
            yield heard
        finally:
            hook.remove()


def plain_reports(config: RunConfig, stream: Stream) -> tuple[StreamTrainer, list[TaskReport]]:
    """``stream`` learned without anybody looking."""
    trainer = assemble(config, stream, CPU)
    trainer.row_zero = trainer.first_row().outcomes
    return trainer, list(trainer.rows(0))
