"""Few shapes for batches of texts, so that a GPU, which records a step for every shape, meets each of them again and again."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from suite.data.text import TokenRow

LEAST, LEAST_ANSWER = 96, 16  # tokens; below it a step is bound by the launch of its kernels, and padding costs little
MULTIPLE = 32  # of which widths are
SHARE = 8  # a step of a task's ladder holds one of so many of its rows at least


class _Extents(NamedTuple):
    """Of a task: tokens of each row, widths that its batches may have, window of its answers."""

    lengths: NDArray[np.int64]
    widths: NDArray[np.int64]
    answers: int


class TextShapes:
    """Shapes of batches by where their rows were drawn from.

    Widths are steps of a ladder, 96, 144, 192, 288, 384 and so on, in turn 1.5 and 1.33 times the one before. A task has those steps that
    each hold an eighth of its rows or more, and the length of its longest row. The window of answers is one per task, the step of such
    a ladder from 16 on that holds its longest answer.

    Args:
        training: task -> its training rows.
    """

    def __init__(self, training: Callable[[int], Sequence[TokenRow]]) -> None:
        self._training = training
        self._known: dict[int, _Extents] = {}

    def of(self, pool: Tensor) -> tuple[int, int]:
        """Tokens and answer window of all batches whose rows were drawn from ``pool`` (m, 2), tasks and rows."""
        tasks, rows = pool.numpy().T
        found = []
        for task in np.unique(tasks).tolist():
            own = self._extents(task)
            longest = own.lengths[rows[tasks == task]].max()
            found.append((int(own.widths[np.searchsorted(own.widths, longest)]), own.answers))
        widths, answers = zip(*found, strict=True)
        return max(widths), max(answers)

    def _extents(self, task: int) -> _Extents:
        if task not in self._known:
            found = self._training(task)
            lengths = np.array([len(row.ids) for row in found], dtype=np.int64)
            answers = max(row.answer_tokens for row in found)
            window = next(step for step in ladder(LEAST_ANSWER) if step >= answers)
            self._known[task] = _Extents(lengths, _widths(lengths), window)
        return self._known[task]


def ladder(least: int) -> Iterator[int]:
    """``least``, 1.5, 2, 3, 4, 6, 8 ... times as much."""
    while True:
        yield least
        yield least + least // 2
        least *= 2


def _widths(lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    top = int(-(-max(lengths.max(), LEAST) // MULTIPLE) * MULTIPLE)
    taken: list[int] = []
    held = 0
    for step in ladder(LEAST):
        if step >= top:
            return np.array([*taken, top], dtype=np.int64)
        if SHARE * (int((lengths <= step).sum()) - held) >= len(lengths):
            taken.append(step)
            held = int((lengths <= step).sum())
    raise AssertionError("the ladder has no end")
