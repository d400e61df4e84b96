"""Is the difference between two rows real? Paired tests on stored outcomes, example by example and seed by seed.

What is compared is the mean over tasks of the accuracy after the last task (``zscl.last``, ``trace.op``, ``gem.average``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from suite.counting import counted
from suite.errors import DataError
from suite.leaderboard.paired import PairedTests, Repeat, by_seed, crossed, paired_tests, two_sided
from suite.metrics.comparison import FriedmanRanks, friedman
from suite.metrics.statistics import holm
from suite.runs.outcomes import Key, Scores
from suite.runs.record import Record

Vector = NDArray[np.float64]
LEVEL = 0.05
RESAMPLES = 10_000
SEEDS = " seeds"  # ends what an interval is over where it speaks for new seeds


@dataclass(frozen=True)
class Contestant:
    """One row: the finished runs of one configuration.

    Attributes:
        tasks: names in alphabetical order, so that runs in different orders can be paired.
        scores: (seed, order of tasks) -> scores after the last task, one array per task.
        judged_on: what the scores belong to; only equal ones can be paired.
    """

    label: str
    tasks: tuple[str, ...]
    scores: Mapping[Repeat, Sequence[Vector]]
    judged_on: tuple[str, ...]


@dataclass(frozen=True)
class Difference:
    """First minus second in points, with a 95 % interval and a two-sided p value; NaN where no test is possible.

    Attributes:
        over: what the interval speaks for: new examples, or new examples and new seeds; ``nothing`` when there is no test.
    """

    mean: float
    low: float
    high: float
    p: float
    over: str


def contestant(label: str, runs: Iterable[tuple[Record, Mapping[Key, Scores]]]) -> Contestant:
    """The row of these finished runs.

    Raises:
        DataError: a run is not finished, stored no outcomes, or was judged on other examples than the first.
    """
    scores: dict[Repeat, list[Vector]] = {}
    judged: set[tuple[str, ...]] = set()
    names: list[str] = []
    for record, outcomes in runs:
        columns = sorted(range(len(record.tasks)), key=record.tasks.__getitem__)
        names = [record.tasks[column] for column in columns]
        keys = [("test", len(record.tasks), column) for column in columns]
        if record.status != "finished" or any(key not in outcomes for key in keys):
            raise DataError(f"run {record.run_id}: has no outcomes after its last task; finish it, or leave it out.")
        scores[int(record.config["seed"]), tuple(record.tasks)] = [outcomes[key].astype(np.float64) for key in keys]
        digests = record.item_digests.get("test", [])
        judged.add((record.protocol, record.scoring or "", *names, *(digests[column] for column in columns if digests)))
    if len(judged) != 1:
        raise DataError(f"'{label}': its runs were judged on {len(judged)} sets of examples; compare runs of equal data.")
    return Contestant(label, tuple(names), scores, judged.pop())


def compare(first: Contestant, second: Contestant, *, resamples: int = RESAMPLES) -> Difference:
    """Paired difference of two rows.

    With one common seed the interval is a bootstrap over examples within tasks, the same resamples for every pair of rows, and says nothing about other seeds; without a
    common one it is that of the means over each row's own seeds. A task of one example then allows no test. With several, the variance of the mean is that of a crossed design: over examples, plus over seeds, minus their residual,
    which is in both, and never below the larger of the two; degrees of freedom after Satterthwaite. Runs of one seed in several
    orders of tasks are one unit, their mean: they share what the seed draws, and the result holds for the orders that were run.
    Source: Clark 1973, Journal of Verbal Learning and Verbal Behavior 12 (quasi-F ratios).

    Raises:
        DataError: the rows were not judged on the same examples by the same rule.
    """
    _require_paired(first, second)
    return _differences(paired_tests([first, second], LEVEL, resamples))[0]


def pairwise_frame(rows: Sequence[Contestant]) -> pd.DataFrame:
    """Every pair of rows: difference, interval, p, p after Holm, and McNemar's test where one seed of 0/1 outcomes is shared.

    Raises:
        DataError: fewer than two rows, or rows that cannot be paired.
    """
    if len(rows) < 2:
        raise DataError(f"significance: {counted(len(rows), 'finished row')} to compare; name at least two.")
    for row in rows[1:]:
        _require_paired(rows[0], row)
    found = paired_tests(rows, LEVEL, RESAMPLES)
    names, mcnemar_p = [row.label for row in rows], found.mcnemar()
    return pd.DataFrame(
        {
            "first": [first for first, _ in combinations(names, 2)],
            "second": [second for _, second in combinations(names, 2)],
            "difference": found.mean,
            "low": found.low,
            "high": found.high,
            "p": found.p,
            "p holm": corrected(found.p),
            "over": _over(found),
            "only first": found.only_first,
            "only second": found.only_second,
            "mcnemar p": mcnemar_p,
            "mcnemar holm": corrected(mcnemar_p),
        }
    )


def against_first(rows: Sequence[Contestant]) -> list[Difference]:
    """The first row minus each other one, as ``compare`` has it for two, p values as they are.

    Raises:
        DataError: rows that cannot be paired.
    """
    for row in rows[1:]:
        _require_paired(rows[0], row)
    if len(rows) < 2:
        return []
    return _differences(paired_tests(rows, LEVEL, RESAMPLES, first_alone=True))


def means(rows: Sequence[Contestant]) -> list[Difference]:
    """Mean over tasks after the last one of each row, over its own runs, with the interval that its difference from nothing has.

    Raises:
        DataError: rows that were not judged on the same examples.
    """
    if not rows:
        return []
    runs = [(repeat, tasks) for row in rows for repeat, tasks in row.scores.items()]
    nothing = {repeat: [np.zeros_like(task) for task in tasks] for repeat, tasks in runs}
    found = against_first([Contestant("nothing", rows[0].tasks, nothing, rows[0].judged_on), *rows])
    return [Difference(-one.mean, -one.high, -one.low, one.p, one.over) for one in found]


def _differences(found: PairedTests) -> list[Difference]:
    columns = (found.mean.tolist(), found.low.tolist(), found.high.tolist(), found.p.tolist(), _over(found))
    return [Difference(*values) for values in zip(*columns, strict=True)]


def is_over_seeds(over: str) -> bool:
    """Whether an interval over this speaks for new seeds too."""
    return over.endswith(SEEDS)


def _over(found: PairedTests) -> list[str]:
    """What each pair's interval speaks for."""
    alone = ["nothing: a task has one example" if is_open else "examples" for is_open in np.isnan(found.p)]
    return [f"examples and {seeds}{SEEDS}" if seeds > 1 else word for seeds, word in zip(found.seeds, alone, strict=True)]


