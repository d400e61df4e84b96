"""Paired tests of every pair of rows at once: what ``suite.leaderboard.comparison`` says of two rows, computed for all of them together.

A table of 1,000 rows has half a million pairs. Each row is tested against all later ones in one step, with the additions in the same
order as for one pair, and the bootstrap draws its resamples once for all rows (``suite.metrics.statistics.resampled_means``).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from suite.metrics.statistics import CHUNK_CELLS, mcnemar_p, percentile_bounds, resampled_means
from suite.randomness import numpy_generator

Array = NDArray[np.float64]
Counts = NDArray[np.int64]
Repeat = tuple[int, tuple[str, ...]]
Vectors = dict[tuple[int, tuple[Repeat, ...]], int]  # (row, the runs whose mean it is) -> its place among the resampled


class Row(Protocol):
    """What is tested: the scores of each run, (seed, order of tasks), as arrays per task; ``suite.leaderboard.comparison.Contestant``."""

    @property
    def tasks(self) -> tuple[str, ...]: ...

    @property
    def scores(self) -> Mapping[Repeat, Sequence[Array]]: ...


@dataclass(frozen=True)
class PairedTests:
    """Arrays with one entry per pair (0, 1), (0, 2), ..., (1, 2), ...

    Attributes:
        mean, low, high: difference, first minus second, with its interval; NaN bounds where no test is possible.
        seeds: how many seeds the pair shares; 1 also for the means of rows that share no run.
        only_first, only_second: discordant examples where one run of 0/1 outcomes is shared, else NaN.
    """

    mean: Array
    low: Array
    high: Array
    p: Array
    seeds: Counts
    only_first: Array
    only_second: Array

    def mcnemar(self) -> Array:
        """McNemar's p; NaN where the pair does not share exactly one run of 0/1 outcomes."""
        known = ~np.isnan(self.only_first)
        found = np.full(known.shape, math.nan)
        found[known] = mcnemar_p(self.only_first[known].astype(int), self.only_second[known].astype(int))
        return found


