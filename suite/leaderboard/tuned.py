"""A tuning as it stands, finished or not: what every method was given, what its trials found, and how its settings were judged.

Everything that is said about a tuning (table, sentence, sensitivity, its section of the report) is a function of these values.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

from suite.metrics.conventions import METRICS
from suite.runs.outcomes import Key, Scores
from suite.runs.record import Record
from suite.tuning.choosing import READINGS

TrialState = Literal["COMPLETE", "PRUNED", "FAIL", "RUNNING"]
BudgetUnit = Literal["trials", "seconds", "GPU-hours"]


@dataclass(frozen=True)
class TunedTrial:
    """One trial of a method's study.

    Attributes:
        score: what the tuning's selection rule chooses by, in points, larger is better, mean over the trial's seeds; None for
            a trial that was not learned to its end.
        seconds: wall time of all its runs.
        borrowed_seconds: part of it that was not spent: the runs went on from what others with equal beginnings had learned.
        reason: why it failed; empty for one that did not.
        is_random: drawn from the whole space without looking at earlier trials, as a random sampler draws and TPE begins;
            False for points given by hand (the default setting too) and for those that a sampler aimed at.
    """

    number: int
    state: TrialState
    score: float | None
    seconds: float
    is_random: bool = False
    borrowed_seconds: float = 0.0
    reason: str = ""


@dataclass(frozen=True)
class JudgedSetting:
    """A setting with its runs on the seeds and orders that no trial used.

    Attributes:
        values: dotted field of the run config -> value, for the fields that the study searched.
        records: the runs that there are, in any state; only finished ones enter the table. A setting that equals the default
            one has the default's records.
    """

    values: Mapping[str, Any]
    records: Sequence[Record]

    @cached_property
    def finished(self) -> list[Record]:
        return [record for record in self.records if record.status == "finished"]


@dataclass(frozen=True)
class TunedMethod:
    """One method on one benchmark.

    Attributes:
        method: as tables show it.
        tuned: None while no trial has been chosen, and for a method that has nothing to tune.
        has_space: False for a method that has nothing to tune; its default setting is then all it has.
        chosen: number of the trial whose setting is ``tuned``.
        budget, spent: what the study was given and has used, in the tuning's unit; 0 without a space.
        problem: why there is no tuned setting although the study has ended (every trial failed), or why a setting could not be
            judged; one sentence, empty when all is well or still going on.
        is_final: nothing more will come of it, however often the tuning is gone on with; a problem then stays.
    """

    benchmark: str
    method: str
    default: JudgedSetting
    tuned: JudgedSetting | None = None
    has_space: bool = True
    trials: Sequence[TunedTrial] = ()
    chosen: int | None = None
    budget: float = 0.0
    spent: float = 0.0
    problem: str = ""
    is_final: bool = False

    @property
    def records(self) -> list[Record]:
        """The runs that judge its settings, in any state."""
        return [record for setting in (self.default, self.tuned) if setting for record in setting.records]

    @property
    def chosen_score(self) -> float | None:
        """The validation score that the chosen trial was chosen for."""
        return next((trial.score for trial in self.trials if trial.number == self.chosen), None)

    @property
    def failed(self) -> list[TunedTrial]:
        """Trials that used up budget and could not be learned."""
        return [trial for trial in self.trials if trial.state == "FAIL"]


@dataclass(frozen=True)
class Tuning:
    """A tuning of several methods on one or more benchmarks with equal budgets.

    Attributes:
        methods: every benchmark x method of the tuning, begun or not, in the order in which they were asked for.
        rule, objective: a key of ``suite.tuning.choosing.READINGS``, and the metric that ``two-phase`` reads: what trials were chosen
            by. On records of fresh seeds they say what optimism there was.
        unit: of budgets and of what was spent.
        seeds, orders: that settings are judged on, as planned. Every setting is judged on each seed in each order; a benchmark
            without named orders has the one ``""``.
        outcomes: scores after a record's last task, as ``RunSet.last_outcomes`` gives them.
    """

    name: str
    methods: Sequence[TunedMethod]
    rule: str
    objective: str
    unit: BudgetUnit
    seeds: Sequence[int]
    orders: Mapping[str, Sequence[str]]
    outcomes: Callable[[Record], Mapping[Key, Scores]] = field(repr=False)

    @property
    def benchmarks(self) -> list[str]:
        return list(dict.fromkeys(one.benchmark for one in self.methods))

    def of(self, benchmark: str) -> list[TunedMethod]:
        """The methods on one benchmark."""
        return [one for one in self.methods if one.benchmark == benchmark]

    @property
    def score_name(self) -> str:
        """What trials were chosen by, as tables name it: ``zscl.last``, ``minus codyra.forgetting``, ``current-task``."""
        if self.rule != "two-phase":
            return self.rule
        return self.objective if METRICS[self.objective].higher_is_better else f"minus {self.objective}"

    def score(self, record: Record) -> float:
        """What a trial with this run would have been chosen by."""
        return READINGS[self.rule](record.validation, record.tasks, self.objective)

    def planned(self, benchmark: str) -> int:
        """Runs by which a setting is judged on ``benchmark``."""
        return len(self.seeds) * len(self.orders[benchmark])
