"""A study: Optuna asked and told by our own hand, so that stopped trials are PRUNED and broken ones FAIL, never COMPLETE."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from suite.config import RunConfig, apply_overrides, validate
from suite.tuning.objectives import Objective, ValidationView
from suite.tuning.optuna_storage import MOST_REPEATS, TrialStore
from suite.tuning.source import Suggestion
from suite.tuning.study_config import StudyConfig


class StudySource:
    """Suggestions from Optuna; every trial's fate goes back as COMPLETE, PRUNED or FAIL.

    Restored from the study's own storage: trials that were running when a driver died are given out again under their number
    and find their run's stored tasks by its identity.
    """

    def __init__(self, config: StudyConfig, folder: Path) -> None:
        self.config = config
        self.study: str | None = config.name
        self.objectives = [Objective(name) for name in config.objectives]
        self.space = config.search_space()
        self.store = TrialStore(config, self.space, self.objectives, folder)
        self.views: dict[int, ValidationView] = self.store.views()
        self._unfinished = self.store.running()
        self._twins: dict[int, list[int]] = {}
        self._started = time.monotonic()

    def suggest(self) -> Suggestion | Literal["finished", "wait"]:
        if self._unfinished:
            number = self._unfinished.pop(0)
            fields = self.store.config_of(number)
            if fields is None:
                self.store.tell(number, "FAIL", reason="the driver died before the trial had a configuration")
                return self.suggest()
            return Suggestion(number, validate(RunConfig, fields, where=f"trial {number}"))
        if self.store.unique_trials() >= self.config.budget.trials or self._out_of_time():
            return "finished"
        for _ in range(MOST_REPEATS):
            trial = self.store.ask()
            config = self.trial_config(self.space.suggest(trial))
            twin = self.store.number_of(config.config_hash())
            self.store.note_config(trial.number, config)
            if twin is None:
                return Suggestion(trial.number, config)
            self._repeat(trial.number, twin)
        return "finished"

    def trial_config(self, values: Mapping[str, Any]) -> RunConfig:
        """The study's run config with the suggested values put in."""
        run = {"method": {"name": self.space.method}, **self.config.run}
        fields = apply_overrides(run, [f"{key}={json.dumps(value)}" for key, value in values.items()])
        return validate(RunConfig, fields, where=f"study '{self.config.name}'")

    def first_values(self) -> dict[str, Any]:
        """Some point of the space, to find a wrong config before anything starts."""
        return self.store.probe(self.space)

    def best_note(self) -> str:
        """The best value of the first objective so far."""
        best = self.store.best_value()
        return "" if best is None else f"best {self.objectives[0].name} {best:.2f}"

    def may_go_on(self, trial: int, view: ValidationView) -> bool:
        self.views[trial] = view
        others = {number: other for number, other in self.views.items() if number != trial}
        return not self._out_of_time() and not self.config.stopping.should_stop(view, others)

    def ended(self, trial: int, view: ValidationView | None, reason: str | None) -> None:
        if view is not None:
            self.views[trial] = view
        for number in (trial, *self._twins.pop(trial, ())):
            self._tell(number, trial, view, reason)

    def _tell(self, number: int, original: int, view: ValidationView | None, reason: str | None) -> None:
        if number != original:
            self.store.note(number, "duplicate_of", original)
        if view is not None:
            self.store.note_view(number, view)
        if view is None or view.status == "failed":
            self.store.tell(number, "FAIL", reason=reason or (view.reason if view else None) or "unknown")
            return
        if view.status == "stopped":
            self.store.tell(number, "PRUNED", reason=f"stopped after task {view.tasks_done} of {len(view.tasks)}")
            return
        values = [objective.value(view) for objective in self.objectives]
        if all(math.isfinite(value) for value in values):
            self.store.tell(number, "COMPLETE", values=values)
        else:
            self.store.tell(number, "FAIL", reason=f"an objective is not finite: {values}")

    def _repeat(self, number: int, twin: int) -> None:
        """The same content again is not trained again: it gets its twin's fate, at once or when that is known."""
        state, view, reason = self.store.fate(twin)
        if state == "RUNNING":
            self._twins.setdefault(twin, []).append(number)
        else:
            self._tell(number, twin, view, reason)

    def _out_of_time(self) -> bool:
        limit = self.config.budget.wall_seconds
        return limit is not None and time.monotonic() - self._started > limit
