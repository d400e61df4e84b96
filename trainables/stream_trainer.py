"""The only training loop: for each task train, end it, evaluate, hand over the result. It knows no Ray and no MLflow."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from suite.backbones.learner import Batch, Learner, Outcomes
from suite.benchmarks.stream import Split, Stream, Task, TextTask, learned_tests
from suite.cost_meter import CostMeter, peak_bytes
from suite.data.buckets import length_bucketed_order
from suite.errors import TrainingDiverged
from suite.lowrank.journal import Journal
from suite.parts import TrainingConfig
from suite.randomness import RandomStreams
from suite.runs.record import TaskCosts, TaskResult
from trainables.batch_feed import BatchFeed, HostReader, own_stream
from trainables.captured_step import Part, StepRunner, TaskStep
from trainables.checkpoint import optimizer_tensors, restore_optimizer
from trainables.method import Method, MethodFacts, TaskContext
from trainables.plain_step import PlainStep
from trainables.precision import evaluating
from trainables.worker_group import ALONE, WorkerGroup

EVALUATED: tuple[Split, ...] = ("validation", "test")
Scores = dict[Split, list[Outcomes | None]]  # by task; None where the protocol asks for no evaluation
StepListener = Callable[[int, int, int, float], None]  # task, step, steps of the task, loss
CHECK_EVERY = 20  # steps between looks at the loss; each look waits for the device


@dataclass(frozen=True)
class TaskReport:
    """What is known after ``result.row`` tasks: outcomes of every task on both splits and the row's facts."""

    result: TaskResult
    outcomes: Scores


@dataclass(frozen=True)
class Sample:
    """Some steps of one task: seconds of each, and seconds of all that were spent waiting for batches."""

    seconds: list[float]
    waited: float


