"""Records to rows: means over seeds, nothing averaged that must not be, conventions, selection, exports."""

from __future__ import annotations

import math
from collections.abc import Callable
from io import StringIO
from typing import Any

import numpy as np
import pandas as pd
import pytest

from suite.cli.board import board_sheet
from suite.cli.json_output import plain
from suite.errors import SuiteError
from suite.leaderboard.export import FORMS, latex_escape, to_csv, to_html, to_latex, to_markdown
from suite.leaderboard.ranking import board
from suite.leaderboard.runs import RunSet
from suite.leaderboard.table import budget_text, leaderboard_frame, metric_columns, task_columns
from suite.runs.record import Cells, Record

ROWS: Cells = [[50.0, 50.0, 50.0], [80.0, 60.0, 40.0], [84.0, 90.0, 50.0], [70.0, 85.0, 95.0]]
COLUMNS = [
    *("benchmark", "setting", "method", "zscl.last", "zscl.last std", "gem.bwt", "gem.bwt std"),
    *("trainable_parameters", "effective_rank", "no_signal_rank", "carried_bytes", "wall_seconds", "peak_gib"),
    *("decision", "task_id_at_test", "extra_data", "mergeable"),
    *("standing", "p_vs_best", "n", "seeds", "orders", "tasks", "undefined", "unfinished"),
    *("backbone", "budget", "lr", "judged_in"),
    *("study", "trials", "selection", "oracle_gap", "left_out", "commit", "config_hash", "runs", "tags"),
    *("data_fingerprint", "code_version", "settings_hash", "scoring"),
]


def shifted(rows: Cells, by: float) -> Cells:
    return [[None if value is None else value + by for value in row] for row in rows]


def test_schema_is_the_documented_one(make_record: Callable[..., Record]) -> None:
    assert list(leaderboard_frame([make_record()]).columns) == COLUMNS


def test_mean_and_deviation_over_seeds(make_record: Callable[..., Record]) -> None:
    frame = leaderboard_frame([make_record(seed=0), make_record(seed=1, rows=shifted(ROWS, 4.0))])
    (row,) = frame.to_dict("records")
    assert row["zscl.last"] == pytest.approx(83.3333 + 2, abs=1e-3)
    assert row["zscl.last std"] == pytest.approx(np.std([0, 4], ddof=1))
    assert row["gem.bwt"] == pytest.approx(-7.5)
    assert (row["n"], row["seeds"], row["unfinished"]) == (2, "0,1", "")
    assert (row["effective_rank"], row["no_signal_rank"]) == (7.0, 8.2)
    assert (row["trainable_parameters"], row["wall_seconds"], row["peak_gib"]) == (100.0, 8.0, 1.0)


def test_one_seed_has_no_deviation(make_record: Callable[..., Record]) -> None:
    assert math.isnan(leaderboard_frame([make_record()])["zscl.last std"][0])


def test_unfinished_and_failed_runs_enter_no_mean(make_record: Callable[..., Record]) -> None:
    cut = make_record(seed=1, rows=shifted(ROWS[:2], -50), status="stopped")
    lost = make_record(seed=2, rows=[], status="failed", reason="nan")
    (row,) = leaderboard_frame([make_record(), cut, lost]).to_dict("records")
    assert row["n"] == 1
    assert row["zscl.last"] == pytest.approx(83.3333, abs=1e-3)
    assert row["unfinished"] == "seed 1 stopped after 1 of 3, seed 2 failed after 0 of 3"


@pytest.mark.parametrize(
    "fields",
    [
        {"data_fingerprint": "e" * 64},
        {"code_version": "w"},
        {"settings_hash": "x"},
        {"setting": {"order": "II"}},
        {"scoring": "trace"},
    ],
)
def test_what_differs_is_never_averaged(fields: dict[str, Any], make_record: Callable[..., Record]) -> None:
    assert len(leaderboard_frame([make_record(), make_record(seed=1, **fields)])) == 2


