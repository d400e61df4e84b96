"""Which trial of a study its table row shows, by rules that read more or less; only ``oracle`` reads a test score.

``two-phase`` (default): the whole stream's validation matrix chooses, the test matrix of that trial alone is then read.
``current-task``: mean over tasks of the validation accuracy on a task right after it was learned; what a learner can see that
keeps no validation data of earlier tasks, and blind to forgetting.
``first-task``: validation accuracy on the first task after it was learned; what can be known before the stream goes on.
``oracle``: the best test score, for comparison only.
Discussed in Cha and Cho 2024, "Hyperparameters in Continual Learning: A Reality Check"; Chaudhry et al. 2019 (A-GEM) for tuning
on the first tasks. All four are computed from one sweep's stored matrices; trials of several seeds count by their mean.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from suite.errors import unknown_name
from suite.metrics.conventions import compute_if_defined
from suite.metrics.matrix import AccuracyMatrix
from suite.runs.record import Record
from suite.tuning.choosing import READINGS

DEFAULT_RULE = "two-phase"


@dataclass(frozen=True)
class Selection:
    """How a study's trial was chosen.

    Attributes:
        trials: finished trials it was chosen from.
        rule: name of the rule and what it read.
        optimism: test value of the trial that ``oracle`` chooses minus that of this one, in points: what peeking would add.
    """

    trials: int
    rule: str
    optimism: float


def select_trials(records: Iterable[Record], rule: str | None = None) -> dict[str, Selection]:
    """Run ids of each study's chosen trial (one per seed) and how it was chosen.

    Only trials finished on all seeds that the study has are compared.

    Args:
        rule: for every study; None = the one that its sweep file names.

    Raises:
        ConfigError: unknown rule.
    """
    if rule is not None and rule not in RULES:
        raise unknown_name("selection rule", rule, RULES)
    studies: dict[tuple[str, str, str], list[Record]] = {}
    for record in records:
        for study in record.trials:
            studies.setdefault((study, record.data_fingerprint, record.code_version), []).append(record)
    chosen: dict[str, Selection] = {}
    for (study, *_), members in studies.items():
        named = next((record.selection for record in members if record.study == study), None)
        chosen |= _chosen(members, rule or named or DEFAULT_RULE)
    return chosen


def _chosen(members: Sequence[Record], rule: str) -> dict[str, Selection]:
    trials: dict[str, list[Record]] = {}
    for record in members:
        if record.status == "finished":
            trials.setdefault(record.settings_hash, []).append(record)
    most = max((len(runs) for runs in trials.values()), default=0)
    complete = [runs for runs in trials.values() if len(runs) == most]
    if not complete:
        return {}
    score, reads = RULES[rule]
    best = max(complete, key=lambda runs: _mean(score, runs))
    test = RULES["oracle"][0]
    optimism = max(_mean(test, runs) for runs in complete) - _mean(test, best)
    note = Selection(len(complete), f"{rule} ({reads})", optimism)
    return {record.run_id: note for record in best}


def headline(metrics: Sequence[str]) -> str:
    """The metric by which rows are sorted and trials selected: last accuracy or overall performance, else the first."""
    return next((name for name in metrics if name.endswith((".last", ".op"))), metrics[0])


def metric_value(record: Record, name: str, split: Literal["test", "validation"] = "test") -> float:
    """A metric of a run's matrix; NaN for one that is not finished, or where the stream leaves it undefined."""
    if record.status != "finished":
        return math.nan
    return compute_if_defined(name, AccuracyMatrix.from_lists(getattr(record, split), tuple(record.tasks)))


def _seen(record: Record, rule: str) -> float:
    return READINGS[rule](record.validation, record.tasks, headline(record.metrics))


Score = Callable[[Record], float]
RULES: Mapping[str, tuple[Score, str]] = MappingProxyType(
    {
        "two-phase": (lambda record: _seen(record, "two-phase"), "whole validation matrix"),
        "current-task": (lambda record: _seen(record, "current-task"), "validation of each task when learned"),
        "first-task": (lambda record: _seen(record, "first-task"), "validation of the first task"),
        "oracle": (lambda record: metric_value(record, headline(record.metrics)), "test scores: optimistic"),
    }
)


def _mean(score: Score, runs: Sequence[Record]) -> float:
    """Over seeds; a value that is not a number never wins."""
    values = [score(record) for record in runs]
    return -math.inf if any(math.isnan(value) for value in values) else sum(values) / len(values)
