"""What TPE sees of a long study: all trials up to a bound, then the best and an even choice of the others."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import optuna
import pytest
from optuna.distributions import FloatDistribution
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial

from suite.randomness import numpy_generator
from suite.tuning.optuna_database import open_database
from suite.tuning.sampler_history import LEADING, History
from suite.tuning.samplers import tpe
from suite.tuning.study_storage import StudyStorage

BOTH = [StudyDirection.MAXIMIZE, StudyDirection.MINIMIZE]
MOST = 20


@pytest.fixture
def study(tmp_path: Path) -> optuna.Study:
    storage = StudyStorage(open_database(tmp_path), "night", BOTH)
    return optuna.load_study(study_name="night", storage=storage)


def ended(number: int, *values: float, state: TrialState = TrialState.COMPLETE, violation: float = 0.0) -> FrozenTrial:
    trial = create_trial(
        state=state,
        values=values or None,
        params={"lr": 1.0, "rank": 2.0},
        distributions={"lr": FloatDistribution(0, 9), "rank": FloatDistribution(0, 9)},
    )
    trial.number = number
    trial.set_constraint("memory", violation)
    return trial


def grow(study: optuna.Study, history: History | None, trials: int) -> list[dict[str, float]]:
    """Parameters of ``trials`` more trials with values that depend on them; the last stays open."""
    draws = []
    for _ in range(trials):
        number = len(study.get_trials(deepcopy=False))
        study.sampler = tpe(number, history)
        trial = study.ask()
        draws.append({name: trial.suggest_float(name, 0, 9) for name in ("lr", "rank")})
        lr, rank = draws[-1].values()
        told = study.tell(trial, [lr * rank, (lr - 3) ** 2])
        if history is not None:
            history.add(told)
    return draws


def test_up_to_the_bound_tpe_suggests_what_it_does_alone(study: optuna.Study) -> None:
    assert isinstance(study._storage, StudyStorage)
    history = History(study._storage, BOTH, MOST)
    alone = optuna.create_study(directions=BOTH)
    assert grow(study, history, MOST + 1) == grow(alone, None, MOST + 1)
    assert history.numbers() is not None
    assert len(study.get_trials(deepcopy=False)) == MOST + 1  # nobody else sees less


def test_beyond_it_suggests_what_it_would_in_a_study_of_the_shown_trials(study: optuna.Study) -> None:
    assert isinstance(study._storage, StudyStorage)
    history = History(study._storage, BOTH, MOST)
    grow(study, history, 2 * MOST)
    shown, every = history.numbers(), study.get_trials(deepcopy=False)
    assert shown is not None and len(shown) == MOST
    few = optuna.create_study(directions=BOTH)
    few.add_trials([trial for trial in every if trial.number in shown])
    waiting = study.ask()  # drawn beside a trial that is running
    waiting.suggest_float("lr", 0, 9)
    study.sampler, few.sampler = tpe(7, history), tpe(7, None)
    few.add_trial(study.get_trials(deepcopy=False)[-1])
    one, other = study.ask(), few.ask()
    assert one.suggest_float("lr", 0, 9) == other.suggest_float("lr", 0, 9)
    assert one.suggest_float("rank", 0, 9) == other.suggest_float("rank", 0, 9)


def test_the_best_are_shown_and_an_even_choice_of_the_others(study: optuna.Study) -> None:
    assert isinstance(study._storage, StudyStorage)
    best = [ended(number, float(number), float(number)) for number in (40, 50, 60, 70)]  # no one beats another: a front
    bad = [ended(number, 10.0 - number / 10, 80.0 + number) for number in range(40)]
    never = [
        ended(100, state=TrialState.PRUNED),
        ended(101, 99.0, 0.0, violation=1.0),
        ended(102, state=TrialState.FAIL),
    ]
    shown = []
    for turn in range(2):
        history, trials = History(study._storage, BOTH, MOST), [*best, *bad, *never]
        for place in numpy_generator("order", turn).permutation(len(trials)):
            history.add(trials[place])
        shown.append(history.numbers())
    assert shown[0] == shown[1]  # whatever the order in which they ended
    assert shown[0] is not None and len(shown[0]) == MOST
    assert {40, 50, 60, 70} <= shown[0] and len(best) == MOST // LEADING
    assert 102 not in shown[0]
    others = sorted(shown[0] - {40, 50, 60, 70})
    assert (others[0], others[-1]) == (0, 101)
    assert max(later - earlier for earlier, later in pairwise(others[:-1])) <= 4
