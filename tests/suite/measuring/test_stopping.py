"""Stopping rules replayed on trials that were learned to the end."""

from __future__ import annotations

import pytest

from suite.errors import DataError
from suite.measuring.leaderboard import made_up
from suite.measuring.stopping import replay
from suite.runs.record import Record
from suite.runs.store import RunStore
from suite.runs.validation_view import validation_view
from suite.tuning.objectives import Objective
from suite.tuning.stopping import StoppingConfig

OBJECTIVES = [Objective("zscl.last"), Objective("zscl.transfer")]


@pytest.fixture(scope="module")
def trials(tmp_path_factory: pytest.TempPathFactory) -> list[Record]:
    store = RunStore(tmp_path_factory.mktemp("trials"))
    return [made_up(store, number) for number in range(12)]


def test_no_rule_costs_everything_and_finds_everything(trials: list[Record]) -> None:
    found = replay(trials, StoppingConfig(rule="none"), OBJECTIVES, (0.5, 1.0))
    assert (found.trials, found.cost, found.stopped, found.on_front_stopped) == (12, 1.0, 0, 0)
    assert found.share_at[1.0] == (1.0, 1.0)
    assert found.share_at[0.5][0] == found.share_at[0.5][1] <= 1.0


def test_a_rule_saves_what_the_trials_it_ends_would_have_cost(trials: list[Record]) -> None:
    found = replay(trials, StoppingConfig(rule="median", grace_tasks=1), OBJECTIVES, (1.0,))
    assert 0 < found.stopped < 12
    rows = len(trials[0].results)
    assert found.cost >= 1 - found.stopped * (rows - 2) / (12 * rows)  # a trial is ended after its second row at the earliest
    assert found.cost <= 1 - found.stopped / (12 * rows)
    assert found.on_front_stopped <= found.front


def test_one_trial_is_too_few(trials: list[Record]) -> None:
    with pytest.raises(DataError, match="1 finished trials to replay"):
        replay(trials[:1], StoppingConfig(rule="none"), OBJECTIVES, (1.0,))


def test_regret_is_what_the_best_final_value_lost(trials: list[Record]) -> None:
    assert replay(trials, StoppingConfig(rule="none"), OBJECTIVES, ()).regret == 0
    rule = StoppingConfig(rule="halving", grace_tasks=1, least_trials=1, reduction=4)
    found, objective = replay(trials, rule, OBJECTIVES, ()), OBJECTIVES[0]
    values = [objective.value(validation_view(record)) for record in trials]
    assert 0 < found.stopped < len(trials)
    assert 0 <= found.regret <= max(values) - values[0]  # the first trial has nobody to be held against
    assert 0 < found.mean_regret <= max(values) - min(values)
    assert found.mean_cost < 1
