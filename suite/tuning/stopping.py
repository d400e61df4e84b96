"""Which running trial to stop: compared with others at the same number of finished tasks, never across."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping
from itertools import pairwise
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from suite.runs.validation_view import ValidationView
from suite.settings import Settings


class StoppingConfig(Settings):
    """Task-wise early stopping by the mean validation accuracy over the tasks that a trial has learned.

    Attributes:
        rule: ``median`` stops a trial that is below the median of the others at the same task; ``halving`` lets the best
            1 / ``reduction`` of those that have reached a rung go on, at the moment in which each of them reaches it
            (successive halving without waiting, ASHA, arXiv 1810.05934); ``none`` never stops.
        grace_tasks: tasks every trial may finish before it is compared.
        least_trials: others that must have reached the task before anyone is stopped there.
        margin: points of accuracy a trial may lie below what it has to reach.
        reduction: of ``halving``: one in so many goes on.
        rungs: of ``halving``: after which tasks trials are ranked; null = after ``grace_tasks``, then every time ``reduction``
            times as many have been learned.
    """

    rule: Literal["none", "median", "halving"] = "none"
    grace_tasks: Annotated[int, Field(ge=1)] = 2
    least_trials: Annotated[int, Field(ge=1)] = 4
    margin: Annotated[float, Field(ge=0)] = 0.0
    reduction: Annotated[float, Field(gt=1)] = 2.0
    rungs: Annotated[tuple[Annotated[int, Field(ge=1)], ...], Field(min_length=1)] | None = None

    @model_validator(mode="after")
    def _rungs_rise(self) -> StoppingConfig:
        rungs = self.rungs or ()
        if any(later <= earlier for earlier, later in pairwise(rungs)):
            raise ValueError(f"rungs {list(rungs)} do not rise; name every number of tasks once, the smallest first")
        if rungs and rungs[0] < self.grace_tasks:
            raise ValueError(
                f"the first of the rungs, {rungs[0]}, lies before grace_tasks, {self.grace_tasks}; raise the one or lower the other"
            )
        return self

    def should_stop(self, view: ValidationView, others: Mapping[Any, ValidationView]) -> bool:
        """True if the trial behind ``view`` is to end after its last finished task."""
        done = view.tasks_done
        if self.rule == "none" or done < self.grace_tasks or done >= len(view.tasks):
            return False
        if self.rule == "halving" and done not in self.rungs_of(len(view.tasks)):
            return False
        there = [other for other in others.values() if other.tasks_done >= done]
        if self.rule == "median":
            rivals = [other.learned_mean(done) for other in there]
            return len(rivals) >= self.least_trials and view.learned_mean(done) < statistics.median(rivals) - self.margin
        own, steps = view.learned_mean(done), view.steps_taken(done)
        # Where steps are searched, nobody is held against trials that took more of them.
        rivals = [other.learned_mean(done) for other in there if other.steps_taken(done) <= steps]
        better = sum(value > own + self.margin for value in rivals)
        return len(rivals) >= self.least_trials and better >= math.ceil((len(rivals) + 1) / self.reduction)

    def rungs_of(self, tasks: int) -> tuple[int, ...]:
        """After which tasks of a stream of so many ``halving`` ranks the trials."""
        if self.rungs is not None:
            return self.rungs
        found, rung = [], float(self.grace_tasks)
        while round(rung) < tasks:
            found.append(round(rung))
            rung = max(rung * self.reduction, rung + 1)
        return tuple(found)
