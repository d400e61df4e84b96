"""Several methods over several tasks (ranks) and several runs of one method (where the spread comes from)."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from suite.errors import SuiteError

Vector = NDArray[np.float64]
SAME_DECIMALS = 9  # scores that agree so far are equal: the rest is rounding of their sums


@dataclass(frozen=True, eq=False)
class FriedmanRanks:
    """Ranks of k methods over n tasks.

    Attributes:
        mean_ranks: (k,), 1 = best; ties share the mean of their ranks.
        p: of all methods ranking alike.
        critical_difference: methods whose mean ranks are closer than this are not separable (Nemenyi).
        p_against_first: (k,), Nemenyi's p values of ranking as the first one does, 1 for itself. All k (k - 1) / 2 pairs would take an hour
            for 1,000 methods.
    """

    mean_ranks: Vector
    p: float
    critical_difference: float
    p_against_first: Vector


@dataclass(frozen=True)
class VarianceSplit:
    """Variance components of a score over seeds and task orders, in squared points; None = cannot be separated."""

    seed: float | None
    order: float | None
    rest: float | None


def nemenyi_difference(methods: int, tasks: int, alpha: float) -> float:
    """q_alpha sqrt(k (k + 1) / (6 n)), q_alpha = studentized range for infinite freedom / sqrt 2.

    Source: Demsar 2006, JMLR 7, section 3.2.2.
    """
    from scipy.stats import studentized_range

    quantile = float(studentized_range.ppf(1.0 - alpha, methods, np.inf)) / math.sqrt(2.0)
    return quantile * math.sqrt(methods * (methods + 1) / (6.0 * tasks))


def friedman(scores: ArrayLike, alpha: float) -> FriedmanRanks:
    """Friedman test over tasks with Nemenyi's critical difference. Source: Demsar 2006, JMLR 7, section 3.2.2.

    Args:
        scores: (n tasks, k methods), one score per task and method, larger is better; equal to nine decimals = a tie.

    Raises:
        SuiteError: fewer than 3 methods or 2 tasks, or a score that is not finite.
    """
    from scipy.stats import friedmanchisquare, rankdata, studentized_range

    table = np.asarray(scores, dtype=np.float64)
    if table.ndim != 2 or table.shape[0] < 2 or table.shape[1] < 3:
        raise SuiteError(
            f"Friedman ranks: scores of shape {table.shape}; give at least 2 tasks (rows) and 3 methods (columns), "
            "or compare two methods with a paired test."
        )
    if not np.isfinite(table).all():
        row, column = (int(index) for index in np.argwhere(~np.isfinite(table))[0])
        raise SuiteError(f"Friedman ranks: method {column} has no score on task {row}; leave out one of the two.")
    tasks, methods = table.shape
    table = table.round(SAME_DECIMALS)
    ranks = rankdata(-table, axis=1)
    difference = nemenyi_difference(methods, tasks, alpha)
    if (ranks == ranks[0, 0]).all():  # every task a tie: SciPy would divide 0 by 0
        return FriedmanRanks(ranks.mean(axis=0), 1.0, difference, np.ones(methods))
    mean_ranks = ranks.mean(axis=0)
    apart = (mean_ranks - mean_ranks.min()) / math.sqrt(methods * (methods + 1) / (6.0 * tasks))
    p = np.asarray(studentized_range.sf(apart * math.sqrt(2.0), methods, np.inf), dtype=np.float64)
    p[mean_ranks.argmin()] = 1.0
    return FriedmanRanks(mean_ranks, float(friedmanchisquare(*table.T).pvalue), difference, p)


def split_variance(values: ArrayLike, seeds: Sequence[Hashable], orders: Sequence[Hashable]) -> VarianceSplit:
    """Moment estimates of y = mean + seed + order + rest from one run per (seed, order) of a complete crossing.

    With mean squares MS: rest = MS_rest, seed = (MS_seed - MS_rest) / number of orders, order likewise; negative
    estimates become 0, as usual for variance components. With one order only, the variance over seeds is all there is:
    it is returned as ``seed``, and ``rest`` cannot be told from it; the same with one seed only.
    Source: two-way random effects without replication, Searle, Casella and McCulloch 1992, chapter 4.

    Raises:
        SuiteError: fewer than two runs, lists of different length, a run missing or doubled, a value not finite.
    """
    table = _crossing(np.asarray(values, dtype=np.float64), list(seeds), list(orders))
    seed_count, order_count = table.shape
    if order_count == 1:
        return VarianceSplit(seed=float(table.var(ddof=1)), order=None, rest=None)
    if seed_count == 1:
        return VarianceSplit(seed=None, order=float(table.var(ddof=1)), rest=None)
    by_seed, by_order = table.mean(axis=1), table.mean(axis=0)
    residual = table - by_seed[:, None] - by_order[None, :] + table.mean()
    rest = float((residual**2).sum()) / ((seed_count - 1) * (order_count - 1))
    # The mean square of a row effect is the number of columns times the variance of the row means.
    seed = max(0.0, float(by_seed.var(ddof=1)) - rest / order_count)
    order = max(0.0, float(by_order.var(ddof=1)) - rest / seed_count)
    return VarianceSplit(seed=seed, order=order, rest=rest)


def _crossing(values: Vector, seeds: list[Hashable], orders: list[Hashable]) -> Vector:
    """Values as a table (seeds, orders), every cell filled exactly once."""
    if values.ndim != 1 or not values.size == len(seeds) == len(orders) or values.size < 2:
        raise SuiteError(
            f"variance split: {values.size} values, {len(seeds)} seeds, {len(orders)} orders; "
            "give one of each per run, and at least two runs."
        )
    if not np.isfinite(values).all():
        raise SuiteError("variance split: a value is NaN or infinite; leave out runs without a score.")
    rows = {seed: row for row, seed in enumerate(dict.fromkeys(seeds))}
    columns = {order: column for column, order in enumerate(dict.fromkeys(orders))}
    table = np.full((len(rows), len(columns)), np.nan)
    for value, seed, order in zip(values, seeds, orders, strict=True):
        if not np.isnan(table[rows[seed], columns[order]]):
            raise SuiteError(f"variance split: two runs have seed {seed!r} and order {order!r}; keep one.")
        table[rows[seed], columns[order]] = value
    for seed, row in rows.items():
        for order, column in columns.items():
            if np.isnan(table[row, column]):
                raise SuiteError(f"variance split: no run has seed {seed!r} and order {order!r}; run it or leave out one.")
    return table
