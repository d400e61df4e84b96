"""How much each hyperparameter of a study explains of an objective, from the records of its trials."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import optuna
import pandas as pd
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from optuna.trial import TrialState

from suite.counting import counted
from suite.errors import DataError

LEAST_TRIALS = 4
ABSENT = "-"  # a parameter that a trial's branch of the space does not have


def importance_frame(trials: Sequence[Mapping[str, Any]], values: Mapping[str, Sequence[float]]) -> pd.DataFrame:
    """Share of the variance of each objective that each varied parameter explains (fANOVA), largest mean first.

    Args:
        trials: parameters per finished trial, as dotted names of the run's config.
        values: objective -> value per trial.

    Raises:
        DataError: fewer than four trials, or no parameter that varies.
    """
    names = varied(trials)
    if len(trials) < LEAST_TRIALS or not names:
        raise DataError(
            f"importance: {counted(len(trials), 'finished trial')}, {counted(len(names), 'parameter')} varied; needs {LEAST_TRIALS} and one at least."
        )
    shares = {objective: _shares(trials, names, found) for objective, found in values.items()}
    frame = pd.DataFrame(shares).reindex(names).fillna(0.0)
    order = frame.mean(axis=1).sort_values(ascending=False, kind="stable").index
    return frame.loc[order].rename_axis("parameter").reset_index()


def varied(trials: Sequence[Mapping[str, Any]]) -> list[str]:
    """Parameters that do not have one value in all trials, in order of appearance."""
    names = dict.fromkeys(name for trial in trials for name in trial)
    return [name for name in names if len({repr(trial.get(name, ABSENT)) for trial in trials}) > 1]


def _shares(trials: Sequence[Mapping[str, Any]], names: Sequence[str], values: Sequence[float]) -> dict[str, float]:
    columns = {name: [trial.get(name, ABSENT) for trial in trials] for name in names}
    columns = {name: found if _numeric(found) else [str(value) for value in found] for name, found in columns.items()}
    spread = {name: _distribution(found) for name, found in columns.items()}
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        study = optuna.create_study()
        for index, value in enumerate(values):
            params = {name: found[index] for name, found in columns.items()}
            study.add_trial(optuna.create_trial(state=TrialState.COMPLETE, value=value, params=params, distributions=spread))
        if len(set(values)) < 2:
            return dict.fromkeys(names, 0.0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            evaluator = optuna.importance.FanovaImportanceEvaluator(seed=0)
            return optuna.importance.get_param_importances(study, evaluator=evaluator)
    finally:
        optuna.logging.set_verbosity(before)


def _numeric(values: Sequence[Any]) -> bool:
    return all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)


def _distribution(values: Sequence[Any]) -> BaseDistribution:
    if not _numeric(values):
        return CategoricalDistribution(sorted(set(values)))
    low, high = float(min(values)), float(max(values))
    return FloatDistribution(low, high, log=low > 0 and high / low > 20)
