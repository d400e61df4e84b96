"""The runs of one method of a tuning: its trials, and once a setting is chosen the runs that judge it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from suite.config import RunConfig
from suite.runs.validation_view import ValidationView
from suite.tuning.choosing import chosen_trial, trial_score
from suite.tuning.run_queue import Suggestion
from suite.tuning.run_titles import judging_title
from suite.tuning.study import StudyQueue
from suite.tuning.tune_config import Entrant
from suite.tuning.tuning_folder import Choice, TuningFolder

FIRST_FAILURES = 5  # that raise, before any was learned: what is around the trials is at fault, most likely, not their settings


class EntrantQueue:
    """Trials first; the default setting is judged while they wait for each other, the chosen one when the study is over.

    Trials that raise before any other was learned are held back: the first one that is learned shows that they failed by themselves,
    and they are told to the study. Where all of them raise, nothing is chosen and they stay as they are, for ``--resume``.

    Args:
        study: of the entrant; None where there is nothing to tune.
        seeds: to judge on.

    Attributes:
        is_searched: the study is over and what was chosen is written, or there is none.
        problem: why the search has stopped before its end; empty while it goes on.
        unjudged: why a judging run has ended without leaving a record; empty where each left one.
    """

    def __init__(self, entrant: Entrant, study: StudyQueue | None, folder: TuningFolder, seeds: Sequence[int]) -> None:
        self.entrant = entrant
        self.study = study
        self.problem = self.unjudged = ""
        self._folder, self._seeds = folder, seeds
        self._held: list[tuple[Suggestion, ValidationView | None, str]] = []
        self._going = 0  # trials' runs that were given out and have not ended
        self._has_learned = study is not None and study.store.has_learned()
        self._judged: list[RunConfig] = []
        self._next = self._judged_ended = 0
        self._judge(entrant.run)
        choice = folder.choice(entrant.name)
        self.is_searched = study is None or choice is not None
        if choice is not None and choice.run:
            self._judge(choice.run)

    def suggest(self) -> Suggestion | Literal["finished", "wait"]:
        if not self.is_searched and not self.problem and self.study is not None:
            found = "wait" if len(self._held) >= FIRST_FAILURES else self.study.suggest()
            if isinstance(found, Suggestion):
                self._going += 1
                return found
            if self._held and not self._going:
                reasons = " and ".join(dict.fromkeys(reason.rstrip(".") for _, _, reason in self._held))
                failed = "its first trial" if len(self._held) == 1 else f"its first {len(self._held)} trials all"
                self.problem = f"{failed} failed ({reasons})"
            elif found == "finished" and not self.study.has_open_trials:
                self._choose(self.study)
        if self._next < len(self._judged):
            self._next += 1
            return Suggestion(self._next - 1, self._judged[self._next - 1])
        return "finished" if self.is_searched or self.problem else "wait"

    def title(self, run: Suggestion) -> str:
        """How trackers call a run of this queue."""
        if run.study is not None and self.study is not None:
            return self.study.title(run)
        defaults = {config.config_hash() for config in self.entrant.judged(self.entrant.run, self._seeds)}
        setting = "default" if run.config.config_hash() in defaults else "tuned"
        order = getattr(run.config.benchmark, "order", "") if self.entrant.orders else ""
        return judging_title(f"{self.entrant.benchmark} {self.entrant.method}", setting, run.config.seed, str(order))

    def may_go_on(self, run: Suggestion, view: ValidationView) -> bool:
        if run.study is None or self.study is None:
            return True
        return self.study.may_go_on(run, view)

    def ended(self, run: Suggestion, view: ValidationView | None, reason: str | None) -> None:
        if run.study is not None and self.study is not None:
            self._trial_ended(self.study, run, view, reason)
            return
        self._judged_ended += 1
        if view is None and reason is not None:
            self.unjudged = f"a judging run failed: {reason}"
        if view is not None:
            self._folder.note_judged(self.entrant.name, run.config.config_hash(), view.run_id)
            if view.status == "failed" and reason is None:  # of those that fail it alone would do so again
                self._folder.note_diverged(self.entrant.name, run.config.config_hash(), view.run_id)

    def _trial_ended(self, study: StudyQueue, run: Suggestion, view: ValidationView | None, reason: str | None) -> None:
        self._going -= 1
        if reason is not None and not self._has_learned:
            self._held.append((run, view, reason))
            return
        self._has_learned = True
        for held in self._held:
            study.ended(*held)
        self._held.clear()
        study.ended(run, view, reason)

    def runs_ended(self) -> int:
        """Trials and judging runs that have ended, for progress."""
        return (self.study.store.ended_trials() if self.study else 0) + self._judged_ended

    def _choose(self, study: StudyQueue) -> None:
        choice = choice_of(study)
        self._folder.choose(self.entrant.name, choice)
        self.is_searched = True
        if choice.run:
            self._judge(choice.run)

    def _judge(self, run: Any) -> None:
        """Add the judging runs of a setting, those that are not there yet: the chosen setting may be the default one. None that diverged."""
        there = {config.config_hash() for config in self._judged} | self._folder.diverged(self.entrant.name).keys()
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
