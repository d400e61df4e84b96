"""Costs of a record, once for tables, objectives and trackers."""

from __future__ import annotations

import math

import pytest

from suite.config import validate
from suite.errors import ConfigError, SuiteError
from suite.leaderboard.table import cost_columns
from suite.registry import METHODS
from suite.runs.costs import run_costs
from suite.runs.record import Record, TaskCosts, TaskResult
from suite.runs.validation_view import validation_view
from suite.tracking.run_metrics import row_metrics
from suite.tuning.objectives import Objective
from suite.tuning.study_config import StudyConfig

GIB = 2**30


def record(*, device: list[float | None], ranks: list[dict[str, int]]) -> Record:
    """Three rows of 0.95 GiB host memory and the given device memory in GiB; ranks of the two learned tasks."""
    results = [
        TaskResult(
            row=row,
            task=None if row == 0 else f"t{row}",
            costs=TaskCosts(
                steps=1, wall_seconds=2.0, train_seconds=1.0, evaluate_seconds=1.0, device_seconds=None, peak_bytes=int(0.95 * GIB),
                device_peak_bytes=None if device[row] is None else int(device[row] * GIB), trainable_parameters=10 * row, carried_bytes=row,
            ),
            effective_rank=ranks[row - 1] if row else {},
        )
        for row in range(3)
    ]  # fmt: skip
    return Record.model_validate(
        {
            "run_id": "r", "config": {}, "config_hash": "", "settings_hash": "", "data_fingerprint": "", "code_version": "",
            "commit": None, "dirty": None, "versions": {}, "hardware": {}, "benchmark": "b", "setting": {}, "protocol": "task",
            "scoring": None, "metrics": [], "tasks": ["t1", "t2"], "item_digests": {}, "validation": [[1.0, 1.0]] * 3,
            "test": [[1.0, 1.0]] * 3, "results": results, "status": "finished", "started_at": "2026-01-01T00:00:00Z",
        }
    )  # fmt: skip


@pytest.mark.parametrize("device", [[7.0, 3.0, 2.0], [None, 7.0, 2.0], [None, None, None]])
@pytest.mark.parametrize("ranks", [[{"q": 4, "k": 2}, {"q": 1, "k": 1}], [{}, {}]])
def test_objectives_tables_and_trackers_agree(device: list[float | None], ranks: list[dict[str, int]]) -> None:
    """The objective was the host's 0.95 where the table said 7.0, and 0.0 ranks where the table said none."""
    found = record(device=device, ranks=ranks)
    view, columns, last = validation_view(found), cost_columns(found), row_metrics(found, 2)
    peak = int((7.0 if any(device) else 0.95) * GIB)
    assert view.peak_bytes == columns["peak_gib"] * GIB == Objective("peak_bytes").value(view) == peak
    assert last["cost/peak_bytes"] == run_costs(found.results[2:]).peak_bytes
    for name in ("trainable_parameters", "carried_bytes", "wall_seconds"):
        assert Objective(name).value(view) == columns[name] == getattr(run_costs(found.results), name)
    if ranks[0]:
        assert Objective("effective_rank").value(view) == columns["effective_rank"] == 2.0
        assert last["rank/effective_mean"] == 1.0
    else:
        assert math.isnan(columns["effective_rank"])
        assert "rank/effective_mean" not in last
        with pytest.raises(SuiteError, match="its method has no ranks"):
            Objective("effective_rank").value(view)
        with pytest.raises(SuiteError, match="its method has no ranks"):
            Objective("effective_rank").require_defined(view)


def test_a_study_of_a_method_without_ranks_may_not_ask_for_them() -> None:
    """Before anything is trained."""
    assert {"zero-shot", "finetune", "joint"} <= {name for name in METHODS if not METHODS[name].has_ranks()}
    fields = {"name": "s", "run": {"benchmark": "mini-mtil"}, "objectives": ["effective_rank"]}
    validate(StudyConfig, {**fields, "space": "lora"}, where="s")
    with pytest.raises(ConfigError, match="method 'rail-dual' has no ranks; leave it out of objectives and constraints"):
        validate(StudyConfig, {**fields, "space": "rail-dual"}, where="s")
