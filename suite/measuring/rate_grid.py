"""Which learning rates to try: a first grid around a rate, and further ones while the best is an end of it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from suite.leaderboard.selection import metric_value
from suite.runs.record import Record


@dataclass(frozen=True)
class RateGrid:
    """A geometric grid.

    Attributes:
        factor: between neighbouring rates.
        largest: number of rates after which it does not grow on.
    """

    factor: float
    largest: int

    def next_rates(self, values: Mapping[float, float]) -> list[float]:
        """Rates to try next to those of ``values`` (rate -> score, higher is better).

        Both neighbours of a first one, then one beyond the end that is best so far; none once the best lies inside.
        """
        low, high = min(values), max(values)
        if len(values) == 1:
            return [self._beyond(low, -1), self._beyond(high, 1)]
        best = max(values, key=values.__getitem__)
        if len(values) == self.largest or low < best < high:
            return []
        return [self._beyond(low, -1) if best == low else self._beyond(high, 1)]

    @staticmethod
    def is_open(values: Mapping[float, float]) -> bool:
        """Whether the best rate is an end of those tried, so that a better one may lie beyond."""
        return max(values, key=values.__getitem__) in (min(values), max(values))

    def _beyond(self, rate: float, power: int) -> float:
        return float(f"{rate * self.factor**power:.3g}")


def validation_score(record: Record | None, metric: str) -> float:
    """The metric of the validation matrix; minus infinity for a run that has none, which is worse than any."""
    value = math.nan if record is None else metric_value(record, metric, "validation")
    return -math.inf if math.isnan(value) else value
