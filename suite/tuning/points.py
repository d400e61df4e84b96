"""Points of a space that span what its trials cost."""

from __future__ import annotations

import optuna

from suite.config import RunConfig
from suite.method_titles import innermost
from suite.tuning.study import point_config
from suite.tuning.study_config import StudyConfig

DRAWN, PROBED = 48, 3
OTHER_COSTS = 1e4  # forward pass and evaluation, in the unit of rank times weights; keeps steps ahead of ranks


def spanning_points(config: StudyConfig) -> list[RunConfig]:
    """A cheap, a middle and a costly point of the study's space, by steps, adapted weights and rank."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    space = config.search_space()
    drawn = sorted((point_config(config, space.suggest(study.ask())) for _ in range(DRAWN)), key=_size)
    return [drawn[round(place * (DRAWN - 1) / (PROBED - 1))] for place in range(PROBED)]


def _size(config: RunConfig) -> float:
    fields = config.resolved()
    method, training = innermost(fields["method"]), fields["training"]
    encoder, _, weights = str(method.get("placement", "qkvoinout")).rpartition(":")
    share = 1.0 if encoder in ("", "all") else 0.5
    return share * (len(weights) * float(method.get("rank", 16)) + OTHER_COSTS * float(training.get("steps") or 1))
