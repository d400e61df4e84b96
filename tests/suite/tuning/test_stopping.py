"""Stopping rules: whom a trial is compared with, and who goes on."""

from __future__ import annotations

import math
import statistics

import pytest

from suite.config import validate
from suite.errors import ConfigError
from suite.randomness import numpy_generator
from suite.runs.validation_view import ValidationView
from suite.tuning.stopping import Reached, StoppingConfig

TASKS = tuple("abcdefgh")


def view(value: float, done: int, steps: int = 10) -> ValidationView:
    """A trial whose mean over what it has learned is ``value`` after each of ``done`` tasks of ``steps`` steps."""
    rows = [[value] * len(TASKS) for _ in range(done + 1)]
    return ValidationView("r", "running", None, TASKS, rows, 10, None, 0, 1.0, 5, (0, *[steps] * done))


def others(*values: float, done: int = 8, steps: int = 10) -> dict[int, ValidationView]:
    return {number: view(value, done, steps) for number, value in enumerate(values)}


def stops(rule: StoppingConfig, own: ValidationView, views: dict[int, ValidationView]) -> bool:
    reached = Reached(rule)
    for number, other in views.items():
        reached.see(number, 0, other)
    return rule.should_stop(own, 99, reached)


def measured(*rows: list[float]) -> ValidationView:
    return ValidationView("r", "running", None, ("a", "b", "c"), [[50.0, 50, 50], *rows], 10, 4.0, 0, 1.0, 5)


def test_trials_are_compared_at_equal_tasks_only() -> None:
    rule = StoppingConfig(rule="median", grace_tasks=1, least_trials=2)
    ended = measured([80, 40, 40], [70, 80, 40], [60, 70, 80])  # learned means: 80 after one task, 75 after two
    late = {1: ended, 2: ended}
    assert not stops(rule, measured([81, 0, 0]), late)
    assert stops(rule, measured([79, 99, 99]), late)
    assert not stops(rule, measured([79, 0, 0]), {1: ended})
    assert not stops(rule, measured([0, 0, 0]), {1: measured(), 2: measured()})
    assert not stops(rule, measured(*[[0.0] * 3] * 3), late)


def test_grace_tasks_protect() -> None:
    rule = StoppingConfig(rule="median", grace_tasks=2, least_trials=1)
    ended = measured([80, 40, 40], [70, 80, 40], [60, 70, 80])
    assert not stops(rule, measured([0.0] * 3), {1: ended})
    assert stops(rule, measured([0.0] * 3, [0.0] * 3), {1: ended})


def test_the_best_share_of_those_that_reached_a_rung_goes_on() -> None:
    rule = StoppingConfig(rule="halving", grace_tasks=2, least_trials=3)
    stopped = {value: stops(rule, view(value, 2), others(40, 50, 60)) for value in (39, 45, 50, 55, 65)}
    assert stopped == {39: True, 45: True, 50: False, 55: False, 65: False}  # two of four go on; equals are not beaten
    third = StoppingConfig(rule="halving", grace_tasks=2, least_trials=3, reduction=4)
    assert [stops(third, view(value, 2), others(40, 50, 60)) for value in (55, 65)] == [True, False]


def test_only_those_count_that_reached_the_rung() -> None:
    rule = StoppingConfig(rule="halving", grace_tasks=2, least_trials=3)
    assert not stops(rule, view(0, 2), {**others(40, 50), 9: view(60, 1)})
    assert stops(rule, view(0, 2), {**others(40, 50), 9: view(60, 2)})


def test_between_rungs_and_at_the_end_nobody_is_stopped() -> None:
    rule = StoppingConfig(rule="halving", grace_tasks=1, least_trials=1)
    assert [done for done in range(9) if stops(rule, view(0, done), others(40, 50))] == [1, 2, 4]
    named = StoppingConfig(rule="halving", grace_tasks=1, least_trials=1, rungs=(3, 7, 12))
    assert [done for done in range(9) if stops(named, view(0, done), others(40, 50))] == [3, 7]
    slow = StoppingConfig(rule="halving", grace_tasks=1, reduction=1.01)
    assert slow.rungs_of(5) == (1, 2, 3, 4)


def test_a_margin_lets_more_go_on() -> None:
    rule = StoppingConfig(rule="halving", grace_tasks=2, least_trials=3, margin=6)
    assert not stops(rule, view(45, 2), others(40, 50, 60))
    assert stops(rule, view(43, 2), others(40, 50, 60))


def test_nobody_is_held_against_trials_that_took_more_steps() -> None:
    rule = StoppingConfig(rule="halving", grace_tasks=2, least_trials=3)
    assert not stops(rule, view(10, 2, steps=5), others(40, 50, 60))
    assert stops(rule, view(10, 2, steps=20), others(40, 50, 60))


@pytest.mark.parametrize("name", ["median", "halving"])
def test_what_is_kept_in_order_says_what_a_look_at_all_runs_says(name: str) -> None:
    """Many trials of two seeds that come, go on, begin anew and took different steps; ties among them."""
    rule = validate(StoppingConfig, {"rule": name, "grace_tasks": 1, "least_trials": 1, "margin": 1}, where="stopping")
    draws, reached, views = numpy_generator("stopping", name), Reached(rule), dict[tuple[int, int], ValidationView]()
    for _ in range(300):
        key = (int(draws.integers(12)), int(draws.integers(2)))
        views[key] = view(float(draws.integers(5)), int(draws.integers(8)), int(draws.integers(1, 4)))
        reached.see(*key, views[key])
        own, trial = view(float(draws.integers(5)), int(draws.integers(1, 8)), 2), int(draws.integers(12))
        done = own.tasks_done
        there = [other for (number, _), other in views.items() if number != trial and other.tasks_done >= done]
        means = [one.learned_mean(done) for one in there if name == "median" or one.steps_taken(done) <= own.steps_taken(done)]
        if name == "median":
            expected = bool(means) and own.learned_mean(done) < statistics.median(means) - 1
        else:
            better = sum(mean > own.learned_mean(done) + 1 for mean in means)
            expected = done in rule.rungs_of(8) and bool(means) and better >= math.ceil((len(means) + 1) / 2)
        assert rule.should_stop(own, trial, reached) == expected


def test_views_that_were_stored_without_steps_are_read() -> None:
    fields = view(50, 2).as_dict()
    assert ValidationView.from_dict(fields) == view(50, 2)
    del fields["steps"]
    assert ValidationView.from_dict(fields).steps_taken(2) == 0


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"rungs": [3, 2]}, "rungs .3, 2. do not rise"),
        ({"rungs": [2, 2]}, "do not rise"),
        ({"rungs": [1, 3]}, "lies before grace_tasks, 2"),
        ({"rungs": [0]}, "rungs.0"),
        ({"rungs": []}, "rungs"),
        ({"reduction": 1}, "reduction: input should be greater than 1"),
        ({"reduction": "1e400"}, "reduction"),
        ({"reduction": float("nan")}, "reduction"),
        ({"rung": [2]}, "nearest: 'rungs'"),
    ],
)
def test_bad_rungs_are_refused(fields: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        validate(StoppingConfig, {"rule": "halving", **fields}, where="stopping")
