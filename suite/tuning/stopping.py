"""Which running trial to stop: compared with others at the same number of finished tasks, never across."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterator, Sequence
from itertools import pairwise, takewhile
from typing import Annotated, Literal, NamedTuple

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

    def should_stop(self, view: ValidationView, trial: int, reached: Reached) -> bool:
        """True if the run behind ``view``, of this ``trial``, is to end after its last finished task."""
        done = view.tasks_done
        if done not in self.judged_after(len(view.tasks)):
            return False
        own = view.learned_mean(done)
        if self.rule == "median":
            rivals, middle = reached.median_of_others(done, trial)
            return rivals >= self.least_trials and own < middle - self.margin
        # Where steps are searched, nobody is held against trials that took more of them.
        rivals, better = reached.others_above(own + self.margin, done, trial, view.steps_taken(done))
        return rivals >= self.least_trials and better >= math.ceil((rivals + 1) / self.reduction)

    def judged_after(self, tasks: int) -> Sequence[int]:
        """After which tasks of a stream of so many a trial is compared."""
        if self.rule == "none":
            return ()
        if self.rule == "median":
            return range(self.grace_tasks, tasks)
        return [rung for rung in self.rungs_of(tasks) if rung < tasks]

    def rungs_of(self, tasks: int) -> tuple[int, ...]:
        """After which tasks of a stream of so many ``halving`` ranks the trials."""
        if self.rungs is not None:
            return self.rungs
        found, rung = [], float(self.grace_tasks)
        while round(rung) < tasks:
            found.append(round(rung))
            rung = max(rung * self.reduction, rung + 1)
        return tuple(found)


class Reached:
    """What all runs of a study had reached after each task that ``rule`` compares them after, in order of size.

    Kept so as the runs go on: to tell of a task, and to compare a run after it, costs no more as they become many.
    """

    def __init__(self, rule: StoppingConfig) -> None:
        self._rule = rule
        self._found: dict[int, dict[int, list[_Mean]]] = {}  # trial -> seed index -> what its run has reached
        self._ranked: dict[
            int, dict[int, list[tuple[float, int, int]]]
        ] = {}  # tasks done -> steps -> (mean, trial, seed index)

    def see(self, trial: int, seed_index: int, view: ValidationView) -> None:
        """Take note of a run; what was known of it before is replaced."""
        before = self._found.setdefault(trial, {}).get(seed_index, [])
        now = list(self._means(view))
        same = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(before, now, strict=False)))
        for gone in before[same:]:
            ranked = self._ranked[gone.done][gone.steps]
            del ranked[bisect_left(ranked, (gone.mean, trial, seed_index))]
        for new in now[same:]:
            insort(self._ranked.setdefault(new.done, {}).setdefault(new.steps, []), (new.mean, trial, seed_index))
        self._found[trial][seed_index] = now

    def _means(self, view: ValidationView) -> Iterator[_Mean]:
        """After each task that others may be compared after, where anything was measured."""
        for done in self._rule.judged_after(view.tasks_done + 1):
            if any(value is not None for value in view.rows[done][:done]):
                yield _Mean(done, view.steps_taken(done) if self._rule.rule == "halving" else 0, view.learned_mean(done))

    def median_of_others(self, done: int, trial: int) -> tuple[int, float]:
        """How many runs of other trials have come so far, and the median of their means; NaN of none."""
        ranked = self._ranked.get(done, {}).get(0, [])
        own = sorted(bisect_left(ranked, (mean, trial, seed_index)) for seed_index, mean in self._own(done, trial))
        others = len(ranked) - len(own)
        if not others:
            return 0, math.nan

        def at(place: int) -> float:
            for taken in own:
                place += taken <= place
            return ranked[place][0]

        return others, at(others // 2) if others % 2 else (at(others // 2 - 1) + at(others // 2)) / 2

    def others_above(self, value: float, done: int, trial: int, steps: int) -> tuple[int, int]:
        """How many runs of other trials have come so far in at most so many steps, and how many of their means lie above ``value``."""
        rivals = above = 0
        for taken, ranked in self._ranked.get(done, {}).items():
            if taken <= steps:
                rivals += len(ranked)
                above += len(ranked) - bisect_right(ranked, (value, math.inf))
        for found in self._found.get(trial, {}).values():
            for mean in found:
                if mean.done == done and mean.steps <= steps:
                    rivals -= 1
                    above -= mean.mean > value
        return rivals, above

    def _own(self, done: int, trial: int) -> Iterator[tuple[int, float]]:
        """Seed index and mean of the trial's own runs that have come so far."""
        for seed_index, found in self._found.get(trial, {}).items():
            yield from ((seed_index, mean.mean) for mean in found if mean.done == done)


class _Mean(NamedTuple):
    """The mean accuracy over the tasks learned after ``done`` of them, which took so many steps together (0 where they do not count)."""

    done: int
    steps: int
    mean: float
