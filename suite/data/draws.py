"""Which examples are drawn: few-shot training sets and validation parts.

A draw depends on (data set, what is drawn, seed) and on the set of items of each class, never on their order and never
on any global random state. Within a class the 5 shots of a seed are among its 16 shots, so that both can be compared.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from suite.data.items import ImageItems
from suite.randomness import numpy_generator


def class_rows(items: ImageItems) -> Iterator[tuple[int, list[int]]]:
    """(label, rows sorted by identity) of every class that has items, by ascending label."""
    groups: dict[int, list[int]] = {}
    for row, label in enumerate(items.labels.tolist()):
        groups.setdefault(label, []).append(row)
    for label in sorted(groups):
        yield label, sorted(groups[label], key=items.ids.__getitem__)


def shuffled(rows: Sequence[int], *key: object) -> list[int]:
    """``rows`` in the order of a permutation that depends on ``key`` alone."""
    order = numpy_generator(*key).permutation(len(rows))
    return [rows[position] for position in order.tolist()]


def hold_out(
    items: ImageItems, share: float, *, key: tuple[object, ...], most: int | None = None, leave: int = 0
) -> NDArray[np.int64]:
    """Rows set aside for validation: ``share`` of every class, rounded, at least one and at most ``most``.

    Of a class, ``leave`` images are never taken: a tiny class stays without validation rather than without training.
    """
    chosen: list[int] = []
    for label, rows in class_rows(items):
        count = max(1, round(share * len(rows)))
        count = max(0, min(count, len(rows) - leave, len(rows) if most is None else most))
        chosen += sorted(shuffled(rows, *key, "validation", label)[:count], key=items.ids.__getitem__)
    return np.asarray(chosen, dtype=np.int64)


def draw_beside(items: ImageItems, shots: int, *, key: tuple[object, ...]) -> NDArray[np.int64]:
    """Rows of a few-shot training set from the far end of the order in which ``hold_out`` takes validation rows.

    So which shots are drawn does not depend on how much is held out, as long as both fit into every class.
    """
    chosen: list[int] = []
    for label, rows in class_rows(items):
        chosen += sorted(shuffled(rows, *key, "validation", label)[-shots:], key=items.ids.__getitem__)
    return np.asarray(chosen, dtype=np.int64)


def draw_shots(
    items: ImageItems, shots: int, *, key: tuple[object, ...], fill: bool = False, spare: int = 0
) -> NDArray[np.int64]:
    """Rows of a few-shot training set, class by class.

    Args:
        fill: what happens to a class with fewer than ``shots`` items. False: it keeps what it has (MTIL; MoE-Adapters,
            mtil/src/models/finetune.py). True: all its shots are drawn with replacement, so that images repeat (X-TAIL;
            RAIL, scenario_datasets).
        spare: items of a class that are never drawn unless it has no other, so that validation finds some.
    """
    chosen: list[int] = []
    for label, rows in class_rows(items):
        drawn = shuffled(rows, *key, "shots", label)[: min(shots, max(1, len(rows) - spare))]
        if fill and len(drawn) < shots:
            positions = numpy_generator(*key, "repeats", label).integers(len(drawn), size=shots)
            drawn = [drawn[position] for position in positions.tolist()]
        chosen += sorted(drawn, key=items.ids.__getitem__)
    return np.asarray(chosen, dtype=np.int64)


def rest_of(items: ImageItems, taken: NDArray[np.int64]) -> NDArray[np.int64]:
    """Rows that are not in ``taken``, ascending."""
    return np.setdiff1d(np.arange(len(items), dtype=np.int64), taken)
