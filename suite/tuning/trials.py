"""Optuna's side of a study: sampler, storage, what is noted on a trial. The study opens in optuna-dashboard while it runs."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import optuna
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, Trial, TrialState

from suite.config import RunConfig
from suite.errors import ConfigError
from suite.runs.validation_view import ValidationView
from suite.tuning.objectives import Objective
from suite.tuning.optuna_database import DATABASE, open_database
from suite.tuning.sampler_history import History
from suite.tuning.samplers import make_sampler
from suite.tuning.space import Space, SpaceUnion
from suite.tuning.study_config import StudyConfig
from suite.tuning.study_storage import StudyStorage

MOST_REPEATS = 25  # repeated suggestions in a row after which a space counts as exhausted
CONTENT, CONFIG, VIEWS, REASON, DUPLICATE = "content", "config", "views", "reason", "duplicate_of"
UNSEEN = (
    "codyra:"  # before the name of what a trial keeps for the suite; optuna-dashboard shows user attributes, which are short
)
POINTS, POINT = "points", "point"  # of a study: all that it was given; of a trial: which of them it is


@dataclass
class _Tally:
    """What is asked of all trials again and again, counted as they come.

    Attributes:
        first: content of a config -> the trial that had it first.
        begun: trials that were given out and are not repetitions.
        ended: those of them that are over.
        best: value of the first objective.
    """

    is_maximized: bool
    first: dict[str, int] = field(default_factory=dict)
    begun: int = 0
    ended: int = 0
    best: float | None = None

    def restore(self, trial: FrozenTrial) -> None:
        """Count a trial that an earlier driver had."""
        if (content := trial.user_attrs.get(CONTENT)) is not None:
            self.first.setdefault(content, trial.number)
        if DUPLICATE not in trial.user_attrs:
            self.begun += trial.state is not TrialState.WAITING
        self.end(trial)

    def end(self, trial: FrozenTrial) -> None:
        """Count a trial as it ended; one that has not is left for later."""
        self.ended += trial.state.is_finished() and DUPLICATE not in trial.user_attrs
        if trial.state is TrialState.COMPLETE:
            better = max if self.is_maximized else min
            value = float(trial.values[0])
            self.best = value if self.best is None else better(self.best, value)


class TrialStore:
    """Trials of one study in ``<folder>/optuna.db``, asked for in memory: nothing here costs more as they become many."""

    def __init__(self, config: StudyConfig, space: Space | SpaceUnion, objectives: Sequence[Objective], folder: Path) -> None:
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        folder.mkdir(parents=True, exist_ok=True)
        self._config, self._space = config, space
        directions = [StudyDirection.MAXIMIZE if objective.maximize else StudyDirection.MINIMIZE for objective in objectives]
        self._storage = StudyStorage(open_database(folder), config.name, directions)
        self._study = optuna.load_study(study_name=config.name, storage=self._storage)
        self._tally = _Tally(self._study.directions[0] is StudyDirection.MAXIMIZE)
        self._history = History(self._storage, self._study.directions) if config.sampler == "tpe" else None
        for trial in self.trials():
            self._tally.restore(trial)
            self._learn(trial)
        make_sampler(config, space)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            self._study.set_metric_names([objective.name for objective in objectives])
        self._enqueue_points()

    def _enqueue_points(self) -> None:
        """One waiting trial for every given point, also after a driver died between two of them.

        Their list is noted first, as a whole: an earlier study may offer others tomorrow, or be gone.
        """
        points = self._study.user_attrs.get(POINTS)
        if points is None:
            if self.trials():
                return  # begun before points were noted
            points = [dict(point) for point in (*self._config.first_points(), *earlier_points(self._config))]
            self._study.set_user_attr(POINTS, points)
        there = {trial.user_attrs.get(POINT) for trial in self.trials()}
        for place, point in enumerate(points):
            if place not in there:
                self._study.enqueue_trial(point, user_attrs={POINT: place})

    def ask(self) -> Trial:
        """A new trial; its parameters are drawn by the space.

        Every trial has a generator of its own, from the study's seed and the trial's number: a study that was killed and
        resumed draws what the undisturbed one draws, as far as its sampler does not learn from the order of results.
        """
        waiting = self._study.get_trials(deepcopy=False, states=(TrialState.WAITING,))
        number = waiting[0].number if waiting else len(self.trials())
        self._study.sampler = make_sampler(self._config, self._space, number=number, history=self._history)
        self._tally.begun += 1
        return self._study.ask()

    def again(self, number: int) -> Trial:
        """A trial whose driver died before all its parameters were drawn; those that it has stay."""
        self._study.sampler = make_sampler(self._config, self._space, number=number, history=self._history)
        return Trial(self._study, self._trial(number)._trial_id)

    def note_config(self, number: int, config: RunConfig) -> None:
        """Write a trial whose parameters are drawn, with what they stand for; until then a killed driver leaves none."""
        self._set(number, {CONTENT: config.config_hash()})
        self._keep(number, CONFIG, json.dumps(config.resolved()))
        self._tally.first.setdefault(config.config_hash(), number)
        self._storage.write(number)

    def note_duplicate(self, number: int, twin: int) -> None:
        """Trial ``number`` has the content of ``twin``; noted once, however often a resumed driver finds out."""
        if DUPLICATE in self._trial(number).user_attrs:
            return
        self._set(number, {DUPLICATE: twin})
        self._tally.begun -= 1
        self._storage.write(number)

    def note_views(self, number: int, views: Sequence[ValidationView]) -> None:
        """What is known of the trial's runs, one per seed; written when the trial is told."""
        self._keep(number, VIEWS, json.dumps([view.as_dict() for view in views]))
        tasks = ", ".join(f"{view.tasks_done} of {len(view.tasks)}" for view in views)
        seconds = round(sum(view.wall_seconds for view in views), 1)
        self._set(number, {"run_id": ",".join(view.run_id for view in views), "tasks": tasks, "seconds": seconds})

    def constrain(self, number: int, violations: Mapping[str, float]) -> None:
        """How far each constrained value lies outside its limits; above zero keeps the trial off the front. Written when told."""
        trial = Trial(self._study, self._trial(number)._trial_id)
        for name, violation in violations.items():
            trial.set_constraint(name, violation)

    def _set(self, number: int, attributes: Mapping[str, Any]) -> None:
        """User attributes of a trial that has not ended, in memory."""
        for key, value in attributes.items():
            self._storage.set_trial_user_attr(self._trial(number)._trial_id, key, value)

    def _keep(self, number: int, key: str, text: str) -> None:
        """A long text of a trial that has not ended, in memory; see ``kept_text``."""
        self._storage.set_trial_system_attr(self._trial(number)._trial_id, UNSEEN + key, text)

    def say(self, attributes: Mapping[str, Any], note: str) -> None:
        """What optuna-dashboard shows of the study: short attributes and its note, in Markdown; written where something is new."""
        for key, value in attributes.items():
            if self._study.user_attrs.get(key) != value:
                self._study.set_user_attr(key, value)
        self._storage.note(note)

    def tell(
        self,
        number: int,
        state: Literal["COMPLETE", "PRUNED", "FAIL"],
        *,
        values: Sequence[float] | None = None,
        reason: str | None = None,
    ) -> None:
        """End a trial, with its reason when it is not complete; a trial that has ended already stays as it is."""
        if self._trial(number).state.is_finished():
            return
        if reason is not None:
            self._set(number, {REASON: reason})
        self._study.tell(number, values=values, state=TrialState[state])
        self._storage.write(number)
        self._tally.end(self._trial(number))
        self._learn(self._trial(number))

    def _learn(self, trial: FrozenTrial) -> None:
        if self._history is not None:
            self._history.add(trial)

    def running(self) -> list[int]:
        """Trials that no one ended: their driver died."""
        return [trial.number for trial in self.trials() if trial.state is TrialState.RUNNING]

    def unique_trials(self) -> int:
        """Trials that were begun and are not repetitions."""
        return self._tally.begun

    def first_with(self, content: str) -> int:
        """The trial that first had this content, which some trial has."""
        return self._tally.first[content]

    def config_of(self, number: int) -> dict[str, Any] | None:
        text = kept_text(self._trial(number), CONFIG)
        fields: dict[str, Any] | None = json.loads(text) if text else None
        return fields

    def settings(self, number: int) -> dict[str, Any]:
        """What the study searches -> its value in a trial."""
        return dict(self._trial(number).params)

    def fate(self, number: int) -> tuple[str, list[ValidationView], str | None]:
        """State, views and reason of a trial."""
        trial = self._trial(number)
        return trial.state.name, trial_views(trial), trial.user_attrs.get(REASON)

    def views(self) -> dict[tuple[int, int], ValidationView]:
        """(trial, part) -> what is known of every run of an ended trial, repetitions left out."""
        own = [trial for trial in self.trials() if DUPLICATE not in trial.user_attrs]
        return {(trial.number, part): view for trial in own for part, view in enumerate(trial_views(trial))}

    def front(self) -> list[int]:
        """Numbers of the COMPLETE trials inside all constraints that no other one beats in every objective."""
        return [trial.number for trial in self._study.best_trials if DUPLICATE not in trial.user_attrs]

    def ended_trials(self) -> int:
        return self._tally.ended

    def has_learned(self) -> bool:
        """Whether any trial came to its end, or as far as it was let."""
        return any(trial.state in (TrialState.COMPLETE, TrialState.PRUNED) for trial in self.trials())

    def best_value(self) -> float | None:
        """Best value of the first objective over complete trials."""
        return self._tally.best

    def trials(self) -> list[FrozenTrial]:
        return self._study.get_trials(deepcopy=False)

    def _trial(self, number: int) -> FrozenTrial:
        return self._storage.get_trial(self._storage.get_trial_id_from_study_id_trial_number(self._storage.study_id, number))


