"""Which rows of a split ``benchmark.limit`` keeps."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def first_rows(labels: NDArray[np.int64], most: int) -> NDArray[np.int64]:
    """Ascending rows of the first ``most`` examples when all classes are gone through together.

    First comes the first example of every class, then the second of every class, each class in the order of its rows, so that a
    small part still holds every class. What a smaller number keeps, a larger one keeps too.

    Args:
        labels: int64 (n,); a draw stands in them class by class.
    """
    seen: dict[int, int] = {}
    turns = np.empty(len(labels), dtype=np.int64)
    for row, label in enumerate(labels.tolist()):
        turns[row] = seen[label] = seen.get(label, -1) + 1
    return np.sort(np.argsort(turns, kind="stable")[:most])