def test_convention_recomputes_every_row(make_record: Callable[..., Record]) -> None:
    frame = leaderboard_frame([make_record()], "zscl")
    assert metric_columns(frame) == ["zscl.transfer", "zscl.average", "zscl.last"]
    assert frame["zscl.transfer"][0] == pytest.approx(52.5)
    with pytest.raises(SuiteError, match="nearest: 'zscl'"):
        leaderboard_frame([make_record()], "zsc")


def test_studies_show_the_trial_that_validation_chose(make_record: Callable[..., Record]) -> None:
    """The second trial is best on validation, the third on test: peeking would have added 5 points."""
    trials = [
        make_record(seed=0, study="s", settings_hash="a"),
        make_record(seed=1, study="s", settings_hash="b", validation=shifted(ROWS, 5.0)),
        make_record(seed=2, study="s", settings_hash="c", test=shifted(ROWS, 5.0)),
    ]
    (row,) = leaderboard_frame(trials).to_dict("records")
    assert (row["settings_hash"], row["trials"], row["selection"]) == ("b", 3, "two-phase (whole validation matrix)")
    assert row["oracle_gap"] == pytest.approx(5.0)
    assert len(leaderboard_frame(trials, all_trials=True)) == 3


def test_runs_that_chose_a_setting_are_left_out_beside_fresh_ones(make_record: Callable[..., Record]) -> None:
    """A study chose "b" by seed 0; seeds 1 and 2 of it, which no choice saw, make the mean, the marks' runs and the accuracy by task."""
    other = make_record(study="s", settings_hash="a", run_id="other", validation=shifted(ROWS, -5.0))
    chosen = make_record(study="s", settings_hash="b", run_id="chosen", rows=shifted(ROWS, 4.0))
    fresh = [make_record(seed=seed, settings_hash="b", run_id=f"fresh{seed}") for seed in (1, 2)]
    (row,) = leaderboard_frame([other, chosen, *fresh], per_task=True).to_dict("records")
    assert (row["n"], row["seeds"], row["runs"], row["left_out"]) == (2, "1,2", "fresh1,fresh2", "chosen")
    assert (row["zscl.last"], row["last: t1"]) == pytest.approx((250 / 3, 70.0))
    assert (row["study"], row["trials"]) == ("s", 2)
    (note,) = (note for note in board_sheet(leaderboard_frame([other, chosen, *fresh]), "").notes if note.startswith("* "))
    assert note.endswith("points more; 1 run by which it was chosen left out")
    running = [record.model_copy(update={"status": "running"}) for record in fresh]
    assert leaderboard_frame([other, chosen, *running])["runs"].tolist() == ["chosen"]
    alone = leaderboard_frame([chosen, *fresh])  # as where all other trials failed
    assert (alone["n"][0], alone["left_out"][0]) == (2, "chosen")
    assert any(note.startswith("* chosen among 1 trial of study 's'") for note in board_sheet(alone, "").notes)
    assert sorted(leaderboard_frame([other, chosen, *fresh], all_trials=True)["n"]) == [1, 3]


def test_a_choice_bears_the_name_of_the_study_that_made_it(make_record: Callable[..., Record]) -> None:
    """Two tunings share the trials "a" and "b": "g" has a better one of its own, so that "b" is the choice of "h" alone."""
    a = make_record(study="g", settings_hash="a", run_id="a", reused_by={"h": 0})
    b = make_record(study="h", settings_hash="b", run_id="b", validation=shifted(ROWS, 3.0), reused_by={"g": 1})
    c = make_record(study="g", settings_hash="c", run_id="c", validation=shifted(ROWS, 5.0))
    found = leaderboard_frame([a, b, c])
    assert found.set_index("settings_hash")["study"].to_dict() == {"b": "h", "c": "g"}
    assert set(leaderboard_frame([a, b, c], all_trials=True)["study"]) == {"g", "g,h"}
    notes = " ".join(board_sheet(found, "").notes)
    assert "among 2 trials of study 'h'" in notes and "among 3 trials of study 'g'" in notes
    both = leaderboard_frame([a, b])  # without the third trial both choose "b"
    assert both[["study", "trials"]].to_numpy().tolist() == [["g,h", 2]]
    assert "* chosen in each of the studies 'g', 'h', among up to 2 trials," in " ".join(board_sheet(both, "").notes)
    one = board(
        RunSet([a, b], study="h")
    )  # as 'leaderboard --study h' reads it: what 'g' chose among all of its trials is not here
    assert one["study"].tolist() == ["h"]