def trial_views(trial: FrozenTrial) -> list[ValidationView]:
    """What is known of a trial's runs, one for each of its seeds."""
    return [ValidationView.from_dict(fields) for fields in json.loads(kept_text(trial, VIEWS) or "[]")]


def kept_text(trial: FrozenTrial, key: str) -> str | None:
    """A long text of a trial; studies of earlier versions have it among the user attributes."""
    text: str | None = trial.system_attrs.get(UNSEEN + key, trial.user_attrs.get(key))
    return text


def has_trials(folder: Path) -> bool:
    """Whether any trial of the study in ``folder`` was given out."""
    file = folder / DATABASE
    if not file.is_file() or not file.stat().st_size:
        return False
    storage = open_database(folder)
    studies = [optuna.load_study(study_name=name, storage=storage) for name in optuna.get_all_study_names(storage)]
    return any(trial.state is not TrialState.WAITING for study in studies for trial in study.get_trials(deepcopy=False))


def some_point(config: StudyConfig) -> dict[str, Any]:
    """A point of the study's space, drawn outside the study, for its sampler to be able to draw one too.

    Raises:
        ConfigError: the sampler cannot honour the space.
    """
    space = config.search_space()
    make_sampler(config, space)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return dict(space.suggest(optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0)).ask()))


