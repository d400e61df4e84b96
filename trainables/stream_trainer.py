"""The only training loop: for each task train, end it, evaluate, hand over the result. It knows no Ray and no MLflow."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from suite.backbones.learner import Learner, Outcomes, Output, no_choice
from suite.benchmarks.stream import Stream
from suite.cost_meter import CostMeter
from suite.data.buckets import epoch_after_epoch
from suite.data.examples import Split
from suite.errors import TrainingDiverged
from suite.lowrank.inject import add_branches_late
from suite.lowrank.journal import Journal
from suite.parts import TrainingConfig
from suite.randomness import RandomStreams
from suite.runs.record import TaskResult
from suite.side_stream import SideStream
from trainables.batch_feed import BatchFeed, own_stream
from trainables.budget import learning_rate, step_count
from trainables.captured_step import StepRunner, TaskStep, WarmUp
from trainables.checkpoint import optimizer_tensors, restore_optimizer
from trainables.faults import checked_batches, checked_facts, checked_scores, checked_steps
from trainables.method import Method, TaskContext
from trainables.needs import check_needs
from trainables.passes import Pass
from trainables.plain_step import PlainStep
from trainables.precision import evaluating
from trainables.sampled_steps import Sample
from trainables.task_facts import costs, data_facts, together
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


@dataclass
class StreamTrainer:
    """Trains ``method`` on ``learner``'s stream; iterate over ``rows`` to do it task by task.

    Attributes:
        journal: what was merged so far; part of every checkpoint.
        plain: learn and evaluate by the plain reference instead of the fast ways.
        optimizer_state: tensors of the last optimizer when the method carries it over tasks.
        warm_up: what eager steps of this run have made ready for recording others.
        row_zero: outcomes of row 0; a method that does not train (``never_changes``) repeats them instead of measuring the same network again.
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
    warm_up: WarmUp = field(default_factory=WarmUp)
    row_zero: Scores | None = None
    never_changes: bool = field(init=False)

    def __post_init__(self) -> None:
        has_references = self.learner.references is not None
        check_needs(self.method, self.learner.kind, self.training, self.stream.task_names, references=has_references)
        self.journal = Journal(self.learner.slots)
        self.learner.plain = self.plain
        if self.training.kernels == "triton" and not self.plain:
            add_branches_late(self.learner.network)
        if self.training.encoders == "at_once" and not self.plain:
            self.learner.side = SideStream(self.learner.device)
        self.learner.label_smoothing = self.training.label_smoothing
        self.learner.before_forward = self.method.before_forward if self.method.chooses else no_choice
        self.learner.answer = self._answer
        self.method.attach(self.learner, self.random)
        steps = [self.step_count(index) for index in range(len(self.stream))]
        self.method.check_budget(self.stream.task_names, steps)
        self.never_changes = self._steps(self.context(0)) is None

    @property
    def stream(self) -> Stream:
        return self.learner.stream

    def first_row(self) -> TaskReport:
        """Row 0: the untouched backbone."""
        meter = CostMeter(self.learner.device)
        outcomes = self._evaluate(meter, tasks_done=0)
        return TaskReport(TaskResult(row=0, task=None, costs=costs(meter, 0, 0)), outcomes)

    def rows(self, start: int) -> Iterator[TaskReport]:
        """Learn task after task from index ``start`` on and yield after each; the caller may stop iterating.

        Raises:
            TrainingDiverged: the loss became NaN or infinite.
        """
        for index in range(start, len(self.stream)):
            yield self.task(index)

    def judged_again(self, row: int) -> tuple[Scores, float]:
        """Outcomes after ``row`` tasks of a network that was brought there from a checkpoint, and the seconds that they took."""
        self.learner.begin_task(row - 1)
        meter = CostMeter(self.learner.device)
        return self._evaluate(meter, row), meter.evaluate_seconds

    def task(self, index: int) -> TaskReport:
        """Learn the task ``index`` on top of those before it, and judge what is known then; raises as ``rows``."""
        meter = CostMeter(self.learner.device)
        self.learner.begin_task(index)
        context = self.context(index)
        loss, step_facts = self._train(context, meter)
        self.journal.add(self.method.added)
        self.method.added.clear()
        outcomes = self._evaluate(meter, index + 1)
        facts = checked_facts(self.method, self.learner.slots)
        result = TaskResult(
            row=index + 1,
            task=context.task.name,
            costs=costs(meter, facts.trainable_parameters, facts.carried_bytes),
            effective_rank=facts.effective_rank,
            no_signal_rank=facts.no_signal_rank,
            update_norm=self.journal.update_norms(),
            cumulative_norm=self.journal.cumulative_norms(),
            train_loss=loss,
            facts=together(self.learner.facts(), data_facts(context.task), facts, step_facts),
        )
        return TaskReport(result, outcomes)

    def sample_steps(self, index: int, count: int) -> Sample:
        """The first ``count`` steps of a task, ended as after its last one: for forecasts and measurements, not for results."""
        self.learner.begin_task(index)
        context = self.context(index)
        if not self._steps(context):
            return Sample([0.0] * count, 0.0, [0.0] * count)
        seconds: list[float] = []
        computing: list[float] = []
        with own_stream(self.learner.device):
            self.method.begin_task(context)
            steps, feed = self._task_step(context), self._feed(context, count)
            training = self.training.of_task(context.task.name)
            start, computed = time.perf_counter(), time.process_time()
            for step_index, passes in enumerate(feed):
                steps(step_index, learning_rate(training, step_index, context.steps), passes).item()  # waits for the device
                seconds.append(time.perf_counter() - start)
                computing.append(time.process_time() - computed)
                start, computed = time.perf_counter(), time.process_time()
            self.method.end_task(context)
        self.journal.add(self.method.added)
        self.method.added.clear()
        return Sample(seconds, feed.waited, computing)

    def sample_evaluation(self, tasks: Sequence[int]) -> float:
        """Seconds of evaluating ``tasks`` on both splits, as after a task: nothing is remembered from another evaluation."""
        self.learner.begin_task(len(self.stream) - 1)
        start = time.perf_counter()
        with evaluating(self.training, self.learner.device):
            for split in EVALUATED:
                self.learner.evaluate(split, tasks)
        return time.perf_counter() - start

    def context(self, index: int) -> TaskContext:
        """What the method may know of a task."""
        task = self.stream.tasks[index]
        steps, rows = self.step_count(index), self.training.batch_size
        return TaskContext(index, task, steps, rows, self.learner, self.random, self.journal)

    def step_count(self, index: int) -> int:
        """Optimizer steps of a task under the run's budget."""
        return step_count(self.training, self.stream.tasks[index])

    def _train(self, context: TaskContext, meter: CostMeter) -> tuple[float | None, dict[str, Any]]:
        """A task from its beginning to its end; returns the mean task loss over the last tenth of its steps and how they were run."""
        count = self._steps(context)
        if count is None:
            return None, {}
        with own_stream(self.learner.device):
            self.method.begin_task(context)
            learned = self._take_steps(context, count, meter) if count else (None, {})
            self.method.end_task(context)
        meter.steps, meter.train_seconds = count, meter.wall_seconds()
        return learned

    def _take_steps(self, context: TaskContext, count: int, meter: CostMeter) -> tuple[float, dict[str, Any]]:
        training = self.training.of_task(context.task.name)
        steps, feed = self._task_step(context), self._feed(context, count)
        losses = torch.zeros(count, device=self.learner.device)
        for index, passes in enumerate(feed):
            losses[index] = steps(index, learning_rate(training, index, count), passes)
            if index % CHECK_EVERY == CHECK_EVERY - 1 or index == count - 1:
                self._look(context, index, losses[index])
        if self.method.carry_optimizer:
            self.optimizer_state = optimizer_tensors(steps.optimizer)
        meter.wait_seconds = feed.waited
        loss = float(losses[-max(1, count // 10) :].mean())  # waits for the device
        how = f"eagerly: {steps.eager_because}" if steps.eager_because else "recorded"
        return loss, {"steps_run": how, "steps_replayed": steps.replayed, "steps_eager": count - steps.replayed}

    def _task_step(self, context: TaskContext) -> StepRunner:
        parts = context, self.method, self.training, self.group
        steps: StepRunner = PlainStep(*parts) if self.plain else TaskStep(*parts, self.warm_up)
        if self.method.carry_optimizer and self.optimizer_state:
            restore_optimizer(steps.optimizer, self.optimizer_state)
        return steps

    def _feed(self, context: TaskContext, count: int) -> BatchFeed:
        lengths = self.learner.lengths(context.index)
        batches = epoch_after_epoch(len(context.task.train), self.training.batch_size, self.random["batch"], lengths)
        passes = (self._passes(context, rows) for rows in batches)
        return BatchFeed(lambda: next(passes), count, self.learner.device, ahead=self.method.capturable)

    def _passes(self, context: TaskContext, rows: Tensor) -> list[Pass]:
        """The forward passes of one step over ``rows`` of the task."""
        passes = []
        whole_step = torch.stack([torch.full_like(rows, context.index), rows], dim=1)
        for some in rows.split(self.training.micro_batch_size or len(rows)):
            tasks = torch.full_like(some, context.index)
            current = self.learner.batch(tasks, some, self.random["augment"], pool=whole_step)
            whole = [current, *checked_batches(self.method, self.method.extra_batches(context, current))]
            batches, weight = self.group.share(whole)
            passes.append(Pass(batches, weight * len(some) / len(rows)))
        return passes

    def _answer(self, output: Output, classes: Tensor) -> Tensor:
        return checked_scores(self.method, self.method.answer(output, classes), len(output.features), len(classes))

    def _steps(self, context: TaskContext) -> int | None:
        return checked_steps(self.method, self.method.steps(context))

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
        if self.row_zero is not None and self.never_changes:
            return {
                split: [found[t] if t in judged else None for t in range(len(found))] for split, found in self.row_zero.items()
            }
        start = time.perf_counter()
        outcomes: Scores = {}
        with evaluating(self.training, self.learner.device):
            for split in EVALUATED:
                # Row 0 is measured by the first worker alone, in whatever way its network lies: all runs share it.
                own = self.group.own(judged) if tasks_done else judged if self.group.leads else []
                found = dict(zip(own, self.learner.evaluate(split, own), strict=True)) if own or self.group.shards else {}
                found = self.group.together(found) if tasks_done or self.group.shards else found
                outcomes[split] = [found.get(task) for task in range(len(self.stream))]
        meter.evaluate_seconds += time.perf_counter() - start
        return outcomes
