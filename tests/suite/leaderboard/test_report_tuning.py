"""What the page says of tunings, and of what its marks and its rank diagram test."""

from __future__ import annotations

import html
from collections.abc import Callable
from dataclasses import replace

import pandas as pd

from suite.leaderboard.ranking import board
from suite.leaderboard.report import report_html
from suite.leaderboard.report_tuning import other_runs, tuning_views
from suite.leaderboard.runs import RunSet
from suite.leaderboard.tests_told import marks_text, ranks_text
from suite.leaderboard.tuned_table import tuned_boards
from suite.leaderboard.tuned_words import closing
from suite.measuring.null_tuning import World, made_up_tuning

WORLD = World({"codyra": 0.45, "lora": 0.5, "zscl": 0.3}, {"codyra": 0.3}, trials=4)


def test_a_tuning_has_its_table_its_sentences_and_two_pictures() -> None:
    tuning = made_up_tuning(WORLD, 0)
    (view,) = tuning_views([tuning])
    (found,) = tuned_boards(tuning)
    assert view.result == closing(tuning, found)
    assert view.result.startswith(view.winner.sentence)
    assert view.stream == "made-up (5 tasks, 8 steps x 4 per task), task 0, task 1, task 2, task 3, task 4"
    assert [row[0].text for row in view.rows] == list(found.rows["method"])
    assert {len(row) for row in view.rows} == {len(view.heads)}
    assert {len(row) for row in view.search} == {len(view.search_heads)}
    first = dict(zip((head.text for head in view.heads), view.rows[0], strict=True))
    assert first["tuned setting"].text.endswith(" ◆")
    assert first["tuned setting"].value == found.rows["tuned"][0]
    assert (first["runs"].text, first["trials"].text) == ("3, 3 of 3", "4 (4 finished)")
    assert [picture.text.partition(": ")[2] for picture in view.pictures] == [
        "order of methods by default and by tuned settings",
        "validation score (zscl.last) expected after so many trials, and the share of the space that is nearly as good",
    ]


def test_an_unfinished_tuning_has_no_pictures_of_what_is_missing() -> None:
    tuning = made_up_tuning(WORLD, 0)
    begun = replace(tuning, methods=[replace(one, tuned=None, trials=(), chosen=None) for one in tuning.methods])
    (view,) = tuning_views([begun])
    assert list(view.pictures) == list(view.search) == []
    assert "nothing can be said yet" in view.result


def test_a_row_that_holds_more_than_the_judging_runs_says_so() -> None:
    """Otherwise one setting has two means on one page and nothing says why."""
    tuning = made_up_tuning(WORLD, 0)
    judging = [record.run_id for record in tuning.methods[0].default.finished]
    mixed = ",".join([*judging, "earlier"])
    said = other_runs(pd.DataFrame({"runs": [",".join(judging), mixed, "unrelated"]}), [tuning])
    assert list(said) == [mixed]
    assert (
        "Tuning made up 0 judges this setting of codyra by 3 runs of its own; this row also holds earlier, so that"
        in said[mixed]
    )


def test_the_page_says_what_marks_and_ranks_test(make_runs: Callable[..., RunSet]) -> None:
    runs = make_runs({"good": 0.8, "bad": 0.5, "same": 0.8}, seeds=3)
    page = html.unescape(report_html(runs, {}, made="today"))
    assert "They speak for other examples and, by the 3 seeds that rows share, for other seeds." in page
    assert ranks_text(3) in page
    assert "The marks ask about means: best has the highest mean over tasks after the last one" in page
    assert 'id="tunings"' not in page


def test_a_page_leaves_out_the_runs_that_chose_a_setting(make_runs: Callable[..., RunSet]) -> None:
    """Seed 0 of "good" is a study's trial, chosen among two; the study still shows it as its choice."""
    runs = make_runs({"good": 0.8, "bad": 0.5, "worse": 0.3}, seeds=3)
    trials = {"good-0", "worse-0"}
    records = [record.model_copy(update={"study": "s"}) if record.run_id in trials else record for record in runs.records]
    page = html.unescape(report_html(RunSet(records, runs.loaders), {}, made="today"))
    assert "Left out, because the setting was chosen by it: good-0." in page
    assert "Of rows that a study chose, the runs by which it chose them are left out, as far as there are others." in page
    assert "Chosen trials of study s" in page


def test_one_seed_cannot_speak_about_seeds(make_runs: Callable[..., RunSet]) -> None:
    text = marks_text(board(make_runs({"good": 0.8, "bad": 0.5})))
    assert text.endswith("the marks speak for other examples of these tasks and say nothing about other seeds.")
    more, one = make_runs({"good": 0.8, "bad": 0.5}, seeds=2), make_runs({"other": 0.6})
    mixed = marks_text(board(RunSet([*more.records, *one.records], {**more.loaders, **one.loaders})))
    assert mixed.endswith("for other seeds. Where fewer than two seeds are shared, they speak for other examples alone.")


def test_without_marks_nothing_is_said_of_them(make_runs: Callable[..., RunSet]) -> None:
    assert marks_text(board(make_runs({"alone": 0.8}))) == ""
    page = report_html(make_runs({"alone": 0.8}), {}, made="today")
    assert "The marks ask" not in page
    assert "The rank diagram" not in page
