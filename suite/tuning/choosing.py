"""Which trial of a study is chosen, by rules that read validation numbers alone.

``suite.leaderboard.selection`` discusses the rules, and adds the one that peeks.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from suite.metrics.conventions import METRICS, compute_if_defined
from suite.metrics.matrix import AccuracyMatrix
from suite.runs.record import Cells
from suite.runs.validation_view import ValidationView

OF = " of "
Reading = Callable[[Cells, Sequence[str], str], float]


def whole_matrix(rows: Cells, tasks: Sequence[str], metric: str) -> float:
    """``metric`` of the whole matrix, turned round where less is better."""
    value = compute_if_defined(metric, AccuracyMatrix.from_lists(rows, tuple(tasks)))
    return value if METRICS[metric].higher_is_better else -value


def tasks_when_learned(rows: Cells, tasks: Sequence[str], metric: str) -> float:
    """Mean over tasks of the accuracy on each right after it was learned."""
    return compute_if_defined("learning_accuracy", AccuracyMatrix.from_lists(rows, tuple(tasks)))


def first_task(rows: Cells, tasks: Sequence[str], metric: str) -> float:
    """Accuracy on the first task after it was learned."""
    cell = rows[1][0]
    return math.nan if cell is None else cell


READINGS: Mapping[str, Reading] = MappingProxyType(
    {"two-phase": whole_matrix, "current-task": tasks_when_learned, "first-task": first_task}
)


def rule_text(rule: str, metric: str) -> str:
    """A rule with the metric that it reads, as records name it; the rules that read none stand alone."""
    return f"{rule}{OF}{metric}" if rule == "two-phase" else rule


def rule_parts(text: str) -> tuple[str, str | None]:
    """Rule and metric of a ``rule_text``; None where it names no metric."""
    rule, _, metric = text.partition(OF)
    return rule, metric or None


def trial_score(views: Sequence[ValidationView], rule: str, metric: str) -> float | None:
    """What ``rule`` chooses a trial by: the mean over its seeds, larger is better; None unless all of them were learned to the end.

    Args:
        metric: that ``two-phase`` reads.
    """
    if not views or any(view.status != "finished" for view in views):
        return None
    value = sum(READINGS[rule](view.rows, view.tasks, metric) for view in views) / len(views)
    return None if math.isnan(value) else value


def chosen_trial(scores: Mapping[int, float | None]) -> int | None:
    """Number of the trial with the best score, the earliest of equal ones; None where none has a score."""
    known = {number: score for number, score in scores.items() if score is not None}
    return max(known, key=lambda number: (known[number], -number), default=None)