@dataclass
class StreamTrainer:
    """Trains ``method`` on ``learner``'s stream; iterate over ``rows`` to do it task by task.

    Attributes:
        journal: what was merged so far; part of every checkpoint.
        plain: learn and evaluate by the plain reference instead of the fast ways.
        optimizer_state: tensors of the last optimizer when the method carries it over tasks.
        untouched: outcomes of row 0; a method that does not train repeats them instead of measuring the same network again.
    """

    learner: Learner
    method: Method
    training: TrainingConfig
    random: RandomStreams
    on_step: StepListener | None = None
    group: WorkerGroup = ALONE
    plain: bool = False
    journal: Journal = field(init=False)
    optimizer_state: dict[str, Tensor] = field(default_factory=dict)
    untouched: Scores | None = None

    def __post_init__(self) -> None:
        self.journal = Journal(self.learner.slots)
        self.learner.plain = self.plain
        self.method.attach(self.learner, self.random)
        steps = [self.step_count(index) for index in range(len(self.stream))]
        self.method.check_budget(self.stream.task_names, steps)

    @property
    def stream(self) -> Stream:
        return self.learner.stream

    def first_row(self) -> TaskReport:
        """Row 0: the untouched backbone."""
        meter = CostMeter(self.learner.device)
        outcomes = self._evaluate(meter, tasks_done=0)
        return TaskReport(TaskResult(row=0, task=None, costs=self._costs(meter, 0, 0)), outcomes)

    def rows(self, start: int) -> Iterator[TaskReport]:
        """Learn task after task from index ``start`` on and yield after each; the caller may stop iterating.

        Raises:
            TrainingDiverged: the loss became NaN or infinite.
        """
        for index in range(start, len(self.stream)):
            yield self._task(index)

    def _task(self, index: int) -> TaskReport:
        meter = CostMeter(self.learner.device)
        task = self.stream.tasks[index]
        self.learner.begin_task(index)
        context = TaskContext(
            index, task, self.step_count(index), self.training.batch_size, self.learner, self.random
        )
        loss, step_facts = self._train(context, meter) if self.method.trains else (None, {})
        self.journal.add(self.method.merged)
        self.method.merged.clear()
        outcomes = self._evaluate(meter, index + 1)
        facts = self.method.facts()
        result = TaskResult(
            row=index + 1,
            task=task.name,
            costs=self._costs(meter, facts.trainable_parameters, facts.carried_bytes),
            effective_rank=facts.effective_rank,
            no_signal_rank=facts.no_signal_rank,
            update_norm=self.journal.update_norms(),
            cumulative_norm=self.journal.cumulative_norms(),
            train_loss=loss,
            facts=_together(self.learner.facts(), _copies(task), facts, step_facts),
        )
        return TaskReport(result, outcomes)

    def sample_steps(self, index: int, count: int) -> Sample:
        """The first ``count`` steps of a task, ended as after its last one: for forecasts and measurements, not for results."""
        self.learner.begin_task(index)
        task = self.stream.tasks[index]
        context = TaskContext(index, task, self.step_count(index), self.training.batch_size, self.learner, self.random)
        if not self.method.trains:
            return Sample([0.0] * count, 0.0)
        seconds: list[float] = []
        with own_stream(self.learner.device):
            self.method.begin_task(context)
            steps, feed = self._task_step(context), self._feed(context, count)
            start = time.perf_counter()
            for step_index, parts in enumerate(feed):
                steps(step_index, learning_rate(self.training, step_index, context.steps), parts).item()  # waits for the device
                seconds.append(time.perf_counter() - start)
                start = time.perf_counter()
            self.method.end_task(context)
        self.journal.add(self.method.merged)
        self.method.merged.clear()
        return Sample(seconds, feed.waited)

    def sample_evaluation(self, tasks: Sequence[int]) -> float:
        """Seconds of evaluating ``tasks`` on both splits, as after a task: nothing is remembered from another evaluation."""
        self.learner.begin_task(len(self.stream) - 1)
        start = time.perf_counter()
        with evaluating(self.training, self.learner.device):
            for split in EVALUATED:
                self.learner.evaluate(split, tasks)
        return time.perf_counter() - start

    def step_count(self, index: int) -> int:
        """Optimizer steps of a task under the run's budget."""
        if self.training.steps is not None:
            return self.training.steps
        task = self.stream.tasks[index]
        own = task.epochs if isinstance(task, TextTask) else 1
        epochs = self.training.epochs if self.training.epochs is not None else own
        return max(1, math.ceil(epochs * math.ceil(len(task.train) / self.training.batch_size)))

    def _train(self, context: TaskContext, meter: CostMeter) -> tuple[float, dict[str, Any]]:
        """All steps of one task; returns the mean task loss over the last tenth of them and how they were run."""
        with own_stream(self.learner.device):
            self.method.begin_task(context)
            steps, feed = self._task_step(context), self._feed(context, context.steps)
            losses = torch.zeros(context.steps, device=self.learner.device)
            for index, parts in enumerate(feed):
                losses[index] = steps(index, learning_rate(self.training, index, context.steps), parts)
                if index % CHECK_EVERY == CHECK_EVERY - 1 or index == context.steps - 1:
                    self._look(context, index, losses[index])
            self.method.end_task(context)
        if self.method.carry_optimizer:
            self.optimizer_state = optimizer_tensors(steps.optimizer)
        loss = float(losses[-max(1, context.steps // 10) :].mean())  # waits for the device
        meter.steps, meter.wait_seconds, meter.train_seconds = context.steps, feed.waited, meter.wall_seconds()
        return loss, {"steps_run": f"eagerly: {steps.eager_because}" if steps.eager_because else "recorded"}

    def _task_step(self, context: TaskContext) -> StepRunner:
        kind: type[PlainStep] | type[TaskStep] = PlainStep if self.plain else TaskStep
        steps: StepRunner = kind(context, self.method, self.training, self.group)
        if self.method.carry_optimizer and self.optimizer_state:
            restore_optimizer(steps.optimizer, self.optimizer_state)
        return steps

    def _feed(self, context: TaskContext, count: int) -> BatchFeed:
        batches = self._row_batches(context)
        reads_host = isinstance(self.learner, HostReader) and self.learner.reads_host(context.index)
        return BatchFeed(
            lambda: self._parts(context, next(batches)), count, self.learner.device, ahead=reads_host and self.method.capturable
        )

    def _parts(self, context: TaskContext, rows: Tensor) -> list[Part]:
        """The forward passes of one step over ``rows`` of the task."""
        parts = []
        for some in rows.split(self.training.micro_batch_size or len(rows)):
            current = self.learner.batch(torch.full_like(some, context.index), some, self.random["augment"])
            whole: list[Batch] = [current, *self.method.extra_batches(context, current)]
            batches, weight = self.group.share(whole)
            parts.append(Part(batches, weight * len(some) / len(rows)))
        return parts

    def _row_batches(self, context: TaskContext) -> Iterator[Tensor]:
        """Rows of the training split, shuffled anew every epoch, the last partial batch kept."""
        generator = self.random["batch"]
        count, size = len(context.task.train), self.training.batch_size
        lengths = self.learner.lengths(context.index)
        while True:
            if lengths is None:
                yield from torch.randperm(count, generator=generator).split(size)
            else:
                yield from length_bucketed_order(lengths, size, generator)

    def _look(self, context: TaskContext, index: int, loss: Tensor) -> None:
        value = float(loss)
        if not math.isfinite(value):
            raise TrainingDiverged(
                f"task '{context.task.name}', step {index + 1} of {context.steps}: the loss is {value}; lower training.lr or "
                "set training.clip_norm."
            )
        if self.on_step:
            self.on_step(context.index, index + 1, context.steps, value)

    def _evaluate(self, meter: CostMeter, tasks_done: int) -> Scores:
        judged = self.stream.judged_after(tasks_done)
        if self.untouched is not None and not self.method.trains:
            return {split: [found[t] if t in judged else None for t in range(len(found))] for split, found in self.untouched.items()}
        start = time.perf_counter()
        outcomes: Scores = {}
        with evaluating(self.training, self.learner.device):
            for split in EVALUATED:
                own = self.group.own(judged) if tasks_done else judged  # row 0 is measured by the first worker alone
                found = dict(zip(own, self.learner.evaluate(split, own), strict=True)) if own else {}
                found = self.group.together(found) if tasks_done else found
                outcomes[split] = [found.get(task) for task in range(len(self.stream))]
        meter.evaluate_seconds += time.perf_counter() - start
        return outcomes

    def _costs(self, meter: CostMeter, trainable: int, carried: int) -> TaskCosts:
        return TaskCosts(
            steps=meter.steps,
            wall_seconds=meter.wall_seconds(),
            train_seconds=meter.train_seconds,
            evaluate_seconds=meter.evaluate_seconds,
            device_seconds=meter.device_seconds(),
            peak_bytes=peak_bytes(),
            device_peak_bytes=meter.device_peak_bytes(),
            wait_seconds=meter.wait_seconds if meter.steps else None,
            trainable_parameters=trainable,
            carried_bytes=carried,
        )


def _copies(task: Task) -> dict[str, Any]:
    """How many test examples the task also learns from, where there are any."""
    copies = learned_tests(task)
    if not copies:
        return {}
    note = f"{task.name}: {len(copies)} of {len(task.test)} test examples are exact copies of training or validation examples, first '{copies[0]}'"
    return {"test_copies": len(copies), "notes": [note]}


def _together(
    of_learner: Mapping[str, Any], of_data: Mapping[str, Any], of_method: MethodFacts, of_steps: Mapping[str, Any]
) -> dict[str, Any]:
    """Facts of a task; all notes in one list."""
    notes = [*of_learner.get("notes", []), *of_data.get("notes", []), *of_method.notes]
    return {**of_learner, **of_data, **of_method.chosen, **of_steps, **({"notes": notes} if notes else {})}


def learning_rate(config: TrainingConfig, step: int, steps: int) -> float:
    """Rate of step 0..steps-1: linear warm-up, then 0.5 (1 + cos(pi s / steps)) lr, or constant."""
    if step < config.warmup_steps:
        return config.lr * (step + 1) / config.warmup_steps
    if config.schedule == "constant":
        return config.lr
    span = max(1, steps - config.warmup_steps)
    return 0.5 * (1.0 + math.cos(math.pi * (step - config.warmup_steps) / span)) * config.lr