def earlier_points(config: StudyConfig) -> list[dict[str, Any]]:
    """Parameters of an earlier study's best trials that lie in this one's space: its front, then by its first objective.

    Raises:
        ConfigError: there is no study, or it has no complete trial in this space.
    """
    if config.warm_start is None:
        return []
    folder = config.warm_start.study
    if not (folder / DATABASE).is_file():
        raise ConfigError(
            f"warm_start.study: no {DATABASE} in {folder}; give the folder of a study, such as codyra-runs/studies/demo."
        )
    storage = open_database(folder)
    earlier = optuna.load_study(study_name=optuna.get_all_study_names(storage)[0], storage=storage)
    known = config.search_space().parameters
    shared = {
        trial.number: {name: value for name, value in trial.params.items() if name in known}
        for trial in earlier.get_trials(deepcopy=False)
        if trial.state is TrialState.COMPLETE
    }
    fitting = {n for n, point in shared.items() if point and all(known[name].contains(value) for name, value in point.items())}
    if not fitting:
        raise ConfigError(
            f"warm_start.study: {folder} has no complete trial in space '{config.space}'; name another study or leave warm_start out."
        )
    complete = [trial for trial in earlier.get_trials(deepcopy=False) if trial.number in fitting]
    sign = -1 if earlier.directions[0] is optuna.study.StudyDirection.MAXIMIZE else 1
    front = {trial.number for trial in earlier.best_trials}
    ranked = sorted(complete, key=lambda trial: (trial.number not in front, sign * trial.values[0]))
    points: list[dict[str, Any]] = []
    for trial in ranked:
        if shared[trial.number] not in points:
            points.append(shared[trial.number])
    return points[: config.warm_start.trials]
