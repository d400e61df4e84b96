"""What the tables are made from, and the messages when nothing is left."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from suite.errors import ConfigError
from suite.leaderboard.runs import RunSet, load_runs
from suite.runs.outcomes import write_outcomes
from suite.runs.record import write_record
from suite.workflows.tables import leaderboard


def test_empty_store_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="MLflow holds no run here"):
        leaderboard(tracking=f"sqlite:///{tmp_path / 'none.db'}", out=tmp_path)


@pytest.fixture
def folder(make_runs: Callable[..., RunSet], tmp_path: Path) -> Path:
    runs = make_runs({"codyra": 0.8, "lora": 0.5})
    for record in runs.records:
        place = tmp_path / "out" / "runs" / record.run_id
        write_record(record, place)
        write_outcomes(dict(runs.loaders[record.run_id](None)), place)
    return tmp_path / "out"


def test_runs_of_a_folder_are_read_without_tracking(folder: Path) -> None:
    runs = load_runs("none", {"method": "lora"}, folder)
    (record,) = runs.records
    assert record.config["method"]["name"] == "lora"
    assert {key[1] for key in runs.last_outcomes(record)} == {3}
    assert runs.named("lor") == record


def test_the_filter_that_emptied_the_table_is_named(folder: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"benchmark = 'x' and method = 'lora' \(benchmark alone leaves 0, method alone leaves 1 of 2\)"
    ):
        load_runs("none", {"benchmark": "x", "method": "lora", "study": None}, folder)
    assert len(load_runs("none", {"setting": "der I"}, folder).records) == 2
    with pytest.raises(ConfigError, match="setting alone leaves 0"):
        load_runs("none", {"setting": "order II"}, folder)


def test_names_of_runs_must_be_unique_beginnings(folder: Path) -> None:
    runs = load_runs("none", {}, folder)
    with pytest.raises(ConfigError, match="run '': is not among"):
        runs.named("")
    with pytest.raises(ConfigError, match="is not among the 2 runs"):
        runs.named("z")


def test_a_run_without_outcomes_has_none(folder: Path) -> None:
    (folder / "runs" / "lora-0" / "outcomes.rows").unlink()
    runs = load_runs("none", {"method": "lora"}, folder)
    assert runs.last_outcomes(runs.records[0]) == {}
