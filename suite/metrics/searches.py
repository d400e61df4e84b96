"""What a search's trials say beyond their best one: what fewer would have found, how much of the space is good, whose order changed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from math import comb

import numpy as np
from numpy.typing import ArrayLike, NDArray

from suite.errors import SuiteError

Vector = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class ExpectedBest:
    """Best value of k trials, for k = 1 to n; every array is (n,), in the values' unit.

    Attributes:
        mean: over all sets of k of the n trials.
        low, high: between these the best of k lies in at least 80 % of the sets. At k = n there is one set, so that both are its best.
    """

    mean: Vector
    low: Vector
    high: Vector


@dataclass(frozen=True)
class Share:
    """A share of trials with Wilson's 95 % interval for the share of the space that they were drawn from."""

    share: float
    low: float
    high: float
    of: int


@dataclass(frozen=True)
class OrderAgreement:
    """Two rankings of the same methods.

    Attributes:
        tau: Kendall's tau-b, 1 = same order, -1 = reversed; NaN where one ranking is a tie from top to bottom.
        kept, changed, tied: pairs in the same order, in the other order, and with a tie in one of the rankings.
    """

    tau: float
    kept: int
    changed: int
    tied: int

    @property
    def pairs(self) -> int:
        return self.kept + self.changed + self.tied


def expected_best(values: ArrayLike) -> ExpectedBest:
    """Best of k trials drawn without replacement from ``values`` (n,), larger is better, for every k.

    With the values in ascending order, the best of k is at most the i-th in C(i, k) of C(n, k) sets. This is the estimator that is
    unbiased for trials drawn independently. Sources: Dodge et al. 2019, "Show Your Work", arXiv 1909.03004, which draws with
    replacement; Tang et al. 2020, arXiv 2004.13705, for the form without.

    Raises:
        SuiteError: no values, or one that is not finite.
    """
    ordered = np.sort(np.asarray(values, dtype=np.float64))
    if ordered.ndim != 1 or ordered.size == 0 or not np.isfinite(ordered).all():
        raise SuiteError("expected best: give at least one trial, and finite values; leave out trials without one.")
    size = ordered.size
    means, lows, highs = [], [], []
    for k in range(1, size + 1):
        sets = comb(size, k)
        at_most = np.array([comb(i, k) / sets for i in range(1, size + 1)])
        means.append(float(np.diff(at_most, prepend=0.0) @ ordered))
        # A hair below each bound, for shares that are equal to it but for rounding.
        lows.append(ordered[int(np.searchsorted(at_most, 0.1 - 1e-12))])
        highs.append(ordered[int(np.searchsorted(at_most, 0.9 - 1e-12))])
    return ExpectedBest(np.array(means), np.array(lows), np.array(highs))


def share_within(values: Sequence[float | None], best: float, points: float) -> Share | None:
    """Share of the trials whose value is at most ``points`` below ``best``; None without trials.

    Args:
        values: of trials drawn independently from the space; None for one that was not learned to its end, which counts as outside.
    """
    from scipy.stats import binomtest

    if not values:
        return None
    inside = sum(value is not None and value >= best - points for value in values)
    interval = binomtest(inside, len(values)).proportion_ci(0.95, method="wilson")
    return Share(inside / len(values), float(interval.low), float(interval.high), len(values))


def order_agreement(first: ArrayLike, second: ArrayLike) -> OrderAgreement:
    """How far two lists of scores order the same methods alike. Source: Kendall 1945, Biometrika 33 (tau-b).

    Raises:
        SuiteError: fewer than two methods, lists of different length, or a score that is not finite.
    """
    from scipy.stats import kendalltau

    one, other = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    if one.ndim != 1 or one.shape != other.shape or one.size < 2 or not np.isfinite([one, other]).all():
        raise SuiteError(f"order: {one.size} and {other.size} scores; give one finite score of each for at least two methods.")
    rows, columns = np.triu_indices(one.size, 1)
    signs = np.sign(one[rows] - one[columns]) * np.sign(other[rows] - other[columns])
    tau = math.nan if np.ptp(one) == 0 or np.ptp(other) == 0 else float(kendalltau(one, other).statistic)
    return OrderAgreement(tau, int((signs > 0).sum()), int((signs < 0).sum()), int((signs == 0).sum()))
