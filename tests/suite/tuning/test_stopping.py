"""Successive halving over tasks: who goes on from a rung; `median` is tested with the study."""

from __future__ import annotations

import pytest

from suite.config import validate
from suite.errors import ConfigError
from suite.runs.validation_view import ValidationView
from suite.tuning.stopping import StoppingConfig

TASKS = tuple("abcdefgh")


def view(value: float, done: int, steps: int = 10) -> ValidationView:
    """A trial whose mean over what it has learned is ``value`` after each of ``done`` tasks of ``steps`` steps."""
    rows = [[value] * len(TASKS) for _ in range(done + 1)]
    return ValidationView("r", "running", None, TASKS, rows, 10, None, 0, 1.0, 5, (0, *[steps] * done))


def others(*values: float, done: int = 8, steps: int = 10) -> dict[int, ValidationView]:
    return {number: view(value, done, steps) for number, value in enumerate(values)}


def test_the_best_share_of_those_that_reached_a_rung_goes_on() -> None:
    rule = StoppingConfig(rule="halving", grace_tasks=2, least_trials=3)
    stopped = {value: rule.should_stop(view(value, 2), others(40, 50, 60)) for value in (39, 45, 50, 55, 65)}
    assert stopped == {39: True, 45: True, 50: False, 55: False, 65: False}  # two of four go on; equals are not beaten
    third = StoppingConfig(rule="halving", grace_tasks=2, least_trials=3, reduction=4)
    assert [third.should_stop(view(value, 2), others(40, 50, 60)) for value in (55, 65)] == [True, False]


def test_only_those_count_that_reached_the_rung() -> None:
    rule = StoppingConfig(rule="halving", grace_tasks=2, least_trials=3)
    assert not rule.should_stop(view(0, 2), {**others(40, 50), 9: view(60, 1)})
    assert rule.should_stop(view(0, 2), {**others(40, 50), 9: view(60, 2)})


def test_between_rungs_and_at_the_end_nobody_is_stopped() -> None:
    rule = StoppingConfig(rule="halving", grace_tasks=1, least_trials=1)
    assert [done for done in range(9) if rule.should_stop(view(0, done), others(40, 50))] == [1, 2, 4]
    named = StoppingConfig(rule="halving", grace_tasks=1, least_trials=1, rungs=(3, 7, 12))
    assert [done for done in range(9) if named.should_stop(view(0, done), others(40, 50))] == [3, 7]
    slow = StoppingConfig(rule="halving", grace_tasks=1, reduction=1.01)
    assert slow.rungs_of(5) == (1, 2, 3, 4)


def test_a_margin_lets_more_go_on() -> None:
    rule = StoppingConfig(rule="halving", grace_tasks=2, least_trials=3, margin=6)
    assert not rule.should_stop(view(45, 2), others(40, 50, 60))
    assert rule.should_stop(view(43, 2), others(40, 50, 60))


def test_nobody_is_held_against_trials_that_took_more_steps() -> None:
    rule = StoppingConfig(rule="halving", grace_tasks=2, least_trials=3)
    assert not rule.should_stop(view(10, 2, steps=5), others(40, 50, 60))
    assert rule.should_stop(view(10, 2, steps=20), others(40, 50, 60))


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
