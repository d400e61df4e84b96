"""Trials by their objectives: validation numbers alone, and a front that no trial beats."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pandas as pd
import pytest

from suite.errors import DataError
from suite.leaderboard.pareto import front_figure, objective_frame
from suite.leaderboard.report import report_html
from suite.leaderboard.report_studies import fronts
from suite.leaderboard.runs import RunSet
from suite.runs.record import Record

GOALS = ("zscl.last", "codyra.forgetting")


@pytest.fixture
def trials(make_record: Callable[..., Record]) -> list[Record]:
    """Trial 0 forgets nothing, 1 is best at the end, 2 is beaten by 1 in both; test numbers would say otherwise."""
    found = []
    for number, (learned, last) in enumerate(((50.0, 50.0), (95.0, 80.0), (90.0, 60.0))):
        rows: Any = [[40.0] * 3, [learned, 40, 40], [last, learned, 40], [last, last, last]]
        turned: Any = [[40.0] * 3, *[[100 - last] * 3] * 3]
        fields = {"study": "s", "trial": number, "run_id": f"r{number}", "settings_hash": f"h{number}"}
        found.append(
            make_record("codyra", 0, rows, hyperparameters={"rank": number}, **fields).model_copy(update={"test": turned})
        )
    return found


def test_the_front_is_what_no_trial_beats_on_validation(trials: list[Record]) -> None:
    frame = objective_frame(trials, "s", GOALS)
    assert frame["on front"].tolist() == [True, True, False]
    assert frame["zscl.last"].tolist() == [50.0, 80.0, 60.0]
    axes = front_figure(frame, GOALS, "s", chosen="h1").axes[0]
    assert [text.get_text() for text in axes.texts] == ["0", "1"]
    frame.loc[1, "zscl.last"], frame.loc[1, "codyra.forgetting"] = frame.loc[0, "zscl.last"], frame.loc[0, "codyra.forgetting"]
    axes = front_figure(frame, GOALS, "s", chosen="h2").axes[0]
    assert sorted(text.get_text() for text in axes.texts) == ["0, 1", "2"]  # equal trials side by side, and the chosen one
    with pytest.raises(DataError, match="two objectives"):
        front_figure(frame, GOALS[:1], "s")


def test_the_page_shows_fronts_and_says_where_there_is_none(trials: list[Record]) -> None:
    page = report_html(RunSet(trials), {}, made="today", objectives={"s": list(GOALS)})
    assert "2 of 3 finished trials are beaten by no other one in zscl.last and codyra.forgetting together" in page
    assert "study s: objectives against each other, on validation data" in page
    alone = report_html(RunSet(trials), {}, made="today", objectives={"s": list(GOALS[:1])})
    assert "One objective, and so a best trial in the place of a front: s." in alone
    assert "which objectives they had is not here: s." in report_html(RunSet(trials), {}, made="today")


def test_a_chosen_trial_that_is_beaten_is_in_the_table_all_the_same(trials: list[Record]) -> None:
    chose = pd.DataFrame([{"study": "s", "selection": "first-task", "settings_hash": "h2"}])
    (view,) = fronts(trials, chose, {"s": GOALS})
    assert "Trial 2, which the study's rule chose, is beaten by one of them." in view.said
    assert [(row[0].text, row[3].text) for row in view.rows] == [("1", "no"), ("2", "yes, beaten"), ("0", "no")]
    (view,) = fronts(trials, chose.assign(settings_hash="h1"), {"s": GOALS})
    assert view.said.endswith("on validation data.") and [row[3].text for row in view.rows] == ["yes", "no"]
