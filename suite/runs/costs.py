"""What a run cost, from the rows of its record: the one place for tables, objectives, trackers and forecasts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from suite.runs.record import TaskResult


class RunCosts(NamedTuple):
    """Costs of a run or of some of its rows.

    Attributes:
        trainable_parameters: most that the optimizer could change in one task.
        effective_rank: parts left per slot, mean over slots and then tasks; None for a method without ranks.
        no_signal_rank: the same as schedule and initialisation alone would leave it; None where rank is not learned.
        carried_bytes: most that was kept for later tasks beside the network's own weights.
        wall_seconds: of all rows together, those that were taken from another run as that run measured them.
        borrowed_seconds: part of it that other runs spent.
        peak_bytes: most memory, of the device where one was used, else of the process.
    """

    trainable_parameters: int
    effective_rank: float | None
    no_signal_rank: float | None
    carried_bytes: int
    wall_seconds: float
    borrowed_seconds: float
    peak_bytes: int


def run_costs(results: Sequence[TaskResult]) -> RunCosts:
    """Costs of these rows of a record. Row 0 trains nothing: it counts for time and memory only."""
    learned = [result for result in results if result.row > 0]
    on_device = [result.costs.device_peak_bytes for result in results if result.costs.device_peak_bytes is not None]
    return RunCosts(
        trainable_parameters=max((result.costs.trainable_parameters for result in learned), default=0),
        effective_rank=_mean([_mean(list(result.effective_rank.values())) for result in learned]),
        no_signal_rank=_mean([result.no_signal_rank for result in learned]),
        carried_bytes=max((result.costs.carried_bytes for result in learned), default=0),
        wall_seconds=sum(result.costs.wall_seconds for result in results),
        borrowed_seconds=sum(result.costs.borrowed_seconds for result in results),
        peak_bytes=max(on_device or [result.costs.peak_bytes for result in results], default=0),
    )


def _mean(values: Sequence[float | None]) -> float | None:
    """Over what was measured."""
    found = [value for value in values if value is not None]
    return sum(found) / len(found) if found else None
