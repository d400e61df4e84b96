"""Class names as tokenised prompts: once per stream, cut to the longest prompt, identical prompts encoded once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from suite.benchmarks.stream import ImageTask


@dataclass(frozen=True)
class Candidates:
    """The label space of an evaluation.

    Attributes:
        unique_rows: (u,) rows of the stream's distinct prompt sets, without repeats.
        first_class: (u,) lowest class index that owns each distinct prompt set; decides ties.
        shared: (u,) number of classes that own it.
        offsets: first class index of each task of the label space.
    """

    unique_rows: Tensor
    first_class: Tensor
    shared: Tensor
    offsets: dict[int, int]

    def offset(self, task: int) -> int:
        return self.offsets[task]


@dataclass(frozen=True)
class LabelSpace:
    """Classes of some tasks side by side, as a training step needs them; all on the device.

    Attributes:
        tokens: (classes, length) prompts of the tasks' first training template.
        offsets: (stream length,) first column of each task, -1 for tasks that are not here.
        owners: (classes,) the task each column belongs to.
    """

    tokens: Tensor
    offsets: Tensor
    owners: Tensor

    def foreign(self, of_rows: Tensor) -> Tensor:
        """(n, classes) True where the column belongs to another task than the row."""
        return self.owners[None, :] != of_rows[:, None]


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
    """

    def __init__(
        self, tasks: Sequence[ImageTask], tokenize: Callable[[Sequence[str]], Tensor], device: torch.device
    ) -> None:
        self.sizes = [len(task.class_names) for task in tasks]
        self.device = device
        self._tokenize = tokenize
        self._spaces: dict[tuple[int, ...], LabelSpace] = {}
        train = [_filled(task.train_templates[:1], name) for task in tasks for name in task.class_names]
        evaluation = [_filled(task.eval_templates, name) for task in tasks for name in task.class_names]
        starts = [sum(self.sizes[:index]) for index in range(len(tasks) + 1)]
        self._train_prompts = [prompts[0] for prompts in train]
        tokens = tokenize(self._train_prompts)
        self._train = [_cut(tokens[begin:end]).to(device) for begin, end in pairwise(starts)]
        order: dict[tuple[str, ...], int] = {}
        self._set_of_class = torch.tensor([order.setdefault(prompts, len(order)) for prompts in evaluation])
        self._starts = starts
        rows = [(text, owner) for prompts, owner in order.items() for text in prompts]
        self._eval = PromptSets(
            _cut(tokenize([text for text, _ in rows])).to(device),
            torch.tensor([owner for _, owner in rows], device=device),
            len(order),
        )

    def label_space(self, tasks: tuple[int, ...]) -> LabelSpace:
        """The classes of ``tasks`` in that order; built once, so that steps ask the host for nothing."""
        if tasks not in self._spaces:
            offsets = torch.full((len(self.sizes),), -1, dtype=torch.int64)
            column = 0
            for index in tasks:
                offsets[index] = column
                column += self.sizes[index]
            owners = torch.cat([torch.full((self.sizes[index],), index) for index in tasks])
            self._spaces[tasks] = LabelSpace(self._train_tokens(tasks), offsets.to(self.device), owners.to(self.device))
        return self._spaces[tasks]

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

    def eval_tokens(self) -> PromptSets:
        return self._eval

    def candidates(self, tasks: Sequence[int]) -> Candidates:
        """Label space made of the classes of ``tasks``, in that order."""
        sets = torch.cat([self._set_of_class[self._starts[index] : self._starts[index + 1]] for index in tasks])
        unique_rows, position, counts = sets.unique(return_inverse=True, return_counts=True)
        first = torch.full((len(unique_rows),), len(sets)).scatter_reduce(
            0, position, torch.arange(len(sets)), reduce="amin"
        )
        offsets, start = {}, 0
        for index in tasks:
            offsets[index] = start
            start += self.sizes[index]
        return Candidates(unique_rows, first, counts, offsets)


def _filled(templates: Sequence[str], name: str) -> tuple[str, ...]:
    return tuple(template.replace("{}", name) for template in templates)


def _cut(tokens: Tensor) -> Tensor:
    """Drop the columns in which every prompt is padding."""
    used = int((tokens != 0).any(dim=0).nonzero().max()) + 1
    return tokens[:, :used]