def test_methods_are_sorted_by_last_within_a_benchmark(make_record: Callable[..., Record]) -> None:
    frame = leaderboard_frame(
        [make_record("lora", rows=shifted(ROWS, -9)), make_record("codyra"), make_record("x", rows=shifted(ROWS, 1))]
    )
    assert list(frame["method"]) == ["x", "codyra", "lora"]


def test_every_benchmark_is_sorted_by_its_own_headline(make_record: Callable[..., Record]) -> None:
    text = {"benchmark": "text", "metrics": ["trace.op", "trace.bwt"]}
    records = [make_record("low", rows=shifted(ROWS, -9), **text), make_record("high", **text), make_record("image")]
    assert list(leaderboard_frame(records)["method"]) == ["image", "high", "low"]


def test_budget_is_shown_as_steps_or_epochs() -> None:
    assert budget_text({"steps": 8, "epochs": None, "batch_size": 4}) == "8 steps x 4"
    assert budget_text({"steps": None, "epochs": 2.5, "batch_size": 4}) == "2.5 epochs x 4"


HOSTILE = "<script>alert(1)</script> a_b%c&d|e"


def test_hostile_names_are_escaped(make_record: Callable[..., Record]) -> None:
    frame = leaderboard_frame([make_record(HOSTILE)])
    assert "<script>" not in to_html(frame)
    assert "<script>" not in to_markdown(frame).replace(r"\<script\>", "")
    assert latex_escape("a_b%c&d") == r"a\_b\%c\&d"
    assert r"\textless{}script\textgreater{}" in to_latex(frame)
    assert r"a\_b\%c\&d\textbar{}e" in to_latex(frame)
    assert r"a\_b%c\&d\|e" in to_markdown(frame)
    assert r"\[a\](b)" in to_markdown(leaderboard_frame([make_record("[a](b)")]))
    assert to_markdown(frame).splitlines()[2].count(" | ") == len(frame.columns) - 1
    read = pd.read_csv(StringIO(to_csv(frame)))
    assert read["method"][0] == HOSTILE


@pytest.mark.parametrize("form", sorted(FORMS))
def test_every_form_holds_every_row(form: str, make_record: Callable[..., Record]) -> None:
    text = FORMS[form](leaderboard_frame([make_record("lora"), make_record("codyra")]))
    assert "lora" in text
    assert "codyra" in text
    assert "nan" not in text.lower().replace("nanosecond", "")


def test_json_holds_full_precision_and_null_for_what_was_not_measured(make_record: Callable[..., Record]) -> None:
    frame = leaderboard_frame([make_record(rows=[[100 / 3] * 3, [200 / 3] * 3, [100 / 7] * 3, [100 / 9] * 3])])
    frame["p_vs_best"] = 1e-30
    (row,) = plain(frame)
    assert (row["zscl.last"], row["p_vs_best"], row["zscl.last std"]) == (frame["zscl.last"][0], 1e-30, None)
    assert list(row) == COLUMNS


@pytest.mark.parametrize("form", [to_markdown, to_latex, to_html])
def test_counts_are_shown_whole(form: Callable[[pd.DataFrame], str]) -> None:
    shown = form(pd.DataFrame({"trainable_parameters": [4425984.0, 149620736.0], "zscl.last": [83.3333333, 50.0]}))
    assert all(text in shown for text in ("4425984", "149620736", "83.3333", "50"))
    assert "e+0" not in shown


