"""Which trial of a study its table row shows, by rules that read more or less; only ``oracle`` reads a test score.

``two-phase`` (default): the whole stream's validation matrix chooses, the test matrix of that trial alone is then read. Of the
validation matrix the benchmark's headline metric is taken, or the one that records name beside the rule, as those of a tuning do.
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
from functools import partial
from types import MappingProxyType
from typing import Literal

from suite.errors import unknown_name
from suite.metrics.conventions import METRICS, compute_if_defined
from suite.metrics.matrix import AccuracyMatrix
from suite.runs.record import Record
from suite.tuning.choosing import READINGS, rule_parts, rule_text

DEFAULT_RULE = "two-phase"
RULES: Mapping[str, str] = MappingProxyType(
    {
        "two-phase": "whole validation matrix",
        "current-task": "validation of each task when learned",
        "first-task": "validation of the first task",
        "oracle": "test scores: optimistic",
    }
)  # name -> what it reads


@dataclass(frozen=True)
class Selection:
    """How a study's trial was chosen.

    Attributes:
        studies: the one that chose it; several in alphabetical order where their choices coincide, the numbers are then the largest.
        trials: finished trials it was chosen from.
        rule: name of the rule and what it read.
        oracle_gap: test value of the trial that ``oracle`` chooses minus that of this one, in points: what peeking would add.
    """

    studies: tuple[str, ...]
    trials: int
    rule: str
    oracle_gap: float


def joined(choices: Sequence[Selection]) -> Selection:
    """One or more studies that chose the same setting."""
    return Selection(
        studies=tuple(sorted({study for choice in choices for study in choice.studies})),
        trials=max(choice.trials for choice in choices),
        rule="; ".join(dict.fromkeys(choice.rule for choice in choices)),
        oracle_gap=max(choice.oracle_gap for choice in choices),
    )


def select_trials(records: Iterable[Record], rule: str | None = None, *, study: str | None = None) -> dict[str, Selection]:
    """Run ids of each study's chosen trial (one per seed) and how it was chosen.

    Only trials finished on all seeds that the study has are compared.

    Args:
        rule: for every study; None = the one that its file names.
        study: only its choice. Of a study that shares some of its trials the records then hold a part, from which nothing is chosen.

    Raises:
        ConfigError: unknown rule.
    """
    if rule is not None and rule not in RULES:
        raise unknown_name("selection rule", rule, RULES)
    studies: dict[tuple[str, str, str], list[Record]] = {}
    for record in records:
        for name in record.trials:
            if study in (None, name):
                studies.setdefault((name, record.data_fingerprint, record.code_version), []).append(record)
    chosen: dict[str, Selection] = {}
    for (name, *_), those in studies.items():
        members = sorted(those, key=lambda record: record.trials[name])  # of equal trials the earliest is chosen
        named, metric = rule_parts(_named(name, members) or DEFAULT_RULE)
        found = _chosen(name, members, rule or named, metric if metric in METRICS else None)
        chosen |= {run_id: joined([*filter(None, [chosen.get(run_id)]), choice]) for run_id, choice in found.items()}
    return chosen


def _named(study: str, members: Sequence[Record]) -> str | None:
    """The rule that the records of a study name; of one that made no run itself the one that all its runs were made under."""
    own = [record.selection for record in members if record.study == study]
    every = {record.selection for record in members}
    return own[0] if own else every.pop() if len(every) == 1 else None


def _chosen(study: str, members: Sequence[Record], rule: str, metric: str | None) -> dict[str, Selection]:
    """``metric`` is what ``two-phase`` reads; None = the benchmark's headline."""
    trials: dict[str, list[Record]] = {}
    for record in members:
        if record.status == "finished":
            trials.setdefault(record.settings_hash, []).append(record)
    most = max((len(runs) for runs in trials.values()), default=0)
    complete = [runs for runs in trials.values() if len(runs) == most]
    if not complete:
        return {}
    known = metric or headline(members[0].metrics)
    score = _tested if rule == "oracle" else partial(_seen, rule=rule, metric=known)
    best = max(complete, key=lambda runs: _mean(score, runs))
    oracle_gap = max(_mean(_tested, runs) for runs in complete) - _mean(_tested, best)
    is_other = rule == "two-phase" and not same_formula(known, headline(members[0].metrics))
    text = rule_text(rule, known) if is_other else rule
    note = Selection((study,), len(complete), f"{text} ({RULES[rule]})", oracle_gap)
    return {record.run_id: note for record in best}


def headline(metrics: Sequence[str]) -> str:
    """The metric by which rows are sorted and trials selected: last accuracy or overall performance, else the first."""
    return next((name for name in metrics if name.endswith((".last", ".op"))), metrics[0])


def same_formula(metric: str, other: str) -> bool:
    """Whether two metrics are one number under two names, as ``zscl.last`` and ``trace.op`` are."""
    return METRICS[metric].function is METRICS[other].function


def metric_value(record: Record, name: str, split: Literal["test", "validation"] = "test") -> float:
    """A metric of a run's matrix; NaN for one that is not finished, or where the stream leaves it undefined."""
    if record.status != "finished":
        return math.nan
    return compute_if_defined(name, AccuracyMatrix.from_lists(getattr(record, split), tuple(record.tasks)))


def _seen(record: Record, rule: str, metric: str) -> float:
    return READINGS[rule](record.validation, record.tasks, metric)


def _tested(record: Record) -> float:
    return metric_value(record, headline(record.metrics))


def _mean(score: Callable[[Record], float], runs: Sequence[Record]) -> float:
    """Over seeds; a value that is not a number never wins."""
    values = [score(record) for record in runs]
    return -math.inf if any(math.isnan(value) for value in values) else sum(values) / len(values)
