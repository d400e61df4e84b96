"""Is the difference between two runs real? Paired tests on per-example scores, and the correction for many of them.

Paired means: entry i of both arrays is the same example. Random draws come from the NumPy generator passed in.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from suite.errors import SuiteError

Vector = NDArray[np.float64]

CHUNK_CELLS = 4_000_000  # random numbers held at once
FEW_VALUES = 64  # up to so many distinct values, counts are drawn instead of examples


@dataclass(frozen=True)
class Interval:
    """Mean paired difference (first minus second) with the bounds of a confidence interval, in the scores' unit."""

    mean: float
    low: float
    high: float

    @property
    def excludes_zero(self) -> bool:
        return self.low > 0.0 or self.high < 0.0


@dataclass(frozen=True)
class McNemar:
    """p value and the two discordant counts: examples that only the first, or only the second, got right."""

    p: float
    only_first: int
    only_second: int


def paired_differences(first: ArrayLike, second: ArrayLike) -> Vector:
    """first - second, (n,), float64.

    Raises:
        SuiteError: different lengths, no examples, or a score that is not finite.
    """
    a, b = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    if a.shape != b.shape or a.ndim != 1 or a.size == 0:
        raise SuiteError(
            f"paired test: shapes {a.shape} and {b.shape}; give two non-empty lists over the same examples."
        )
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise SuiteError("paired test: a score is NaN or infinite; leave out examples not scored in both runs.")
    return a - b


def _groups(differences: Vector, tasks: ArrayLike | None) -> list[Vector]:
    """Differences by task; one group when ``tasks`` is None."""
    if tasks is None:
        return [differences]
    labels = np.asarray(tasks)
    if labels.shape != differences.shape:
        raise SuiteError(f"paired test: {labels.size} task labels for {differences.size} examples; give one each.")
    return [differences[labels == label] for label in np.unique(labels)]


