"""Class names as tokenised prompts: once per stream, cut to the longest prompt, identical prompts encoded once."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from suite.benchmarks.stream import ImageTask
from suite.errors import ConfigError


@dataclass(frozen=True)
class Candidates:
    """The label space of an evaluation: one column per distinct prompt set.

    Attributes:
        unique_rows: (u,) rows of the stream's distinct prompt sets, without repeats.
        column: (classes,) column that is right for each class; -1 for a class that loses its ties.
        ties: (u,) True where classes that are not one share the column.
        classes: (u,) the first class that owns each column, counted over the whole stream.
        offsets: first class index of each task of the label space.
    """

    unique_rows: Tensor
    column: Tensor
    ties: Tensor
    classes: Tensor
    offsets: dict[int, int]

    def right(self, task: int, labels: Tensor, best: Tensor) -> Tensor:
        """(n,) True where the chosen column ``best`` (n,) is that of the task's class ``labels`` (n,)."""
        return self.column[self.offsets[task] + labels] == best


@dataclass(frozen=True)
class ClassColumns:
    """Classes of some tasks side by side, as a training step needs them; all on the device.

    Attributes:
        tokens: (columns, length) prompts of the tasks' first training template.
        starts: (stream length,) first class of each task among all classes of the stream.
        column: (classes of the stream,) column of each class, -1 for those of tasks that are not here.
        members: (stream length, columns) True where the column is a class of the task.
        kept: (columns,) rows of the tasks' classes side by side that have a column; None where all have their own.
    """

    tokens: Tensor
    starts: Tensor
    column: Tensor
    members: Tensor
    kept: Tensor | None

    def targets(self, tasks: Tensor, labels: Tensor) -> Tensor:
        """(n,) columns of the classes ``labels`` (n,) of ``tasks`` (n,)."""
        return self.column[self.starts[tasks] + labels]

    def foreign(self, of_rows: Tensor) -> Tensor:
        """(n, columns) True where the column belongs to other tasks than the row."""
        return ~self.members[of_rows]

    def in_columns(self, side_by_side: Tensor) -> Tensor:
        """(columns, ...) of what the classes of all tasks have, (classes, ...)."""
        return side_by_side if self.kept is None else side_by_side[self.kept]


@dataclass(frozen=True)
class PromptSets:
    """Distinct evaluation prompts: tokens (rows, length), owner (rows,) = prompt set of each row, number of sets."""

    tokens: Tensor
    owner: Tensor
    count: int


