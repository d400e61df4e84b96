"""Records, outcomes and named generators."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from suite.config import RunConfig
from suite.errors import DataError
from suite.randomness import RandomStreams, derived_seed
from suite.runs.outcomes import pack, unpack
from suite.runs.record import parse_record, read_record
from trainables.run import RunContext, execute


@given(hnp.arrays(np.bool_, st.integers(1, 300)))
def test_right_and_wrong_survive_packing(bits: np.ndarray) -> None:
    scores = np.where(bits, np.float32(100), np.float32(0))
    assert np.array_equal(unpack(pack({("test", 1, 0): scores}), where="x")[("test", 1, 0)], scores)


@given(hnp.arrays(np.float32, st.integers(1, 50), elements=st.floats(0, 100, width=32)))
def test_graded_scores_survive_to_half_precision(scores: np.ndarray) -> None:
    found = unpack(pack({("validation", 0, 2): scores}), where="x")[("validation", 0, 2)]
    assert np.allclose(found, scores, atol=0.05)


def test_an_eleven_task_stream_of_100000_examples_stays_below_one_megabyte() -> None:
    random = np.random.default_rng(0)
    outcomes = {
        ("test", row, task): np.where(random.random(100_000 // 11) < 0.6, np.float32(100), np.float32(0))
        for row in range(12)
        for task in range(11)
    }
    assert len(pack(outcomes)) < 2**20


def test_damaged_outcomes_are_named() -> None:
    with pytest.raises(DataError, match="here: is not an outcomes file"):
        unpack(b"nothing", where="here")


def test_record_reads_back_equal(make_config: Callable[..., RunConfig], run_context: RunContext) -> None:
    record = execute(make_config("codyra"), run_context)
    assert read_record(run_context.out / "runs" / record.run_id) == record
    assert len(record.test) == len(record.validation) == len(record.results) == 4
    assert record.results[0].task is None
    assert record.results[2].task == "faces"


def test_records_of_a_newer_schema_and_broken_ones_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="has schema 99"):
        parse_record('{"schema_version": 99}', where="r")
    with pytest.raises(DataError, match="is not a record"):
        parse_record("{", where="r")
    with pytest.raises(DataError, match="there is no record"):
        read_record(tmp_path)


def test_generators_do_not_move_each_other() -> None:
    one, other = RandomStreams(0), RandomStreams(0)
    torch.rand(5, generator=other["memory"])
    assert torch.equal(torch.rand(3, generator=one["init"]), torch.rand(3, generator=other["init"]))
    assert derived_seed(0, "init") != derived_seed(0, "batch") != derived_seed(1, "batch")


def test_generators_go_on_where_they_were() -> None:
    streams = RandomStreams(3)
    torch.rand(5, generator=streams["batch"])
    state = streams.state()
    expected = torch.rand(4, generator=streams["batch"])
    again = RandomStreams(99)
    again.load(state)
    assert torch.equal(torch.rand(4, generator=again["batch"]), expected)
