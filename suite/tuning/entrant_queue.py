"""The runs of one method of a tuning: its trials, and once a setting is chosen the runs that judge it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from suite.config import RunConfig
from suite.runs.validation_view import ValidationView
from suite.tuning.choosing import chosen_trial, trial_score
from suite.tuning.run_queue import Suggestion
from suite.tuning.study import StudyQueue
from suite.tuning.tune_config import Entrant
from suite.tuning.tuning_folder import Choice, TuningFolder


class EntrantQueue:
    """Trials first; the default setting is judged while they wait for each other, the chosen one when the study is over.

    Args:
        study: of the entrant; None where there is nothing to tune.
        seeds: to judge on.

    Attributes:
        is_searched: the study is over and what was chosen is written, or there is none.
        failures: hash of a judged config -> why it failed.
    """

    def __init__(self, entrant: Entrant, study: StudyQueue | None, folder: TuningFolder, seeds: Sequence[int]) -> None:
        self.entrant = entrant
        self.study = study
        self.failures: dict[str, str] = {}
        self._folder, self._seeds = folder, seeds
        self._judged: list[RunConfig] = []
        self._next = 0
        self._judge(entrant.run)
        choice = folder.choice(entrant.name)
        self.is_searched = study is None or choice is not None
        if choice is not None and choice.run:
            self._judge(choice.run)

    def suggest(self) -> Suggestion | Literal["finished", "wait"]:
        if not self.is_searched and self.study is not None:
            found = self.study.suggest()
            if isinstance(found, Suggestion):
                return found
            if found == "finished" and not self.study.has_open_trials:
                self._choose(self.study)
        if self._next < len(self._judged):
            self._next += 1
            return Suggestion(self._next - 1, self._judged[self._next - 1])
        return "finished" if self.is_searched else "wait"

    def may_go_on(self, run: Suggestion, view: ValidationView) -> bool:
        if run.study is None or self.study is None:
            return True
        return self.study.may_go_on(run, view)

    def ended(self, run: Suggestion, view: ValidationView | None, reason: str | None) -> None:
        if run.study is not None and self.study is not None:
            self.study.ended(run, view, reason)
            return
        content = run.config.config_hash()
        if view is not None:
            self._folder.note_judged(self.entrant.name, content, view.run_id)
        if view is None or view.status == "failed":
            self.failures[content] = reason or (view.reason if view else None) or "unknown"

    def runs_ended(self) -> int:
        """Trials that have ended and judged runs that were given out, for progress."""
        return (self.study.store.ended_trials() if self.study else 0) + self._next

    def _choose(self, study: StudyQueue) -> None:
        choice = choice_of(study)
        self._folder.choose(self.entrant.name, choice)
        self.is_searched = True
        if choice.run:
            self._judge(choice.run)

    def _judge(self, run: Any) -> None:
        """Add the judging runs of a setting, those that are not there yet: the chosen setting may be the default one."""
        there = {config.config_hash() for config in self._judged}
        self._judged += [one for one in self.entrant.judged(run, self._seeds) if one.config_hash() not in there]


def choice_of(study: StudyQueue) -> Choice:
    """What the study's rule chooses among its complete trials."""
    views: dict[int, list[ValidationView]] = {}
    for (number, _), view in study.views.items():
        views.setdefault(number, []).append(view)
    complete = {trial.number: trial for trial in study.store.trials() if trial.state.name == "COMPLETE"}
    rule, metric = study.config.selection, study.objectives[0].name
    scores = {number: trial_score(found, rule, metric) for number, found in views.items() if number in complete}
    chosen = chosen_trial(scores)
    if chosen is None:
        return Choice()
    _, values = study.space.fields(complete[chosen].params)
    run = {key: value for key, value in (study.store.config_of(chosen) or {}).items() if key != "seed"}
    return Choice(chosen, scores[chosen], values, run)
