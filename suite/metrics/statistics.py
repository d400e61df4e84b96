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
        raise SuiteError(f"paired test: shapes {a.shape} and {b.shape}; give two non-empty lists over the same examples.")
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise SuiteError("paired test: a score is NaN or infinite; leave out examples not scored in both runs.")
    return a - b


def _groups(differences: Vector, tasks: ArrayLike) -> list[Vector]:
    """Differences by task."""
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
    for a task of few examples. NaN for a single one. Source: Hesterberg 2015, The American Statistician 69, 371-386.
    """
    size = group.size
    factor = math.sqrt(size / (size - 1)) if size > 1 else math.nan
    return np.asarray(group.mean() + factor * (means - group.mean()))


def paired_bootstrap(
    first: ArrayLike,
    second: ArrayLike,
    generator: np.random.Generator,
    *,
    tasks: ArrayLike,
    resamples: int,
    confidence: float,
) -> Interval:
    """Percentile bootstrap interval of the paired difference: mean over tasks of the mean within a task, as in zscl.last.

    ``tasks`` gives a label per example; examples are drawn within their task. Both bounds are NaN where a task has one
    example, whose spread nobody knows. Source: Efron and Tibshirani 1993, chapter 13, with the small-sample correction of
    ``_widened``.

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


def mcnemar(first: ArrayLike, second: ArrayLike) -> McNemar:
    """Two-sided McNemar test on right/wrong outcomes, mid-p.

    Under the null only_first ~ Binomial(discordant, 1/2). Mid-p counts the observed outcome half; it holds the 5 %
    level closely where the exact binomial test stays below it.
    Source: Fagerland, Lydersen and Laake 2013, doi 10.1186/1471-2288-13-91.

    Raises:
        SuiteError: unpaired scores, or outcomes other than 0 and 1.
    """
    from scipy.stats import binom

    a, b = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    differences = paired_differences(a, b)
    if not (np.isin(a, (0.0, 1.0)).all() and np.isin(b, (0.0, 1.0)).all()):
        raise SuiteError(
            "McNemar: outcomes must be 0 or 1; graded scores are compared by their differences, as "
            "suite.leaderboard.comparison does and 'codyra-suite significance' prints."
        )
    only_first, only_second = int((differences > 0).sum()), int((differences < 0).sum())
    fewer, discordant = min(only_first, only_second), only_first + only_second
    observed = float(binom.pmf(fewer, discordant, 0.5))
    # With equal counts both tails contain the observed outcome, which must be counted once.
    p = 1.0 - observed / 2.0 if only_first == only_second else 2.0 * float(binom.cdf(fewer, discordant, 0.5)) - observed
    return McNemar(p if discordant else 1.0, only_first, only_second)


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
