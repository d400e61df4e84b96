"""Records to rows: means over seeds, nothing averaged that must not be, conventions, selection, exports."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import UTC, datetime
from io import StringIO
from typing import Any

import numpy as np
import pandas as pd
import pytest

from suite.errors import ConfigError, SuiteError
from suite.leaderboard.export import FORMS, latex_escape, to_csv, to_html, to_latex, to_markdown
from suite.leaderboard.figures import accuracy_matrix_figure, save_figure
from suite.leaderboard.table import budget_text, leaderboard_frame, metric_columns
from suite.record import Cells, Record, TaskCosts, TaskResult

ROWS: Cells = [[50.0, 50.0, 50.0], [80.0, 60.0, 40.0], [84.0, 90.0, 50.0], [70.0, 85.0, 95.0]]
COLUMNS = [
    *("benchmark", "setting", "method", "zscl.last", "zscl.last std", "gem.bwt", "gem.bwt std"),
    *("trainable_parameters", "effective_rank", "no_signal_rank", "carried_bytes", "wall_seconds", "peak_gib"),
    *("n", "seeds", "unfinished", "budget", "lr", "study", "trials", "selection", "optimism"),
    *("commit", "config_hash", "data_fingerprint", "code_version", "settings_hash", "scoring"),
]


def result(row: int) -> TaskResult:
    costs = TaskCosts(
        steps=8,
        wall_seconds=2.0,
        train_seconds=1.0,
        evaluate_seconds=1.0,
        device_seconds=None,
        peak_bytes=2**30,
        device_peak_bytes=None,
        trainable_parameters=100 * (row > 0),
        carried_bytes=0,
    )
    ranks = {"vision.0.q": 6, "vision.0.k": 8} if row else {}
    return TaskResult(row=row, task=f"t{row}" if row else None, costs=costs, effective_rank=ranks, no_signal_rank=8.2 if row else None)


@pytest.fixture
def make_record() -> Callable[..., Record]:
    def make(method: str = "codyra", seed: int = 0, rows: Cells = ROWS, **fields: Any) -> Record:
        config = {
            "benchmark": {"name": "b"},
            "method": {"name": method},
            "backbone": {"name": "mini-clip"},
            "training": {"steps": 8, "epochs": None, "batch_size": 4, "lr": 1e-3},
            "seed": seed,
        }
        base: dict[str, Any] = {
            "run_id": f"{method}-{seed}",
            "config": config,
            "config_hash": f"c{method}{seed}",
            "settings_hash": f"s{method}",
            "data_fingerprint": "f" * 64,
            "code_version": "v",
            "commit": "abc",
            "dirty": False,
            "versions": {},
            "hardware": {},
            "benchmark": "b",
            "setting": {"order": "I"},
            "protocol": "task",
            "scoring": None,
            "metrics": ["zscl.last", "gem.bwt"],
            "tasks": ["t1", "t2", "t3"],
            "item_digests": {},
            "validation": rows,
            "test": rows,
            "results": [result(row) for row in range(len(rows))],
            "status": "finished",
            "started_at": datetime(2026, 1, 1, tzinfo=UTC),
        }
        return Record.model_validate({**base, **fields})

    return make


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
    "fields", [{"data_fingerprint": "e" * 64}, {"code_version": "w"}, {"settings_hash": "x"}, {"setting": {"order": "II"}}, {"scoring": "trace"}]
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
    assert (row["settings_hash"], row["trials"], row["selection"]) == ("b", 3, "zscl.last on validation")
    assert row["optimism"] == pytest.approx(5.0)
    assert len(leaderboard_frame(trials, all_trials=True)) == 3


def test_methods_are_sorted_by_last_within_a_benchmark(make_record: Callable[..., Record]) -> None:
    frame = leaderboard_frame([make_record("lora", rows=shifted(ROWS, -9)), make_record("codyra"), make_record("x", rows=shifted(ROWS, 1))])
    assert list(frame["method"]) == ["x", "codyra", "lora"]


def test_budget_is_shown_as_steps_or_epochs() -> None:
    assert budget_text({"steps": 8, "epochs": None, "batch_size": 4}) == "8 steps x 4"
    assert budget_text({"steps": None, "epochs": 2.5, "batch_size": 4}) == "2.5 epochs x 4"


HOSTILE = "<script>alert(1)</script> a_b%c&d|e"


def test_hostile_names_are_escaped(make_record: Callable[..., Record]) -> None:
    frame = leaderboard_frame([make_record(HOSTILE)])
    assert "<script>" not in to_html(frame)
    assert "<script>" not in to_markdown(frame).replace(r"\<script\>", "")
    assert latex_escape("a_b%c&d") == r"a\_b\%c\&d"
    assert r"a\_b\%c\&d" in to_latex(frame)
    assert to_markdown(frame).splitlines()[2].count(" | ") == len(frame.columns) - 1
    read = pd.read_csv(StringIO(to_csv(frame)))
    assert read["method"][0] == HOSTILE


@pytest.mark.parametrize("form", sorted(FORMS))
def test_every_form_holds_every_row(form: str, make_record: Callable[..., Record]) -> None:
    text = FORMS[form](leaderboard_frame([make_record("lora"), make_record("codyra")]))
    assert "lora" in text
    assert "codyra" in text
    assert "nan" not in text.lower().replace("nanosecond", "")


def test_five_hundred_runs_take_seconds(make_record: Callable[..., Record]) -> None:
    records = [make_record(f"m{i}", seed=s) for i in range(100) for s in range(5)]
    frame = leaderboard_frame(records)
    assert len(frame) == 100
    assert set(frame["n"]) == {5}


def test_matrix_picture_is_saved_twice_and_reproducibly(make_record: Callable[..., Record], tmp_path: Any) -> None:
    svg, png = save_figure(accuracy_matrix_figure(make_record()), tmp_path / "a" / "matrix")
    again, _ = save_figure(accuracy_matrix_figure(make_record()), tmp_path / "b" / "matrix")
    assert svg.read_bytes() == again.read_bytes()
    assert png.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    assert "after learning" in svg.read_text() or "<svg" in svg.read_text()


def test_empty_board_says_what_to_do(tmp_path: Any) -> None:
    from suite.cli.board import load_board

    with pytest.raises(ConfigError, match="MLflow holds no run"):
        load_board(f"sqlite:///{tmp_path / 'none.db'}", {}, None)
    with pytest.raises(ConfigError, match="no run matches benchmark = 'x'"):
        load_board(f"sqlite:///{tmp_path / 'none.db'}", {"benchmark": "x"}, None)
