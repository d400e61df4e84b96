"""Optuna's samplers as studies use them."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial, TrialState

from suite.errors import ConfigError
from suite.randomness import derived_seed
from suite.tuning.sampler_history import History
from suite.tuning.space import Space, SpaceUnion
from suite.tuning.study_config import StudyConfig


class _BoundedTPE(optuna.samplers.TPESampler):
    """Optuna's TPE, which looks at the trials that ``history`` shows."""

    def __init__(self, history: History, **options: Any) -> None:
        super().__init__(**options)
        self._history = history

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        with self._history.shown():
            return super().infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        with self._history.shown():
            return super().sample_relative(study, trial, search_space)

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        with self._history.shown():
            return super().sample_independent(study, trial, param_name, param_distribution)


class _Grid(optuna.samplers.GridSampler):
    """Optuna's grid without its end: it would stop Optuna's own loop at the last point, and there is none to stop."""

    def after_trial(self, study: optuna.Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None) -> None:
        """Nothing: the budget ends a study, or a suggestion that repeats too often."""


def make_sampler(
    config: StudyConfig, space: Space | SpaceUnion, *, number: int = 0, history: History | None = None
) -> BaseSampler:
    """The sampler by name for trial ``number``; sequences that must not be drawn anew (QMC, grid) have the study's seed.

    Args:
        history: what TPE looks at once trials are many; None = at all of them.

    Raises:
        ConfigError: a sampler that cannot honour a conditional space.
    """
    seed = derived_seed(config.sampler_seed, number) % 2**32
    whole = derived_seed(config.sampler_seed, 0) % 2**32
    if space.is_conditional and config.sampler in ("gp", "qmc", "grid"):
        raise ConfigError(
            f"sampler '{config.sampler}' cannot honour the conditions of space '{config.space}'; use tpe, nsga2 or random."
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        match config.sampler:
            case "tpe":
                return tpe(seed, history)
            case "nsga2":
                return optuna.samplers.NSGAIISampler(seed=seed)
            case "gp":
                return optuna.samplers.GPSampler(seed=seed)
            case "qmc":
                return optuna.samplers.QMCSampler(seed=whole, warn_independent_sampling=False)
            case "random":
                return optuna.samplers.RandomSampler(seed=seed)
            case "grid":
                return _Grid({k: list(v) for k, v in space.grid().items()}, seed=whole)


def tpe(seed: int, history: History | None) -> BaseSampler:
    """TPE with the parameters of one condition drawn together; trials that are running count as bad ones.

    Args:
        history: what it looks at once trials are many; None = at all of them.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        options: dict[str, Any] = {"seed": seed, "multivariate": True, "group": True, "constant_liar": True}
        return optuna.samplers.TPESampler(**options) if history is None else _BoundedTPE(history, **options)
