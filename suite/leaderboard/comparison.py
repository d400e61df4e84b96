"""Is the difference between two rows real? Paired tests on stored outcomes, example by example and seed by seed.

What is compared is the mean over tasks of the accuracy after the last task (``zscl.last``, ``trace.op``, ``gem.average``).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from suite.counting import counted
from suite.errors import DataError
from suite.metrics.comparison import FriedmanRanks, friedman
from suite.metrics.statistics import holm, mcnemar, paired_bootstrap
from suite.randomness import numpy_generator
from suite.runs.outcomes import Key, Scores
from suite.runs.record import Record

Vector = NDArray[np.float64]
Repeat = tuple[int, tuple[str, ...]]
LEVEL = 0.05


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


def compare(first: Contestant, second: Contestant, *, resamples: int = 10_000) -> Difference:
    """Paired difference of two rows.

    With one common seed the interval is a bootstrap over examples within tasks and says nothing about other seeds; without a
    common one it is that of the means over each row's own seeds. A task of one example then allows no test. With several, the variance of the mean is that of a crossed design: over examples, plus over seeds, minus their residual,
    which is in both, and never below the larger of the two; degrees of freedom after Satterthwaite. Runs of one seed in several
    orders of tasks are one unit, their mean: they share what the seed draws, and the result holds for the orders that were run.
    Source: Clark 1973, Journal of Verbal Learning and Verbal Behavior 12 (quasi-F ratios).

    Raises:
        DataError: the rows were not judged on the same examples by the same rule.
    """
    _require_paired(first, second)
    shared = sorted(set(first.scores) & set(second.scores))
    differences = _by_seed(first, second, shared)
    seeds = differences[0].shape[0]
    mean, error, freedom = _crossed(differences)
    p = _two_sided(mean, error, freedom)
    if seeds > 1:
        margin = _quantile(freedom) * error
        return Difference(mean, mean - margin, mean + margin, p, f"examples and {seeds} seeds")
    flat = np.concatenate([task[0] for task in differences])
    owners = np.repeat(np.arange(len(differences)), [task.shape[1] for task in differences])
    draws = numpy_generator("comparison", first.label, second.label)
    interval = paired_bootstrap(flat, np.zeros_like(flat), draws, tasks=owners, resamples=resamples, confidence=1.0 - LEVEL)
    over = "nothing: a task has one example" if math.isnan(p) else "examples"
    return Difference(mean, interval.low, interval.high, p, over)


def pairwise_frame(rows: Sequence[Contestant]) -> pd.DataFrame:
    """Every pair of rows: difference, interval, p, p after Holm, and McNemar's test where one seed of 0/1 outcomes is shared.

    Raises:
        DataError: fewer than two rows, or rows that cannot be paired.
    """
    if len(rows) < 2:
        raise DataError(f"significance: {counted(len(rows), 'finished row')} to compare; name at least two.")
    found = []
    for first, second in combinations(rows, 2):
        difference = compare(first, second)
        found.append(
            {
                "first": first.label,
                "second": second.label,
                "difference": difference.mean,
                "low": difference.low,
                "high": difference.high,
                "p": difference.p,
                "over": difference.over,
                **_mcnemar(first, second),
            }
        )
    frame = pd.DataFrame(found)
    frame.insert(6, "p holm", corrected(frame["p"]))
    frame["mcnemar holm"] = corrected(frame["mcnemar p"])
    return frame


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
    raw = [_two_sided(*_crossed(_by_seed(best, row, repeats))) for row, repeats in zip(others, shared, strict=True)]
    return {best.label: 1.0, **{row.label: p for row, p in zip(others, corrected(raw).tolist(), strict=True)}}


def corrected(p_values: Sequence[float] | pd.Series) -> Vector:
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


def _by_seed(first: Contestant, second: Contestant, shared: Sequence[Repeat]) -> list[Vector]:
    """Differences per task, (seeds, examples), mean over a seed's orders; one row of differences of means when no run is shared."""
    tasks = range(len(first.tasks))
    if not shared:
        return [(_over_repeats(first, task) - _over_repeats(second, task))[None, :] for task in tasks]
    seeds = {seed: [repeat for repeat in shared if repeat[0] == seed] for seed, _ in shared}
    return [
        np.stack(
            [np.mean([first.scores[one][task] - second.scores[one][task] for one in same], axis=0) for same in seeds.values()]
        )
        for task in tasks
    ]


def _over_repeats(row: Contestant, task: int) -> Vector:
    return np.asarray(np.mean([tasks[task] for tasks in row.scores.values()], axis=0))


def _crossed(differences: Sequence[Vector]) -> tuple[float, float, float]:
    """Mean over tasks, its standard error and degrees of freedom, from (seeds, examples) per task; see ``compare``.

    Both are NaN when a task has one example and one seed: nothing then tells how much it varies.
    """
    count, seeds = len(differences), differences[0].shape[0]
    mean = float(np.mean([task.mean() for task in differences]))
    sizes = np.array([task.shape[1] for task in differences])
    alone = math.nan if seeds == 1 else 0.0
    spread = np.array([task.mean(axis=0).var(ddof=1) if task.shape[1] > 1 else alone for task in differences])
    parts = spread / sizes / count**2
    examples = float(parts.sum())
    examples_freedom = examples**2 / float((parts**2 / np.maximum(sizes - 1, 1)).sum()) if examples else math.inf
    if seeds == 1:
        return mean, math.sqrt(examples), examples_freedom
    by_seed = np.mean([task.mean(axis=1) for task in differences], axis=0)
    over_seeds = float(by_seed.var(ddof=1)) / seeds
    rest = math.fsum(_residual(task) / (seeds * task.shape[1]) for task in differences) / count**2
    variance = max(examples, over_seeds, examples + over_seeds - rest)
    weight = examples**2 / examples_freedom + over_seeds**2 / (seeds - 1)
    freedom = max(variance**2 / weight, seeds - 1.0) if weight else math.inf
    return mean, math.sqrt(variance), freedom


def _residual(task: Vector) -> float:
    """Mean square left after seed and example means, (seeds, examples)."""
    seeds, size = task.shape
    left = task - task.mean(axis=0) - task.mean(axis=1, keepdims=True) + task.mean()
    freedom: int = (seeds - 1) * max(size - 1, 1)
    return float((left**2).sum()) / freedom


def _two_sided(mean: float, error: float, freedom: float) -> float:
    from scipy.stats import t

    if error == 0.0:
        return 1.0 if mean == 0.0 else 0.0
    return float(2.0 * t.sf(abs(mean) / error, freedom))


def _quantile(freedom: float) -> float:
    from scipy.stats import t

    return float(t.ppf(1.0 - LEVEL / 2.0, freedom))


def _mcnemar(first: Contestant, second: Contestant) -> dict[str, float]:
    empty = {"only first": math.nan, "only second": math.nan, "mcnemar p": math.nan}
    shared = set(first.scores) & set(second.scores)
    if len(shared) != 1:
        return empty
    repeat = shared.pop()
    one, other = np.concatenate(first.scores[repeat]) / 100.0, np.concatenate(second.scores[repeat]) / 100.0
    if not (np.isin(one, (0.0, 1.0)).all() and np.isin(other, (0.0, 1.0)).all()):
        return empty
    found = mcnemar(one, other)
    return {"only first": found.only_first, "only second": found.only_second, "mcnemar p": found.p}