def against_best(rows: Sequence[Contestant]) -> dict[str, float]:
    """Label -> Holm-corrected p against the best row (p 1 for itself, NaN where no test is possible).

    The best has the highest mean over tasks.

    Raises:
        DataError: rows that cannot be paired.
    """
    if not rows:
        return {}
    best = max(rows, key=_mean)
    others = [row for row in rows if row is not best]
    for row in others:
        _require_paired(best, row)
    shared = [sorted(set(best.scores) & set(row.scores)) for row in others]
    raw = [float(two_sided(*crossed(by_seed(best, [row], repeats)))[0]) for row, repeats in zip(others, shared, strict=True)]
    return {best.label: 1.0, **{row.label: p for row, p in zip(others, corrected(raw).tolist(), strict=True)}}


def corrected(p_values: Sequence[float] | Vector | pd.Series) -> Vector:
    """Holm over the tests there are; NaN stays NaN."""
    adjusted = np.array(p_values, dtype=np.float64)
    tested = ~np.isnan(adjusted)
    adjusted[tested] = holm(adjusted[tested])
    return adjusted


def ranks_over_tasks(rows: Sequence[Contestant]) -> FriedmanRanks:
    """Friedman ranks of the rows over the tasks of their stream, by accuracy after the last task averaged over seeds.

    Raises:
        DataError: rows that cannot be paired.
        SuiteError: fewer than three rows or two tasks.
    """
    for row in rows[1:]:
        _require_paired(rows[0], row)
    scores = [[_over_repeats(row, task).mean() for row in rows] for task in range(len(rows[0].tasks))] if rows else []
    return friedman(np.asarray(scores, dtype=np.float64).reshape(-1, max(1, len(rows))), LEVEL)


def _mean(row: Contestant) -> float:
    return float(np.mean([np.mean([task.mean() for task in tasks]) for tasks in row.scores.values()]))


def _require_paired(first: Contestant, second: Contestant) -> None:
    if first.judged_on != second.judged_on:
        raise DataError(
            f"'{first.label}' and '{second.label}' were not judged on the same examples by the same rule; compare rows of one "
            "benchmark, order and scoring."
        )


def _over_repeats(row: Contestant, task: int) -> Vector:
    return np.asarray(np.mean([tasks[task] for tasks in row.scores.values()], axis=0))
