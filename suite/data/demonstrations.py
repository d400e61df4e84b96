"""In-context learning: solved training rows in front of every prompt that is to be answered.

Layout after BeyonderXX/TRACE inference/ICL.py (commit 462e39f). There the demonstrations come from the test set; here
they come from the training rows only.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence

from suite.data.examples import TextExamples
from suite.randomness import numpy_generator

NOTICE = "We will give you several examples and you should follow them to accomplish the task.\n Examples:\n"


def instruction_of(prompts: Sequence[str]) -> str:
    """What all prompts begin with, up to a line end; "" when they have no line in common."""
    first, last = min(prompts), max(prompts)
    same = next((i for i, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), min(len(first), len(last)))
    return first[: first.rfind("\n", 0, same) + 1]


def choose_demonstrations(
    train: TextExamples, count: int, fits: Callable[[int], bool], *, key: tuple[object, ...]
) -> list[int]:
    """At most ``count`` training rows, drawn at random; no answer more often than an equal share allows.

    Args:
        fits: whether a row is short enough.
        key: what the draw depends on.
    """
    most = math.ceil(count / len(set(train.answers)))
    chosen: list[int] = []
    used: Counter[str] = Counter()
    for row in numpy_generator("demonstrations", *key).permutation(len(train)).tolist():
        if len(chosen) == count:
            break
        if used[train.answers[row]] < most and fits(row):
            chosen.append(row)
            used[train.answers[row]] += 1
    return chosen


def with_demonstrations(instruction: str, train: TextExamples, rows: Sequence[int], prompt: str) -> str:
    """Instruction once, the notice, every demonstration's body and answer, then the prompt's own body."""
    bodies = [train.prompts[row].removeprefix(instruction) + train.answers[row] + "\n\n" for row in rows]
    return instruction + NOTICE + "".join(bodies) + prompt.removeprefix(instruction) if rows else prompt