def test_orders_are_pooled_on_request_only(make_record: Callable[..., Record]) -> None:
    """Order II of the same examples: other columns, other fingerprint, other settings hash, one row when pooled."""
    back = ["t3", "t2", "t1"]
    config = make_record().config
    second = {**config, "benchmark": {"name": "b", "order": "II"}}
    other = {"data_fingerprint": "e" * 64, "settings_hash": "x", "setting": {"order": "II"}, "tasks": back, "config": second}
    records = [make_record(), make_record(rows=shifted(ROWS, -4.0), run_id="back", **other)]
    assert len(leaderboard_frame(records)) == 2
    (row,) = leaderboard_frame(records, pool_orders=True).to_dict("records")
    assert (row["n"], row["orders"], row["setting"], row["runs"]) == (2, "I,II", "", "codyra-0,back")
    assert row["zscl.last"] == pytest.approx(83.3333 - 2, abs=1e-3)
    elsewhere = {**other, "item_digests": {"validation": ["a", "b", "c"], "test": ["a", "b", "c"]}}
    assert len(leaderboard_frame([make_record(), make_record(**elsewhere)], pool_orders=True)) == 2


def test_a_column_per_task_on_request(make_record: Callable[..., Record]) -> None:
    frame = leaderboard_frame([make_record(), make_record(seed=1, rows=shifted(ROWS, 2.0))], per_task=True)
    assert task_columns(frame) == ["last: t1", "last: t2", "last: t3"]
    assert [frame[name][0] for name in task_columns(frame)] == [71.0, 86.0, 96.0]
    assert metric_columns(frame) == ["zscl.last", "gem.bwt"]


def test_a_run_without_a_matrix_is_shown_without_numbers(make_record: Callable[..., Record]) -> None:
    (row,) = leaderboard_frame([make_record(rows=[], status="failed", reason="nan")]).to_dict("records")
    assert (row["n"], row["runs"]) == (0, "")
    assert math.isnan(row["zscl.last"])
    assert row["unfinished"] == "seed 0 failed after 0 of 3"


def test_five_hundred_runs_are_a_hundred_rows(make_record: Callable[..., Record]) -> None:
    records = [make_record(f"m{i}", seed=s) for i in range(100) for s in range(5)]
    frame = leaderboard_frame(records)
    assert len(frame) == 100
    assert set(frame["n"]) == {5}


def test_no_cell_of_a_csv_begins_like_a_formula() -> None:
    texts = ["=1+1", "+1", "-1", "@SUM(1)", "\t=1", "plain"]
    frame = pd.DataFrame({"=name": texts, "number": [-1.5, -2.0, 0.0, 1.0, 2.0, 3.0]})
    read = pd.read_csv(StringIO(to_csv(frame)))
    assert list(read["'=name"]) == [*(f"'{text}" for text in texts[:-1]), "plain"]
    assert list(read["number"]) == list(frame["number"])


def test_traits_are_words_and_empty_where_no_record_says_them(make_record: Callable[..., Record]) -> None:
    record = make_record().model_copy(
        update={"traits": {"decision": "batch", "task_id_at_test": False, "extra_data": "", "mergeable": True}}
    )
    (row,) = leaderboard_frame([record]).to_dict("records")
    assert [row[name] for name in ("decision", "task_id_at_test", "extra_data", "mergeable")] == ["batch", "no", "none", "yes"]
    (old,) = leaderboard_frame([make_record()]).to_dict("records")
    assert [old[name] for name in ("decision", "task_id_at_test", "extra_data", "mergeable")] == [""] * 4


def test_only_what_takes_steps_has_a_budget(make_record: Callable[..., Record]) -> None:
    record = make_record("zero-shot")
    idle = [result.model_copy(update={"costs": result.costs.model_copy(update={"steps": 0})}) for result in record.results]
    frame = leaderboard_frame([make_record("lora"), record.model_copy(update={"results": idle})])
    budgets = dict(zip(frame["method"], frame["budget"], strict=True))
    assert budgets["zero-shot"] == "" != budgets["lora"]
    sheet = board_sheet(frame, "title")
    assert "budget" not in [column.head for column in sheet.columns]
    assert f"budget per task: {budgets['lora']}" in sheet.notes
