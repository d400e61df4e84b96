"""Replay a stopping rule on recorded full trials: what it would have cost, and how much of the best it would have lost."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from suite.errors import DataError
from suite.randomness import numpy_generator
from suite.runs.record import Record
from suite.runs.validation_view import ValidationView, validation_view
from suite.tuning.hypervolume import hypervolume, maximised
from suite.tuning.objectives import Objective
from suite.tuning.stopping import Reached, StoppingConfig

ORDERS = 10


@dataclass(frozen=True)
class Replayed:
    """A sweep as it would have gone.

    Attributes:
        cost: of all trials with the rule, as a share of the cost without.
        stopped: trials ended early.
        on_front_stopped: trials of the full front that the rule would have ended.
        regret: best value of the first objective over all trials minus the best over those that the rule would have left, in the
            objective's unit; in the order of the trials.
        mean_regret, mean_cost: regret and cost, over ``ORDERS`` drawn orders of the trials.
        share_at: share of the full cost -> share of the full hypervolume by then, without and with the rule.
    """

    trials: int
    cost: float
    stopped: int
    front: int
    on_front_stopped: int
    regret: float
    mean_regret: float
    mean_cost: float
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
    of = np.array([len(view.tasks) for view in views])
    ends = _ends(views, rule, range(len(views)))
    draws = numpy_generator("perf stopping")
    elsewhere = [_ends(views, rule, draws.permutation(len(views))) for _ in range(ORDERS)]
    full, complete = costs.sum(axis=1), ends == of
    whole = hypervolume(points, reference)

    def reached(ends: NDArray[np.int64]) -> NDArray[np.float64]:
        return np.array([costs[trial, : end + 1].sum() for trial, end in enumerate(ends)])

    def regret(usable: NDArray[np.bool_]) -> float:
        return float(points[:, 0].max() - points[usable, 0].max())

    spent = reached(ends)

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
        regret=regret(complete),
        mean_regret=float(np.mean([regret(end == of) for end in elsewhere])),
        mean_cost=float(np.mean([reached(end).sum() for end in elsewhere]) / full.sum()),
        share_at={
            mark: (share(mark * full.sum(), full, everyone), share(mark * full.sum(), spent, complete)) for mark in marks
        },
    )


def _ends(views: Sequence[ValidationView], rule: StoppingConfig, order: Iterable[int]) -> NDArray[np.int64]:
    """Tasks that each trial would have finished, (trials,), had they come in this order."""
    seen = Reached(rule)
    ends = np.zeros(len(views), dtype=np.int64)
    for trial in order:
        view = views[trial]
        end = len(view.tasks)
        for done in range(1, len(view.tasks)):
            so_far = replace(view, rows=view.rows[: done + 1], status="running")
            if rule.should_stop(so_far, trial, seen):
                end = done
                break
        ends[trial] = end
        seen.see(trial, 0, replace(view, rows=view.rows[: end + 1]))
    return ends