def _resampled_means(differences: Vector, resamples: int, generator: np.random.Generator) -> Vector:
    """Means of bootstrap resamples, (resamples,)."""
    values, counts = np.unique(differences, return_counts=True)
    size = differences.size
    if values.size <= FEW_VALUES:
        drawn = generator.multinomial(size, counts / size, size=resamples)
        return np.asarray(drawn @ values / size)
    per_chunk = max(1, CHUNK_CELLS // size)
    means = [
        differences[generator.integers(0, size, size=(min(per_chunk, resamples - start), size))].mean(axis=1)
        for start in range(0, resamples, per_chunk)
    ]
    return np.concatenate(means)


def _widened(group: Vector, means: Vector) -> Vector:
    """Means spread out by sqrt(n / (n - 1)): resampling alone is too narrow by that factor, which alarms too often
    for a task of few examples. Source: Hesterberg 2015, The American Statistician 69, 371-386.
    """
    size = group.size
    factor = math.sqrt(size / (size - 1)) if size > 1 else 1.0
    return np.asarray(group.mean() + factor * (means - group.mean()))


def paired_bootstrap(
    first: ArrayLike,
    second: ArrayLike,
    generator: np.random.Generator,
    *,
    tasks: ArrayLike | None = None,
    resamples: int = 10_000,
    confidence: float = 0.95,
) -> Interval:
    """Percentile bootstrap interval of the mean paired difference.

    With ``tasks`` (a label per example) the number is the mean over tasks of the mean within a task, as in zscl.last,
    and examples are drawn within their task. Source: Efron and Tibshirani 1993, chapter 13, with the small-sample
    correction of ``_widened``.

    Raises:
        SuiteError: unpaired or non-finite scores, no resamples, confidence outside (0, 1).
    """
    if resamples < 1 or not 0.0 < confidence < 1.0:
        raise SuiteError(
            f"paired bootstrap: resamples {resamples}, confidence {confidence}; use at least 1 and a share in (0, 1)."
        )
    groups = _groups(paired_differences(first, second), tasks)
    means = np.mean([_widened(group, _resampled_means(group, resamples, generator)) for group in groups], axis=0)
    low, high = np.quantile(means, [(1.0 - confidence) / 2.0, (1.0 + confidence) / 2.0])
    return Interval(float(np.mean([group.mean() for group in groups])), float(low), float(high))


def mcnemar(first: ArrayLike, second: ArrayLike, *, mid_p: bool = True) -> McNemar:
    """Two-sided McNemar test on right/wrong outcomes, exact binomial or mid-p.

    Under the null only_first ~ Binomial(discordant, 1/2). Mid-p counts the observed outcome half; it holds the 5 %
    level closely where the exact test stays below it.
    Source: Fagerland, Lydersen and Laake 2013, doi 10.1186/1471-2288-13-91.

    Raises:
        SuiteError: unpaired scores, or outcomes other than 0 and 1.
    """
    from scipy.stats import binom

    a, b = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    differences = paired_differences(a, b)
    if not (np.isin(a, (0.0, 1.0)).all() and np.isin(b, (0.0, 1.0)).all()):
        raise SuiteError("McNemar: outcomes must be 0 or 1; use the sign-flip test for graded scores.")
    only_first, only_second = int((differences > 0).sum()), int((differences < 0).sum())
    fewer, discordant = min(only_first, only_second), only_first + only_second
    tail = 2.0 * float(binom.cdf(fewer, discordant, 0.5))
    p = min(1.0, tail)
    if mid_p:
        # With equal counts both tails contain the observed outcome, which must be counted once.
        observed = float(binom.pmf(fewer, discordant, 0.5))
        p = 1.0 - observed / 2.0 if only_first == only_second else tail - observed
    return McNemar(p if discordant else 1.0, only_first, only_second)


def _flipped_sums(weights: Vector, flips: int, generator: np.random.Generator) -> Vector:
    """Sums of ``weights`` under random signs, (flips,). ``weights`` holds no zeros."""
    values, counts = np.unique(np.abs(weights), return_counts=True)
    if values.size <= FEW_VALUES:
        positive = generator.binomial(counts, 0.5, size=(flips, values.size))
        return np.asarray((2 * positive - counts) @ values)
    per_chunk = max(1, CHUNK_CELLS // weights.size)
    sums = [
        generator.integers(0, 2, size=(min(per_chunk, flips - start), weights.size), dtype=np.int8) @ (2.0 * weights)
        for start in range(0, flips, per_chunk)
    ]
    return np.asarray(np.concatenate(sums) - weights.sum())


def sign_flip(
    first: ArrayLike,
    second: ArrayLike,
    generator: np.random.Generator,
    *,
    tasks: ArrayLike | None = None,
    flips: int = 10_000,
) -> float:
    """Two-sided p value of the paired permutation test for graded scores: each difference keeps or changes its sign.

    All 2^m sign patterns of the m non-zero differences when they are no more than ``flips``; otherwise ``flips`` random
    ones and p = (1 + hits) / (1 + flips). With ``tasks`` the statistic is the mean of task means.

    Raises:
        SuiteError: unpaired or non-finite scores, no flips.
    """
    if flips < 1:
        raise SuiteError(f"sign-flip test: flips is {flips}; use at least 1.")
    groups = _groups(paired_differences(first, second), tasks)
    weights = np.concatenate([group / (group.size * len(groups)) for group in groups])
    weights = weights[weights != 0]
    observed = abs(float(weights.sum()))
    slack = 1e-12 * float(np.abs(weights).sum())  # sums of the same numbers in another order must count as equal
    if weights.size <= int(math.log2(flips)):
        patterns = (np.arange(2**weights.size)[:, None] >> np.arange(weights.size)) & 1
        return float((np.abs((2 * patterns - 1) @ weights) >= observed - slack).mean())
    hits = int((np.abs(_flipped_sums(weights, flips, generator)) >= observed - slack).sum())
    return (1 + hits) / (1 + flips)


def holm(p_values: ArrayLike) -> Vector:
    """Holm's step-down adjusted p values, in the given order, at most 1. Source: Holm 1979.

    Raises:
        SuiteError: a value outside 0 to 1 or NaN.
    """
    p = np.asarray(p_values, dtype=np.float64)
    if p.ndim != 1 or not ((p >= 0.0) & (p <= 1.0)).all():
        raise SuiteError("Holm correction: p values must be a list of numbers from 0 to 1.")
    order = np.argsort(p, kind="stable")
    factors = np.arange(p.size, 0, -1)
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(p[order] * factors))
    return adjusted
