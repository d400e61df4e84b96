"""A study: Optuna asked and told by our own hand, so that stopped trials are PRUNED and broken ones FAIL, never COMPLETE."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from suite.config import RunConfig, apply_overrides, validate
from suite.errors import SuiteError
from suite.runs.store import RunStore
from suite.runs.validation_view import ValidationView
from suite.tuning.objectives import Objective
from suite.tuning.run_queue import Suggestion
from suite.tuning.run_titles import trial_title
from suite.tuning.stopping import Reached
from suite.tuning.study_config import StudyConfig
from suite.tuning.trials import MOST_REPEATS, TrialStore

if TYPE_CHECKING:
    from optuna.trial import Trial

HOUR, GIB = 3600.0, 2.0**30


@dataclass
class _OpenTrial:
    """A trial that was given out and has not ended: one config per seed, a view per finished one."""

    parts: list[RunConfig]
    views: list[ValidationView] = field(default_factory=list)


class StudyQueue:
    """Suggestions from Optuna; every trial's fate goes back as COMPLETE, PRUNED or FAIL.

    Restored from the study's own storage: trials that were running when a driver died are given out again under their number
    and find their runs' stored tasks by their identity.

    Args:
        folder: of the study.
        runs: where the trials' runs are stored, for the disk budget and for dropping checkpoints; None = neither.
    """

    def __init__(self, config: StudyConfig, folder: Path, runs: RunStore | None = None) -> None:
        self.config = config
        self.objectives = [Objective(name) for name in config.objectives]
        self.space = config.search_space()
        self.store = TrialStore(config, self.space, self.objectives, folder)
        self.views: dict[tuple[int, int], ValidationView] = {}
        self._reached = Reached(config.stopping)
        self._seconds = self._borrowed = 0.0  # of all runs
        self._runs = runs
        self._bytes: dict[str, int] = {}
        self._bytes_in_all = 0
        self._open: dict[int, _OpenTrial] = {}
        self._twins: dict[int, list[int]] = {}
        self._dropped: set[tuple[int, int]] = set()  # runs without checkpoints: a trial that was beaten never comes back
        self._queue: list[Suggestion] = list(self._unfinished())
        self._started = time.monotonic()
        for (trial, seed_index), view in self.store.views().items():
            self._see(trial, seed_index, view)

    def suggest(self) -> Suggestion | Literal["finished", "wait"]:
        while self._queue:
            run = self._queue.pop(0)
            if run.seed_index == 0 or self.spent() is None:
                return run
            self._end(
                run.trial,
                "PRUNED",
                f"{self.spent()} is spent after {run.seed_index} of {len(self._open[run.trial].parts)} seeds",
            )
        if self.store.unique_trials() < min(self.config.budget.trials, self.space.size()) and self.spent() is None:
            fresh = self._fresh()
            if fresh is not None:
                return fresh
        more = any(len(trial.views) + 1 < len(trial.parts) for trial in self._open.values())
        return "wait" if more else "finished"

    def _unfinished(self) -> Iterator[Suggestion]:
        for number in self.store.running():
            fields = self.store.config_of(number)
            if fields is None:
                found = self._named(self.store.again(number))
            else:
                found = self._first(number, validate(RunConfig, fields, where=f"trial {number}"))
            if found is not None:
                yield found

    def _fresh(self) -> Suggestion | None:
        """A configuration that the study has not had; None when the space seems exhausted."""
        for _ in range(MOST_REPEATS):
            found = self._named(self.store.ask())
            if found is not None:
                return found
        return None

    def _named(self, trial: Trial) -> Suggestion | None:
        config = self.trial_config(self.space.suggest(trial))
        self.store.note_config(trial.number, config)
        return self._first(trial.number, config)

    def _first(self, number: int, config: RunConfig) -> Suggestion | None:
        """The trial's first run; None for the same content again, which is not trained but gets its twin's fate."""
        twin = self.store.first_with(config.config_hash())
        if twin == number:
            return self._opened(number, config)
        self.store.note_duplicate(number, twin)
        state, views, reason = self.store.fate(twin)
        if state in ("COMPLETE", "PRUNED", "FAIL"):
            self._tell(number, state, views, reason)  # type: ignore[arg-type]
        else:
            self._twins.setdefault(twin, []).append(number)
        return None

    def _opened(self, number: int, config: RunConfig) -> Suggestion:
        seeds = self.config.seeds or (config.seed,)
        self._open[number] = _OpenTrial([config.model_copy(update={"seed": seed}) for seed in seeds])
        return self._part(number, 0)

    def _part(self, number: int, seed_index: int) -> Suggestion:
        return Suggestion(number, self._open[number].parts[seed_index], seed_index, self.config.name)

    def title(self, run: Suggestion) -> str:
        """How trackers call a run of this study."""
        return trial_title(
            run.trial, self.store.settings(run.trial), run.config.seed if len(self.config.seeds or ()) > 1 else None
        )

    @property
    def has_open_trials(self) -> bool:
        """Whether a trial was given out and has not ended."""
        return bool(self._open)

    def trial_config(self, values: Mapping[str, Any]) -> RunConfig:
        """The study's run config with the suggested values put in, with the first seed."""
        return point_config(self.config, values)

    def best_note(self) -> str:
        """The best value of the first objective so far."""
        best = self.store.best_value()
        return "" if best is None else f"best {self.objectives[0].name} {best:.2f}"

    def may_go_on(self, run: Suggestion, view: ValidationView) -> bool:
        """As ``RunQueue`` says; raises SuiteError before much is trained when an objective will have no value."""
        self._require_defined(view)
        self._see(run.trial, run.seed_index, view)
        if run.trial not in self._open or self.spent() is not None:
            return False
        return not self.config.stopping.should_stop(view, run.trial, self._reached)

    def ended(self, run: Suggestion, view: ValidationView | None, reason: str | None) -> None:
        if view is not None:
            self._require_defined(view)  # a run that was found finished was never asked whether it may go on
            self._see(run.trial, run.seed_index, view)
        trial = self._open.get(run.trial)
        if trial is None:
            return
        if view is not None:
            trial.views.append(view)
        seed = f", seed {trial.parts[run.seed_index].seed}" if len(trial.parts) > 1 else ""
        if view is None or view.status == "failed":
            self._end(run.trial, "FAIL", (reason or (view.reason if view else None) or "unknown") + seed)
        elif view.status == "stopped":
            self._end(run.trial, "PRUNED", f"stopped after task {view.tasks_done} of {len(view.tasks)}{seed}")
        elif len(trial.views) < len(trial.parts):
            self._queue.append(self._part(run.trial, run.seed_index + 1))
        else:
            self._end(run.trial, "COMPLETE", None)

    def _require_defined(self, view: ValidationView) -> None:
        for needed in (*self.objectives, *(Objective(name) for name in self.config.constraints)):
            needed.require_defined(view)

    def spent(self) -> str | None:
        """The part of the budget that is used up, beside the number of trials; None while there is some left."""
        budget = self.config.budget
        share = self.config.resources.gpus * self.config.resources.workers
        if budget.wall_seconds is not None and time.monotonic() - self._started > budget.wall_seconds:
            return "budget.wall_seconds"
        if budget.run_seconds is not None and self.run_seconds() > budget.run_seconds:
            return "budget.run_seconds"
        if budget.gpu_hours is not None and self._seconds_spent() * share / HOUR > budget.gpu_hours:
            return "budget.gpu_hours"
        if budget.disk_gib is not None and self._bytes_in_all / GIB > budget.disk_gib:
            return "budget.disk_gib"
        return None

    def run_seconds(self) -> float:
        """Of all runs of all trials together, every run by its own clock."""
        return self._seconds

    def _seconds_spent(self) -> float:
        """``run_seconds`` without what runs took from others."""
        return self._seconds - self._borrowed

    def _see(self, trial: int, seed_index: int, view: ValidationView) -> None:
        before = self.views.get((trial, seed_index))
        self.views[trial, seed_index] = view
        self._reached.see(trial, seed_index, view)
        self._seconds += view.wall_seconds - (before.wall_seconds if before else 0.0)
        self._borrowed += view.borrowed_seconds - (before.borrowed_seconds if before else 0.0)
        self._measure(view)

    def _measure(self, view: ValidationView) -> None:
        if self._runs is not None and self.config.budget.disk_gib is not None:
            size = self._runs.size(view.run_id)
            self._bytes_in_all += size - self._bytes.get(view.run_id, 0)
            self._bytes[view.run_id] = size

    def _end(self, number: int, state: Literal["COMPLETE", "PRUNED", "FAIL"], reason: str | None) -> None:
        views = self._open.pop(number).views
        for each in (number, *self._twins.pop(number, ())):
            self._tell(each, state, views, reason)
        if self.config.keep == "front":
            self._drop_checkpoints()

    def _tell(
        self, number: int, state: Literal["COMPLETE", "PRUNED", "FAIL"], views: list[ValidationView], reason: str | None
    ) -> None:
        if views:
            self.store.note_views(number, views)
        if state != "COMPLETE":
            self.store.tell(number, state, reason=reason)
            return
        try:
            values = [_mean(objective, views) for objective in self.objectives]
            limits = self.config.constraints.items()
            violations = {name: limit.violation(_mean(Objective(name), views)) for name, limit in limits}
        except SuiteError as error:  # only training shows it: every masked cell is 0, or a metric breaks on what was measured
            self.store.tell(number, "FAIL", reason=str(error))
            return
        if not all(math.isfinite(value) for value in values):
            self.store.tell(number, "FAIL", reason=f"an objective is not finite: {values}")
            return
        self.store.constrain(number, violations)
        self.store.tell(number, "COMPLETE", values=values)

    def _drop_checkpoints(self) -> None:
        """Of every ended trial that is not on the front; records, outcomes and generations stay."""
        if self._runs is None:
            return
        kept = {*self.store.front(), *self._open}
        ended = [key for key in self.views if key[0] not in kept and key not in self._dropped]
        for key in ended:
            self._runs.drop_checkpoints(self.views[key].run_id)
            self._measure(self.views[key])
        self._dropped.update(ended)


def point_config(config: StudyConfig, values: Mapping[str, Any]) -> RunConfig:
    """The run that a point of the study's space stands for, with the first seed.

    Raises:
        ConfigError: the values and the fixed fields do not make a run.
    """
    method, fields = config.search_space().fields(values)
    fixed = config.methods.get(method) or config.run.get("method")
    run = {**config.run, "method": {**(fixed if isinstance(fixed, dict) else {}), "name": method}}
    if config.seeds:
        run["seed"] = config.seeds[0]
    pairs = [f"{key}={json.dumps(value)}" for key, value in fields.items()]
    return validate(RunConfig, apply_overrides(run, pairs), where="run")


def _mean(objective: Objective, views: list[ValidationView]) -> float:
    """Over the trial's seeds."""
    return sum(objective.value(view) for view in views) / len(views)
