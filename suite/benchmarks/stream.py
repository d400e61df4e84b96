"""The nouns of a benchmark: task, stream, protocol. No torch, no learner, no method."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Literal

from suite.counting import counted
from suite.data.examples import SPLITS, ImageExamples, TextExamples
from suite.errors import DataError
from suite.hashing import text_hash

SharedClasses = Literal["refuse", "merge", "tie"]


class LabelSpace(StrEnum):
    """What a test example is judged against."""

    TASK = "task"  # the classes of the example's own task (MTIL)
    UNION = "union"  # the classes of all tasks of the stream, seen or not (X-TAIL)
    GENERATION = "generation"  # a generated answer, scored by the task's metric (TRACE)


@dataclass(frozen=True, eq=False)
class ImageTask:
    """Image classification with class names.

    Attributes:
        train_templates: prompts with one ``{}`` used while training (the papers use one).
        eval_templates: prompts used for evaluation; several are averaged after normalisation.
        augmentation: ``crop`` = random resized crop (area 0.9 to 1, aspect 3/4 to 4/3) while training.
        notes: what was done to its data, clauses that a record shows beside its numbers; no part of its identity.
    """

    name: str
    train: ImageExamples
    validation: ImageExamples
    test: ImageExamples
    class_names: tuple[str, ...]
    train_templates: tuple[str, ...]
    eval_templates: tuple[str, ...]
    augmentation: Literal["none", "crop"] = "none"
    notes: tuple[str, ...] = ()

    def identity(self) -> Iterator[str]:
        yield from (self.name, *self.class_names, *self.train_templates, *self.eval_templates, self.augmentation)
        yield from _splits_identity(self)


@dataclass(frozen=True, eq=False)
class TextTask:
    """Prompt and answer pairs with a metric.

    Attributes:
        metric: a name of ``suite.benchmarks.text_scores.TEXT_SCORES``.
        max_new_tokens: longest answer that is generated.
        epochs: passes over the training rows when the run's budget is counted in the benchmark's own epochs.
        notes: as of an image task.
    """

    name: str
    train: TextExamples
    validation: TextExamples
    test: TextExamples
    metric: str
    max_new_tokens: int
    epochs: int = 1
    notes: tuple[str, ...] = ()

    def identity(self) -> Iterator[str]:
        yield from (self.name, self.metric, str(self.max_new_tokens))
        yield from _splits_identity(self)


Task = ImageTask | TextTask


def learned_tests(task: Task) -> list[str]:
    """Identities of the test examples that are exact copies of training or validation examples under another name."""
    known = {*task.train.contents(), *task.validation.contents()}
    return [item for item, content in zip(task.test.ids, task.test.contents(), strict=True) if content in known]


def _splits_identity(task: Task) -> Iterator[str]:
    for split in SPLITS:
        yield split
        yield from getattr(task, split).identity()


@dataclass(frozen=True, eq=False)
class Stream:
    """Ordered tasks under one protocol.

    Attributes:
        metrics: names from ``suite.metrics.conventions`` shown by default, first one the headline.
        setting: what tells two streams of one benchmark apart in a table (order, shots, convention).
        scoring: rule for text answers (``trace``, ``treelora``, ``strict``); None for images.
        shared_classes: what classes of several tasks of a union are that the text side cannot tell apart: refused before
            training, merged into one class if they have one name, or a tie that counts for the first (as X-TAIL has it).
    """

    name: str
    tasks: Sequence[Task]
    protocol: LabelSpace
    metrics: tuple[str, ...]
    setting: dict[str, Any] = field(default_factory=dict)
    scoring: str | None = None
    shared_classes: SharedClasses = "refuse"

    def __post_init__(self) -> None:
        names = [task.name for task in self.tasks]
        if not names:
            raise DataError(f"benchmark {self.name}: the stream has no task; name at least one.")
        if len(set(names)) < len(names):
            raise DataError(f"benchmark {self.name}: task names {names} repeat; give each task its own name.")
        for task in self.tasks:
            _require_usable(self.name, task)
        _require_choices(self)

    def __len__(self) -> int:
        return len(self.tasks)

    @property
    def task_names(self) -> tuple[str, ...]:
        return tuple(task.name for task in self.tasks)

    def judged_after(self, tasks_done: int) -> range:
        """Tasks evaluated after so many learned ones: all of them; with generation only the learned ones, as TRACE does,
        and all before any training."""
        if self.protocol is LabelSpace.GENERATION and tasks_done:
            return range(tasks_done)
        return range(len(self.tasks))

    def limited(self, most: int) -> Stream:
        """The stream with at most ``most`` rows per split of every task, which its setting says."""
        cut = [replace(task, **{split: getattr(task, split).first(most) for split in SPLITS}) for task in self.tasks]
        return replace(self, tasks=cut, setting={**self.setting, "limit": most})

    def fingerprint(self) -> str:
        """Hash over protocol, item identities, labels or texts, class names and templates, in order."""
        return text_hash(_stream_identity(self))


def _stream_identity(stream: Stream) -> Iterator[str]:
    yield from (stream.protocol.value, stream.scoring or "")
    for task in stream.tasks:
        yield from task.identity()


def _require_usable(stream: str, task: Task) -> None:
    for split in SPLITS:
        if len(getattr(task, split)) == 0:
            raise DataError(f"benchmark {stream}: task '{task.name}' has no {split} example; add some or drop the task.")
    shared = set(task.test.ids) & (set(task.train.ids) | set(task.validation.ids))
    if shared:
        raise DataError(
            f"benchmark {stream}: task '{task.name}' uses {counted(len(shared), 'test example')} for training or validation too, "
            f"first '{min(shared)}'; make the splits disjoint."
        )
    if isinstance(task, ImageTask) and len(set(task.class_names)) < len(task.class_names):
        repeated = sorted({name for name in task.class_names if task.class_names.count(name) > 1})
        raise DataError(f"benchmark {stream}: task '{task.name}' names the class '{repeated[0]}' twice; rename one.")


def _require_choices(stream: Stream) -> None:
    """Refuse images that are judged among one class: whatever is answered is right, and there is nothing to learn."""
    spaces = {task.name: set(task.class_names) for task in stream.tasks if isinstance(task, ImageTask)}
    if not spaces or stream.protocol is LabelSpace.GENERATION:
        return
    if stream.protocol is LabelSpace.UNION:
        spaces = {", ".join(spaces): set().union(*spaces.values())}
    alone = {name: min(classes) for name, classes in spaces.items() if len(classes) == 1}
    if alone:
        listed = ", ".join(f"'{name}' ('{only}')" for name, only in alone.items())
        raise DataError(
            f"benchmark {stream.name}: {listed} has one class, so that every answer is right; add a class or leave the task out."
        )
