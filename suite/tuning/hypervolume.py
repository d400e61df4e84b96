"""Hypervolume: how much of the objective space a set of trials dominates, one number for a front's progress."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

Matrix = NDArray[np.float64]


def hypervolume(points: ArrayLike, reference: ArrayLike) -> float:
    """Volume between ``reference`` and the points, (n, k) to be maximised, exactly, by slicing along the last objective.

    Points that do not exceed the reference in every objective add nothing. Cost grows as n^(k-1): meant for two to four
    objectives and hundreds of points.
    Source: Zitzler and Thiele 1998 (the measure); While et al. 2006 (slicing).
    """
    origin = np.asarray(reference, dtype=np.float64)
    above = np.asarray(points, dtype=np.float64).reshape(-1, len(origin)) - origin
    return _volume(above[(above > 0).all(axis=1)])


def _volume(points: Matrix) -> float:
    if len(points) == 0:
        return 0.0
    if points.shape[1] == 1:
        return float(points.max())
    ordered = points[np.argsort(-points[:, -1], kind="stable")]
    edges = np.append(ordered[:, -1], 0.0)
    depths = edges[:-1] - edges[1:]
    return math.fsum(depth * _volume(ordered[: count + 1, :-1]) for count, depth in enumerate(depths) if depth > 0)


def maximised(values: ArrayLike, maximise: Sequence[bool]) -> Matrix:
    """``values`` (n, k) with the objectives that shall be small turned round."""
    signs = np.where(np.asarray(maximise), 1.0, -1.0)
    return np.asarray(values, dtype=np.float64).reshape(-1, len(signs)) * signs


def history(values: ArrayLike, maximise: Sequence[bool]) -> list[float]:
    """Share of the final hypervolume after each of n trials, (n,); the reference is the worst value of each objective."""
    points = maximised(values, maximise)
    if len(points) == 0:
        return []
    reference = points.min(axis=0)
    whole = hypervolume(points, reference)
    return [hypervolume(points[: count + 1], reference) / whole if whole else 1.0 for count in range(len(points))]
