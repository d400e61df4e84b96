"""Ranks beside their no-signal value, from a real run."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from suite.config import RunConfig
from suite.errors import DataError
from suite.leaderboard.ranks import rank_comparison, rank_frame, rank_summary, ranks_of, shift_frame
from suite.runs.record import Record
from trainables.run import RunContext, execute


@pytest.fixture
def record(make_config: Callable[..., RunConfig], run_context: RunContext) -> Record:
    return execute(make_config("codyra", kappa_max=0.5), run_context)


def test_ranks_by_weight_and_layer(record: Record) -> None:
    frame = rank_frame(record)
    assert len(frame) == 3 * 30
    assert set(frame["weight"]) == {"q", "k", "v", "o", "in", "out"}
    by_weight = rank_summary(frame, "weight")
    assert by_weight["no_signal_rank"].nunique() == 1
    assert by_weight["effective_rank"].mean() == pytest.approx(frame["effective_rank"].mean())
    shift = shift_frame([record])
    expected = np.sqrt(sum(value**2 for value in record.results[1].update_norm.values()))
    assert shift["update"][0] == pytest.approx(expected)
    assert shift["cumulative"][0] == pytest.approx(expected)


def test_runs_stand_side_by_side_with_their_own_no_signal_value(record: Record, make_record: Callable[..., Record]) -> None:
    other = make_record("lora", slots=["vision.0.q", "text.1.in"])
    table = rank_comparison(ranks_of([record, other]), "weight")
    name = f"codyra {record.run_id[:6]}"
    assert list(table.columns) == ["weight", name, f"{name} no-signal", "lora lora-0", "lora lora-0 no-signal"]
    assert set(table["weight"]) == {"q", "k", "v", "o", "in", "out"}
    assert table.set_index("weight")["lora lora-0"].dropna().to_dict() == {"q": 6.0, "in": 8.0}


def test_a_run_without_ranks_is_refused(make_record: Callable[..., Record]) -> None:
    with pytest.raises(DataError, match="'zero-shot' has no ranks"):
        rank_frame(make_record("zero-shot", slots=()))
