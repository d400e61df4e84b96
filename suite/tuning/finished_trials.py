"""Trials of a study as its database has them, for readers: nothing is asked for and nothing is written."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import optuna
from optuna.trial import TrialState

from suite.tuning.choosing import trial_score
from suite.tuning.optuna_database import DATABASE, open_database
from suite.tuning.study_config import StudyConfig
from suite.tuning.study_result import Study
from suite.tuning.trials import DUPLICATE, POINT, REASON, trial_views

STARTS = {"tpe": 10, "nsga2": 50}  # trials that these samplers draw without looking at others: Optuna's own defaults


@dataclass(frozen=True)
class StoredTrial:
    """One trial that was begun.

    Attributes:
        state: Optuna's: COMPLETE, PRUNED, FAIL, or RUNNING for one that nobody ended.
        score: what the study's rule chooses by; None for a trial that is not complete.
        seconds: of its runs.
        borrowed_seconds: part of them that other runs spent, from whose states they went on.
        is_random: drawn from the whole space without looking at others; points that were given are not.
        reason: why it was not learned to its end.
    """

    number: int
    state: str
    score: float | None
    seconds: float
    borrowed_seconds: float
    is_random: bool
    reason: str | None


def stored_study(config: StudyConfig, folder: Path) -> Study:
    """The study as its database has it; without trials before it begins."""
    if not (folder / DATABASE).is_file():
        return Study(config, [], [])
    study = optuna.load_study(study_name=config.name, storage=open_database(folder))
    best = [trial.number for trial in study.best_trials if DUPLICATE not in trial.user_attrs]
    return Study(config, study.get_trials(deepcopy=False), best)


def stored_trials(config: StudyConfig, folder: Path) -> list[StoredTrial]:
    """The study's trials that were begun, repetitions left out, in the order of their numbers; none before the study begins."""
    if not (folder / DATABASE).is_file():
        return []
    study = optuna.load_study(study_name=config.name, storage=open_database(folder))
    found = []
    for trial in study.get_trials(deepcopy=False):
        if trial.state is TrialState.WAITING or DUPLICATE in trial.user_attrs:
            continue
        views = trial_views(trial)
        is_complete = trial.state is TrialState.COMPLETE
        is_drawn = config.sampler == "random" or trial.number < STARTS.get(config.sampler, 0)
        found.append(
            StoredTrial(
                trial.number,
                trial.state.name,
                trial_score(views, config.selection, config.objectives[0]) if is_complete else None,
                sum(view.wall_seconds for view in views),
                sum(view.borrowed_seconds for view in views),
                is_drawn and POINT not in trial.user_attrs,
                trial.user_attrs.get(REASON),
            )
        )
    return found
