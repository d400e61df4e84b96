"""What ``significance`` prints: rows of one stream to compare, their ranks over tasks, and where the spread between runs comes from."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pandas as pd

from suite.counting import counted
from suite.errors import DataError, SuiteError
from suite.leaderboard.comparison import LEVEL, Contestant, ranks_over_tasks
from suite.leaderboard.ranking import JUDGED_TOGETHER, contestants
from suite.leaderboard.runs import RunSet
from suite.leaderboard.selection import headline, metric_value
from suite.leaderboard.table import leaderboard_frame, pooled_key
from suite.metrics.comparison import split_variance
from suite.runs.record import Record


def groups_of_rows(runs: RunSet, *, all_trials: bool = False) -> list[tuple[str, list[Contestant]]]:
    """Rows that were judged on the same examples, with a title per group; groups of one row are left out.

    Raises:
        DataError: no two rows can be compared.
    """
    frame = leaderboard_frame(runs.records, all_trials=all_trials, study=runs.study)
    known = {record.run_id: record for record in runs.records}
    found = []
    for (benchmark, setting, data, _), part in frame.groupby(JUDGED_TOGETHER, sort=False):
        rows = contestants(part, known, runs.last_outcomes)
        if len(rows) > 1:
            found.append((f"{benchmark} ({setting}), data {data}", rows))
    if not found:
        raise DataError(
            f"significance: no two finished rows judged on the same examples among {counted(len(runs.records), 'run')}; name runs of "
            "one benchmark, order and scoring, or run another method."
        )
    return found


def rank_table(rows: Sequence[Contestant]) -> tuple[pd.DataFrame, str]:
    """Mean rank of each row over the stream's tasks, best first, with Nemenyi's p of ranking as the best does.

    The sentence beside it gives Friedman's p and the critical difference.
    """
    found = ranks_over_tasks(rows)
    columns = {"mean rank": found.mean_ranks, "p against first": found.p_against_first}
    frame = pd.DataFrame({"row": [row.label for row in rows], **columns}).sort_values("mean rank", ignore_index=True)
    note = f"Friedman p {found.p:.3g} over {counted(len(rows[0].tasks), 'task')}, critical difference {found.critical_difference:.2f} ({LEVEL:.0%})"
    return frame, note


def variance_frame(records: Sequence[Record]) -> pd.DataFrame:
    """Variance of the headline metric between the finished runs of a configuration, split into seed, order and rest.

    A configuration needs two runs at least; with seeds and orders not fully crossed only the seeds of its most frequent order
    are used. An empty cell cannot be told from the others.
    """
    groups: dict[tuple[str, ...], list[Record]] = {}
    for record in records:
        if record.status == "finished":
            groups.setdefault(pooled_key(record), []).append(record)
    rows = []
    for key, group in groups.items():
        name = headline(group[0].metrics)
        scores = {(r.config["seed"], tuple(r.tasks)): metric_value(r, name) for r in group}
        cells = _crossed({cell: score for cell, score in scores.items() if not math.isnan(score)})
        if len(cells) < 2:
            continue
        try:
            split = split_variance(list(cells.values()), [seed for seed, _ in cells], [order for _, order in cells])
        except SuiteError:
            continue
        parts = {"seed": split.seed, "order": split.order, "rest": split.rest}
        rows.append(
            {"benchmark": key[0], "setting": key[1], "method": key[2], "metric": name, "runs": len(cells)}
            | {part: math.nan if value is None else value for part, value in parts.items()}
        )
    return pd.DataFrame(rows, columns=["benchmark", "setting", "method", "metric", "runs", "seed", "order", "rest"])


def _crossed(scores: dict[tuple[int, tuple[str, ...]], float]) -> dict[tuple[int, tuple[str, ...]], float]:
    """The scores when every seed met every order; else those of the order with most seeds."""
    orders = list(dict.fromkeys(order for _, order in scores))
    seeds = {seed for seed, _ in scores}
    if len(scores) == len(orders) * len(seeds):
        return scores
    largest = max(orders, key=lambda order: sum(other == order for _, other in scores))
    return {cell: score for cell, score in scores.items() if cell[1] == largest}
