"""Leaderboard rows beside their best one: which is best, and which cannot be told from it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import pandas as pd

from suite.errors import DataError
from suite.leaderboard.comparison import LEVEL, Contestant, against_best, contestant
from suite.leaderboard.runs import RunSet
from suite.leaderboard.table import leaderboard_frame
from suite.runs.outcomes import Key, Scores
from suite.runs.record import Record

JUDGED_TOGETHER = ["benchmark", "setting", "data_fingerprint", "scoring"]
Loader = Callable[[Record], Mapping[Key, Scores]]


def board(
    runs: RunSet,
    convention: str | None = None,
    *,
    all_trials: bool = False,
    per_task: bool = False,
    pool_orders: bool = False,
    selection_rule: str | None = None,
) -> pd.DataFrame:
    """The leaderboard of these runs with every row's standing; arguments as in ``leaderboard_frame``."""
    frame = leaderboard_frame(
        runs.records,
        convention,
        all_trials=all_trials,
        per_task=per_task,
        pool_orders=pool_orders,
        selection_rule=selection_rule,
        tags={run_id: labels.tags for run_id, labels in runs.labels.items()},
        study=runs.study,
    )
    return with_standing(frame, runs.records, runs.last_outcomes)


def row_labels(frame: pd.DataFrame) -> list[str]:
    """Method and the beginning of the settings' hash per row; the code version's too, then all of both, until it is unique."""
    rows = frame.to_dict("records")
    labels = [f"{row['method']} {str(row['settings_hash'])[:6]}" for row in rows]
    for digits in ({"settings_hash": 6, "code_version": 4}, {"settings_hash": None, "code_version": None}):
        longer = [" ".join([row["method"], *(str(row[name])[:end] for name, end in digits.items())]) for row in rows]
        labels = [label if labels.count(label) == 1 else more for label, more in zip(labels, longer, strict=True)]
    return labels


def contestants(frame: pd.DataFrame, records: Mapping[str, Record], outcomes: Loader) -> list[Contestant]:
    """The rows of ``frame`` that have finished runs with outcomes; runs that stored none are left out of their row."""
    found = []
    for label, names in zip(row_labels(frame), frame["runs"], strict=True):
        runs = [(records[name], outcomes(records[name])) for name in str(names).split(",") if name]
        usable = [(record, scores) for record, scores in runs if scores]
        if usable:
            found.append(contestant(label, usable))
    return found


def with_standing(frame: pd.DataFrame, records: Sequence[Record], outcomes: Loader) -> pd.DataFrame:
    """``frame`` with ``standing`` and ``p_vs_best`` filled in per benchmark, setting, data and scoring rule.

    ``best``: highest mean over tasks after the last one. ``not separable``: Holm-corrected p against it of at least 0.05, or
    none, because no test is possible. ``behind``: p below. Empty: no finished run, no outcomes, or no other row to compare with.
    """
    known = {record.run_id: record for record in records}
    marked = frame.copy()
    for _, part in frame.groupby(JUDGED_TOGETHER, sort=False):
        try:
            p_values = against_best(contestants(part, known, outcomes))
        except DataError:
            continue  # rows of one table whose examples differ stay unmarked rather than wrongly marked
        if len(p_values) < 2:
            continue
        best = next(iter(p_values))
        for index, label in zip(part.index, row_labels(part), strict=True):
            if label not in p_values:
                continue
            behind = "behind" if p_values[label] < LEVEL else "not separable"
            marked.loc[index, "standing"] = "best" if label == best else behind
            marked.loc[index, "p_vs_best"] = p_values[label]
    return marked
