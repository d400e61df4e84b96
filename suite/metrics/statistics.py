"""Is the difference between two runs real? Paired tests on per-example scores, and the correction for many of them.

Paired means: entry i of every row is the same example. Random draws come from the NumPy generators passed in.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from suite.errors import SuiteError

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]

CHUNK_CELLS = 4_000_000  # random numbers held at once


def resampled_means(scores: Sequence[ArrayLike], generators: Sequence[np.random.Generator], resamples: int) -> Matrix:
    """Bootstrap resamples of every row's mean over tasks of the mean within a task, as in zscl.last: (rows, resamples).

    All rows are resampled together: resample b draws the same examples for each. The difference of two rows of the result is
    therefore the paired bootstrap of their difference, and a table of many rows costs one set of draws.

    Resample means of a task are spread out around its mean by sqrt(n / (n - 1)): resampling alone is too narrow by that factor, which
    alarms too often for a task of few examples. A task of one example, whose spread nobody knows, makes all NaN.
    Source: Efron and Tibshirani 1993, chapter 13; Hesterberg 2015, The American Statistician 69, 371-386.

    Args:
        scores: per task (rows, examples).
        generators: one per task.
    """
    total = 0.0
    for task, generator in zip(scores, generators, strict=True):
        found = np.asarray(task, dtype=np.float64)
        size, mean = found.shape[1], found.mean(axis=1, keepdims=True)
        factor = math.sqrt(size / (size - 1)) if size > 1 else math.nan
        total = total + mean + factor * (_task_means(found, generator, resamples) - mean)
    return np.asarray(total / len(scores))


def _task_means(scores: Matrix, generator: np.random.Generator, resamples: int) -> Matrix:
    """Means of resamples of one task's examples, (rows, resamples), by how often each resample has each example."""
    size = scores.shape[1]
    per_chunk = max(1, CHUNK_CELLS // size)
    parts = []
    for start in range(0, resamples, per_chunk):
        count = min(per_chunk, resamples - start)
        drawn = generator.integers(0, size, size=(count, size))
        drawn += np.arange(count)[:, None] * size
        times = np.bincount(drawn.ravel(), minlength=count * size).reshape(count, size)
        parts.append(scores @ times.T.astype(np.float64))
    return np.asarray(np.concatenate(parts, axis=1) / size)


def percentile_bounds(means: Matrix, confidence: float) -> tuple[Vector, Vector]:
    """Bounds of the percentile interval of each row of ``means``, (rows, resamples)."""
    low, high = np.quantile(means, [(1.0 - confidence) / 2.0, (1.0 + confidence) / 2.0], axis=1)
    return low, high


def mcnemar_p(only_first: ArrayLike, only_second: ArrayLike) -> Vector:
    """Mid-p of McNemar's two-sided test by the discordant counts; 1 without any.

    Under the null only_first ~ Binomial(discordant, 1/2). Mid-p counts the observed outcome half; it holds the 5 %
    level closely where the exact binomial test stays below it.
    Source: Fagerland, Lydersen and Laake 2013, doi 10.1186/1471-2288-13-91.
    """
    from scipy.stats import binom

    first, second = np.asarray(only_first), np.asarray(only_second)
    fewer, discordant = np.minimum(first, second), first + second
    observed = binom.pmf(fewer, discordant, 0.5)
    # With equal counts both tails contain the observed outcome, which must be counted once.
    p = np.where(first == second, 1.0 - observed / 2.0, 2.0 * binom.cdf(fewer, discordant, 0.5) - observed)
    return np.asarray(np.where(discordant > 0, p, 1.0))


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