def paired_tests(rows: Sequence[Row], level: float, resamples: int, *, first_alone: bool = False) -> PairedTests:
    """Every pair of rows, which were judged on the same examples; with ``first_alone`` the first one against each other one."""
    pairs = len(rows) - 1 if first_alone else len(rows) * (len(rows) - 1) // 2
    found = PairedTests(
        mean=_unknown(pairs),
        low=_unknown(pairs),
        high=_unknown(pairs),
        p=_unknown(pairs),
        seeds=np.ones(pairs, dtype=np.int64),
        only_first=_unknown(pairs),
        only_second=_unknown(pairs),
    )
    vectors: Vectors = {}
    by_examples: list[tuple[int, Counts, Counts]] = []  # place of the first row's vector, places of the others', their pairs
    for first, others, shared in _blocks(rows, firsts=1 if first_alone else len(rows)):
        at = np.array([first * len(rows) - first * (first + 1) // 2 + other - first - 1 for other in others])
        differences = by_seed(rows[first], [rows[other] for other in others], shared)
        mean, error, freedom = crossed(differences)
        found.mean[at], found.p[at], found.seeds[at] = mean, two_sided(mean, error, freedom), differences[0].shape[1]
        if differences[0].shape[1] > 1:
            margin = _quantile(freedom, level) * error
            found.low[at], found.high[at] = mean - margin, mean + margin
        else:
            used = [vectors.setdefault((row, shared), len(vectors)) for row in (first, *others)]
            by_examples.append((used[0], np.array(used[1:]), at))
        if len(shared) == 1:
            _count_discordant(found, rows, first, others, shared[0], at, differences)
    if by_examples:
        means = _resampled(rows, vectors, resamples)
        for place, places, at in by_examples:
            for part in np.array_split(np.arange(at.size), math.ceil(at.size * resamples / CHUNK_CELLS)):
                found.low[at[part]], found.high[at[part]] = percentile_bounds(means[place] - means[places[part]], 1.0 - level)
    return found


def _unknown(pairs: int) -> Array:
    return np.full(pairs, math.nan)


def _blocks(rows: Sequence[Row], *, firsts: int) -> Iterator[tuple[int, list[int], tuple[Repeat, ...]]]:
    """One of the first rows, later ones that share the same runs with it, and those runs; never more differences at once than ``CHUNK_CELLS``."""
    for first, row in enumerate(rows[:firsts]):
        groups: dict[tuple[Repeat, ...], list[int]] = {}
        for other in range(first + 1, len(rows)):
            groups.setdefault(tuple(sorted(set(row.scores) & set(rows[other].scores))), []).append(other)
        examples = sum(task.size for task in next(iter(row.scores.values())))
        for shared, others in groups.items():
            per_block = max(1, CHUNK_CELLS // (examples * max(1, len(shared))))
            for start in range(0, len(others), per_block):
                yield first, others[start : start + per_block], shared


def by_seed(first: Row, others: Sequence[Row], shared: Sequence[Repeat]) -> list[Array]:
    """Differences per task, (others, seeds, examples), mean over a seed's orders; of the rows' means when no run is shared."""
    tasks = range(len(first.tasks))
    if not shared:
        return [
            (_over_runs(first, task) - np.stack([_over_runs(other, task) for other in others]))[:, None, :] for task in tasks
        ]
    seeds = {seed: [repeat for repeat in shared if repeat[0] == seed] for seed, _ in shared}

    def difference(run: Repeat, task: int) -> Array:
        return first.scores[run][task] - np.stack([other.scores[run][task] for other in others])

    return [
        np.stack([np.mean([difference(run, task) for run in same], axis=0) for same in seeds.values()], axis=1)
        for task in tasks
    ]


def _over_runs(row: Row, task: int) -> Array:
    return np.asarray(np.mean([tasks[task] for tasks in row.scores.values()], axis=0))


def crossed(differences: Sequence[Array]) -> tuple[Array, Array, Array]:
    """Mean over tasks, its standard error and degrees of freedom of each pair, from (pairs, seeds, examples) per task.

    See ``suite.leaderboard.comparison.compare``. NaN when a task has one example and one seed: nothing then tells how much it varies.
    """
    count, (pairs, seeds, _) = len(differences), differences[0].shape
    mean = np.stack([task.reshape(pairs, -1).mean(axis=1) for task in differences], axis=1).mean(axis=1)
    sizes = np.array([task.shape[2] for task in differences])
    alone = np.full(pairs, math.nan if seeds == 1 else 0.0)
    spread = [task.mean(axis=1).var(axis=1, ddof=1) if task.shape[2] > 1 else alone for task in differences]
    parts = np.stack(spread, axis=1) / sizes / count**2
    examples = parts.sum(axis=1)
    examples_freedom = _ratio(examples**2, (parts**2 / np.maximum(sizes - 1, 1)).sum(axis=1))
    if seeds == 1:
        return mean, np.sqrt(examples), examples_freedom
    by_seed = np.mean([task.mean(axis=2) for task in differences], axis=0)
    over_seeds = by_seed.var(axis=1, ddof=1) / seeds
    residuals = np.stack([_residual(task) / (seeds * task.shape[2]) for task in differences], axis=1)
    rest = np.array([math.fsum(row) for row in residuals.tolist()]) / count**2
    variance = np.maximum(np.maximum(examples, over_seeds), examples + over_seeds - rest)
    weight = np.where(examples > 0.0, _ratio(examples**2, examples_freedom), 0.0) + over_seeds**2 / (seeds - 1)
    freedom = np.where(weight > 0.0, np.maximum(_ratio(variance**2, weight), seeds - 1.0), math.inf)
    return mean, np.sqrt(variance), freedom


def _ratio(above: Array, below: Array) -> Array:
    """Infinite over zero."""
    return np.divide(above, below, out=np.full_like(above, math.inf), where=below != 0.0)


def _residual(task: Array) -> Array:
    """Mean square left after seed and example means, (pairs, seeds, examples)."""
    pairs, seeds, size = task.shape
    whole = task.reshape(pairs, -1).mean(axis=1)[:, None, None]
    left = task - task.mean(axis=1, keepdims=True) - task.mean(axis=2, keepdims=True) + whole
    freedom: int = (seeds - 1) * max(size - 1, 1)
    return np.asarray((left**2).reshape(pairs, -1).sum(axis=1) / freedom)


def two_sided(mean: Array, error: Array, freedom: Array) -> Array:
    """p of a t test; without any spread 1 for no difference and 0 for one."""
    from scipy.stats import t

    with np.errstate(divide="ignore", invalid="ignore"):
        tested = 2.0 * t.sf(np.abs(mean) / error, freedom)
    return np.asarray(np.where(error == 0.0, np.where(mean == 0.0, 1.0, 0.0), tested))


def _quantile(freedom: Array, level: float) -> Array:
    from scipy.stats import t

    return np.asarray(t.ppf(1.0 - level / 2.0, freedom))


def _count_discordant(
    found: PairedTests,
    rows: Sequence[Row],
    first: int,
    others: list[int],
    run: Repeat,
    at: Counts,
    differences: list[Array],
) -> None:
    if not _is_binary(rows[first], run):
        return
    binary = np.array([_is_binary(rows[other], run) for other in others])
    found.only_first[at[binary]] = sum((task[binary, 0] > 0.0).sum(axis=1) for task in differences)
    found.only_second[at[binary]] = sum((task[binary, 0] < 0.0).sum(axis=1) for task in differences)


def _is_binary(row: Row, run: Repeat) -> bool:
    return all(((task == 0.0) | (task == 100.0)).all() for task in row.scores[run])


def _resampled(rows: Sequence[Row], vectors: Vectors, resamples: int) -> Array:
    """Resample means of the rows' means over the named runs (over all of them where none is), in the order of ``vectors``."""
    tasks = range(len(rows[0].tasks))
    scores = [
        np.stack([np.mean([rows[row].scores[run][task] for run in runs or rows[row].scores], axis=0) for row, runs in vectors])
        for task in tasks
    ]
    return resampled_means(scores, [numpy_generator("comparison", task) for task in tasks], resamples)
