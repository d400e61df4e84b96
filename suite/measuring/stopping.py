"""Replay a stopping rule on recorded full trials: what it would have cost, and how much of the front it would have found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from suite.errors import DataError
from suite.runs.record import Record
from suite.runs.validation_view import ValidationView, validation_view
from suite.tuning.hypervolume import hypervolume, maximised
from suite.tuning.objectives import Objective
from suite.tuning.stopping import StoppingConfig


@dataclass(frozen=True)
class Replayed:
    """A sweep as it would have gone.

    Attributes:
        cost: of all trials with the rule, as a share of the cost without.
        stopped: trials ended early.
        on_front_stopped: trials of the full front that the rule would have ended.
        share_at: share of the full cost -> share of the full hypervolume by then, without and with the rule.
    """

    trials: int
    cost: float
    stopped: int
    front: int
    on_front_stopped: int
    share_at: dict[float, tuple[float, float]]


def replay(
    records: Sequence[Record], rule: StoppingConfig, objectives: Sequence[Objective], marks: Sequence[float]
) -> Replayed:
    """Trials in their order, one after the other, the real rule asked after every task.

    Raises:
        DataError: no finished trials.
    """
    trials = sorted((r for r in records if r.status == "finished"), key=lambda record: record.trial or 0)
    if len(trials) < 2:
        raise DataError(f"stopping: {len(trials)} finished trials to replay; record a study without stopping first.")
    views = [validation_view(record) for record in trials]
    costs = np.array([[result.costs.wall_seconds for result in record.results] for record in trials])
    points = maximised(
        [[objective.value(view) for objective in objectives] for view in views],
        [objective.maximize for objective in objectives],
    )
    reference = points.min(axis=0)
    ends = _ends(views, rule)
    spent = np.array([costs[trial, : end + 1].sum() for trial, end in enumerate(ends)])
    full = costs.sum(axis=1)
    complete = np.array([end == len(view.tasks) for end, view in zip(ends, views, strict=True)])
    whole = hypervolume(points, reference)

    def share(budget: float, cost: NDArray[np.float64], usable: NDArray[np.bool_]) -> float:
        known = points[(np.cumsum(cost) <= budget) & usable]
        return float(hypervolume(known, reference) / whole)

    everyone = np.ones(len(trials), dtype=bool)
    front = [i for i, point in enumerate(points) if not ((points >= point).all(axis=1) & (points > point).any(axis=1)).any()]
    return Replayed(
        trials=len(trials),
        cost=float(spent.sum() / full.sum()),
        stopped=int((~complete).sum()),
        front=len(front),
        on_front_stopped=sum(not complete[i] for i in front),
        share_at={
            mark: (share(mark * full.sum(), full, everyone), share(mark * full.sum(), spent, complete)) for mark in marks
        },
    )


def _ends(views: Sequence[ValidationView], rule: StoppingConfig) -> list[int]:
    """Tasks each trial would have finished."""
    seen: dict[int, ValidationView] = {}
    ends = []
    for trial, view in enumerate(views):
        end = len(view.tasks)
        for done in range(1, len(view.tasks)):
            so_far = replace(view, rows=view.rows[: done + 1], status="running")
            if rule.should_stop(so_far, seen):
                end = done
                break
        ends.append(end)
        seen[trial] = replace(view, rows=view.rows[: end + 1])
    return ends
