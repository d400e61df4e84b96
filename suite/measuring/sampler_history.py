"""What ``dev perf history`` does: known functions searched by TPE, which sees all trials, or those that a long study shows it."""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import optuna
from numpy.typing import NDArray
from optuna.study import StudyDirection

from suite.randomness import derived_seed
from suite.tuning.hypervolume import hypervolume
from suite.tuning.optuna_database import open_database
from suite.tuning.sampler_history import History
from suite.tuning.samplers import tpe
from suite.tuning.study_storage import StudyStorage

VARIABLES = 6
# Hartmann's function of six variables, as in Surjanovic and Bingham's library of test functions; its minimum is -3.32237.
HARTMANN_WEIGHTS = np.array([1.0, 1.2, 3.0, 3.2])
HARTMANN_SCALES = np.array(
    [[10, 3, 17, 3.5, 1.7, 8], [0.05, 10, 17, 0.1, 8, 14], [3, 3.5, 1.7, 10, 17, 8], [17, 8, 0.05, 10, 0.1, 14]]
)
HARTMANN_CENTRES = 1e-4 * np.array(
    [
        [1312, 1696, 5569, 124, 8283, 5886],
        [2329, 4135, 8307, 3736, 1004, 9991],
        [2348, 1451, 3522, 2883, 3047, 6650],
        [4047, 8828, 8732, 5743, 1091, 381],
    ]
)
HARTMANN_MINIMUM = -3.32237
ZDT1_REFERENCE = 1.1  # in both objectives
ZDT1_VOLUME = 0.1 + 2 / 3 + 0.1 * ZDT1_REFERENCE  # of the true front f2 = 1 - sqrt(f1)


@dataclass(frozen=True)
class Searched:
    """What one search lacks of the optimum, and the processor milliseconds per trial of its last tenth."""

    function: str
    seed: int
    shown: str
    regret: float
    milliseconds: float


def hartmann(point: list[float]) -> list[float]:
    distances = (HARTMANN_SCALES * (np.array(point) - HARTMANN_CENTRES) ** 2).sum(axis=1)
    return [-float(HARTMANN_WEIGHTS @ np.exp(-distances))]


def zdt1(point: list[float]) -> list[float]:
    """Zitzler, Deb and Thiele 2000, with six variables."""
    first, rest = point[0], 1 + 9 * sum(point[1:]) / (len(point) - 1)
    return [first, rest * (1 - math.sqrt(first / rest))]


def measure_history(trials: int, seeds: int, most: int) -> Iterator[Searched]:
    """Both functions with every seed, with all trials shown and with ``most``."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    for name, function, regret in (("Hartmann 6", hartmann, _above_minimum), ("ZDT1", zdt1, _lost_volume)):
        for seed in range(seeds):
            for shown in (trials, most):
                values, milliseconds = _searched(function, trials, seed, shown)
                yield Searched(name, seed, "all" if shown == trials else f"{shown}", regret(values), milliseconds)


def _searched(
    function: Callable[[list[float]], list[float]], trials: int, seed: int, most: int
) -> tuple[NDArray[np.float64], float]:
    """Values of all trials, (trials, objectives), and milliseconds."""
    directions = [StudyDirection.MINIMIZE] * len(function([0.5] * VARIABLES))
    with tempfile.TemporaryDirectory(prefix="codyra-history-") as folder:
        storage = StudyStorage(open_database(Path(folder)), "history", directions)
        study, history = optuna.load_study(study_name="history", storage=storage), History(storage, directions, most)
        values, begun = [], 0.0
        for number in range(trials):
            if number == trials - trials // 10:
                begun = time.process_time()
            study.sampler = tpe(derived_seed(seed, number) % 2**32, history)
            trial = study.ask()
            values.append(function([trial.suggest_float(f"x{index}", 0, 1) for index in range(VARIABLES)]))
            history.add(study.tell(trial, values[-1]))
    return np.array(values), 1000 * (time.process_time() - begun) / (trials // 10)


def _above_minimum(values: NDArray[np.float64]) -> float:
    return float(values.min()) - HARTMANN_MINIMUM


def _lost_volume(values: NDArray[np.float64]) -> float:
    """Of the area that the true front dominates, what these points leave."""
    return ZDT1_VOLUME - hypervolume(-values, [-ZDT1_REFERENCE] * 2)