class ClassPrompts:
    """Prompts of all classes of a stream.

    Args:
        tokenize: texts -> (n, context) int64, padded with zeros behind the end token.
        merge: classes with the same tokens are one class; otherwise they stay apart and ties go to the first of them.

    Attributes:
        learned, judged: (classes of the stream,) equal numbers where training or evaluation prompts have the same tokens.
    """

    def __init__(
        self,
        tasks: Sequence[ImageTask],
        tokenize: Callable[[Sequence[str]], Tensor],
        device: torch.device,
        *,
        merge: bool = False,
    ) -> None:
        self.sizes = [len(task.class_names) for task in tasks]
        self.device = device
        self._tokenize = tokenize
        self._spaces: dict[tuple[int, ...], ClassColumns] = {}
        self.merge = merge
        train = [_filled(task.train_templates[:1], name) for task in tasks for name in task.class_names]
        evaluation = [_filled(task.eval_templates, name) for task in tasks for name in task.class_names]
        self._starts = [sum(self.sizes[:index]) for index in range(len(tasks) + 1)]
        self._train_prompts = [prompts[0] for prompts in train]
        tokens = tokenize(self._train_prompts)
        self.learned = _numbered(row.tobytes() for row in tokens.numpy())
        self._train = [_cut(tokens[begin:end]).to(device) for begin, end in pairwise(self._starts)]
        tokens = tokenize([text for prompts in evaluation for text in prompts])
        sets = tokens.split([len(prompts) for prompts in evaluation])
        self.judged = _numbered(part.numpy().tobytes() for part in sets)
        firsts = _firsts(self.judged)
        self._eval = PromptSets(
            _cut(torch.cat([sets[first] for first in firsts])).to(device),
            torch.arange(len(firsts)).repeat_interleave(torch.tensor([len(sets[first]) for first in firsts])).to(device),
            len(firsts),
        )

    def label_space(self, tasks: tuple[int, ...]) -> ClassColumns:
        """The classes of ``tasks`` in that order; built once, so that steps ask the host for nothing."""
        if tasks not in self._spaces:
            classes = torch.cat([torch.arange(self._starts[index], self._starts[index + 1]) for index in tasks])
            own = _numbered(self.learned[classes].tolist()) if self.merge else torch.arange(len(classes))
            kept = _firsts(own)
            column = torch.full((self._starts[-1],), -1, dtype=torch.int64)
            column[classes] = own
            members = torch.zeros(len(self.sizes), len(kept), dtype=torch.bool)
            for index in tasks:
                members[index, column[self._starts[index] : self._starts[index + 1]]] = True
            self._spaces[tasks] = ClassColumns(
                self._train_tokens(tasks)[kept.to(self.device)],
                torch.tensor(self._starts[:-1], device=self.device),
                column.to(self.device),
                members.to(self.device),
                kept.to(self.device) if len(kept) < len(classes) else None,
            )
        return self._spaces[tasks]

    def count(self, tasks: Sequence[int]) -> int:
        """Classes of ``tasks``, merged ones counted once."""
        classes = torch.cat([self.learned[self._starts[index] : self._starts[index + 1]] for index in tasks])
        return len(classes.unique()) if self.merge else len(classes)

    def place(self, position: int) -> tuple[int, int]:
        """(task, label) of a class by its position among all classes of the stream."""
        task = max(index for index, start in enumerate(self._starts[:-1]) if start <= position)
        return task, position - self._starts[task]

    def _train_tokens(self, tasks: Sequence[int]) -> Tensor:
        parts = [self._train[index] for index in tasks]
        length = max(part.shape[1] for part in parts)
        return torch.cat([torch.nn.functional.pad(part, (0, length - part.shape[1])) for part in parts])

    def train_tokens(self, task: int) -> Tensor:
        """(classes, length) training prompts of one task, cut to its own longest."""
        return self._train[task]

    def tokenized_again(self, tasks: Sequence[int]) -> Tensor:
        """(classes, whole context) tokens made anew from the class names, for the plain reference."""
        names = [name for index in tasks for name in self._train_prompts[self._starts[index] : self._starts[index + 1]]]
        return self._tokenize(names).to(self.device)

    def random_texts(self, count: int, length: int, generator: torch.Generator) -> Tensor:
        """See ``Learner``. The end token has the highest number of all, the start token stands first, 0 is padding."""
        context = self._tokenize([""]).shape[1]
        if length > context - 2:
            raise ConfigError(
                f"random texts of {length} words are longer than the text encoder reads; use at most {context - 2}."
            )
        start, end = (int(self._train[0][0, 0]), int(self._train[0].max()))
        words = torch.randint(1, end - 1, (count, length), generator=generator)
        words += words >= start  # all but padding, start and end
        first, last = (torch.full((count, 1), token) for token in (start, end))
        return torch.cat([first, words, last], dim=1).to(self.device)

    def eval_tokens(self) -> PromptSets:
        return self._eval

    def prompt_sets(self, tasks: Sequence[int]) -> Tensor:
        """(classes,) which of the stream's distinct evaluation prompt sets each class of ``tasks`` has."""
        return torch.cat([self.judged[self._starts[index] : self._starts[index + 1]] for index in tasks])

    def candidates(self, tasks: Sequence[int]) -> Candidates:
        """Label space made of the classes of ``tasks``, in that order."""
        sets = self.prompt_sets(tasks)
        unique_rows, column, counts = sets.unique(return_inverse=True, return_counts=True)
        firsts = _firsts(column)
        if not self.merge:
            loses = torch.ones(len(sets), dtype=torch.bool)
            loses[firsts] = False
            column = column.masked_fill(loses, -1)
        everywhere = torch.cat([torch.arange(self._starts[index], self._starts[index + 1]) for index in tasks])
        offsets, start = {}, 0
        for index in tasks:
            offsets[index] = start
            start += self.sizes[index]
        return Candidates(unique_rows, column, (counts > 1) & (not self.merge), everywhere[firsts], offsets)


def _filled(templates: Sequence[str], name: str) -> tuple[str, ...]:
    return tuple(template.replace("{}", name) for template in templates)


def _cut(tokens: Tensor) -> Tensor:
    """Drop the columns in which every prompt is padding."""
    used = int((tokens != 0).any(dim=0).nonzero().max()) + 1
    return tokens[:, :used]


def _numbered(keys: Iterable[Hashable]) -> Tensor:
    """(n,) int64: equal keys have one number, counted from 0 in the order in which they come."""
    known: dict[Hashable, int] = {}
    return torch.tensor([known.setdefault(key, len(known)) for key in keys])


def _firsts(numbers: Tensor) -> Tensor:
    """Lowest position of each of the numbers 0 to k - 1, (k,)."""
    count = int(numbers.max()) + 1
    return torch.full((count,), len(numbers)).scatter_reduce(0, numbers, torch.arange(len(numbers)), reduce="amin")
