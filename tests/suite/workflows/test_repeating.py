"""A repetition says what differs: it neither breaks off nor overlooks rows that one side lacks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from suite.config import RunConfig
from suite.errors import ConfigError
from suite.runs.outcomes import read_outcomes, write_outcomes
from suite.runs.record import write_record
from suite.runs.store import RunStore
from suite.workflows.repeating import repeat
from trainables.run import RunContext, execute


def test_a_run_whose_zero_shot_row_was_accepted_can_be_repeated(
    make_config: Callable[..., RunConfig], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = make_config("lora")
    monkeypatch.setattr(type(config.benchmark), "published_zero_shot", {"mean": 99.0})
    record = execute(config, RunContext(tmp_path, tmp_path, "cpu", accept_zero_shot=True))
    assert repeat(record.run_id, out=tmp_path, data_root=tmp_path, device="cpu").agrees


def test_cells_and_outcomes_that_one_side_lacks_differ(make_config: Callable[..., RunConfig], tmp_path: Path) -> None:
    """The stored run has an evaluation less than its repetition."""
    record = execute(make_config("zero-shot"), RunContext(tmp_path, tmp_path, "cpu"))
    folder = tmp_path / "runs" / record.run_id
    outcomes = read_outcomes(folder)
    lost = outcomes.pop(("test", 3, 0))
    write_outcomes(outcomes, folder)
    test = [list(line) for line in record.test]
    test[3][0] = None
    results = [result.model_copy(update={"digests": {}}) for result in record.results]
    write_record(record.model_copy(update={"test": test, "results": results}), folder)
    verdict = repeat(record.run_id, out=tmp_path, data_root=tmp_path, device="cpu")
    assert (verdict.agrees, verdict.differing, verdict.largest_gap) == (False, len(lost), 0.0)


@pytest.mark.parametrize("name", ["/nowhere/at/all", "", "*", "["])
def test_no_run_is_guessed(name: str, make_config: Callable[..., RunConfig], tmp_path: Path) -> None:
    execute(make_config("zero-shot"), RunContext(tmp_path, tmp_path, "cpu"))
    with pytest.raises(ConfigError, match="no such run|more of the id"):
        RunStore(tmp_path).find(name)
