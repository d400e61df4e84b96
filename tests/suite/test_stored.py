"""Records, outcomes and named generators."""

from __future__ import annotations

import json
import zlib
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
from suite.runs.generations import GENERATIONS, append_generations, read_generations, row_of
from suite.runs.outcomes import FORMER, OUTCOMES, append_outcomes, pack, read_outcomes, unpack
from suite.runs.record import parse_record, read_record, write_record
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


def rows_of_scores(tasks: int, examples: int = 800) -> dict[tuple[str, int, int], np.ndarray]:
    """Of a stream that judges after every task those that it has learned."""
    random = np.random.default_rng(0)
    return {
        ("test", row, task): np.where(random.random(examples) < 0.6, np.float32(100), np.float32(0))
        for row in range(tasks + 1)
        for task in range(row + 1)
    }


def until(scores: dict[tuple[str, int, int], np.ndarray], row: int) -> dict[tuple[str, int, int], np.ndarray]:
    return {key: found for key, found in scores.items() if key[1] <= row}


def grown(file: Path, append: Callable[[int], object]) -> float:
    """The exponent with which the bytes that a row writes grow with the rows before it; the file is never replaced."""
    sizes, places = [], set()
    for row in range(65):
        append(row)
        sizes.append(file.stat().st_size)
        places.add(file.stat().st_ino)
    written = np.diff(sizes)
    assert len(places) == 1
    return float(np.log(written[63] / written[15]) / np.log(64 / 16))


def test_a_row_writes_its_own_scores_and_no_earlier_ones(tmp_path: Path) -> None:
    """What is written per task grows in proportion to the tasks that are judged, not with their square: in place, by appending."""
    scores = rows_of_scores(64)
    assert grown(tmp_path / OUTCOMES, lambda row: append_outcomes(until(scores, row), tmp_path, row)) <= 1.05
    found = read_outcomes(tmp_path)
    assert found.keys() == scores.keys()
    assert all(np.array_equal(found[key], scores[key]) for key in scores)


def rows_of_answers(tasks: int, examples: int = 40) -> dict[str, list[str]]:
    numbers = np.random.default_rng(0)
    keys = [f"test/{row}/{task}" for row in range(tasks + 1) for task in range(row + 1)]
    return {key: [f"{number:08x} é" for number in numbers.integers(2**32, size=examples)] for key in keys}


def test_a_row_writes_its_own_answers_and_no_earlier_ones(tmp_path: Path) -> None:
    texts = rows_of_answers(64)

    def append(row: int) -> None:
        append_generations({key: found for key, found in texts.items() if row_of(key) <= row}, tmp_path, row)

    assert grown(tmp_path / GENERATIONS, append) <= 1.05
    assert read_generations(tmp_path, 64) == texts
    assert {row_of(key) for key in read_generations(tmp_path, 3)} == {0, 1, 2, 3}
    file = tmp_path / GENERATIONS
    file.write_bytes(file.read_bytes()[:-7])  # of a process that was killed
    assert {row_of(key) for key in read_generations(tmp_path, 64)} == {*range(64)}
    append(64)
    assert read_generations(tmp_path, 64) == texts


def test_answers_of_before_are_read_and_gone_on_with(tmp_path: Path) -> None:
    texts = rows_of_answers(3)
    before = {key: found for key, found in texts.items() if row_of(key) <= 2}
    (tmp_path / "generations.json.z").write_bytes(zlib.compress(json.dumps(before, ensure_ascii=False).encode()))
    assert read_generations(tmp_path, 2) == before
    append_generations(texts, tmp_path, 3)
    assert read_generations(tmp_path, 3) == texts
    assert [path.name for path in tmp_path.iterdir()] == [GENERATIONS]


def test_a_run_that_answers_nothing_has_no_file_of_answers(tmp_path: Path) -> None:
    append_generations({}, tmp_path, 0)
    append_generations({"test/2/0": ["a"]}, tmp_path, 2)  # the first row with answers is not the first one
    append_generations({"test/2/0": ["a"]}, tmp_path, 3)
    assert read_generations(tmp_path, 3) == {"test/2/0": ["a"]}


def test_the_record_of_128_tasks_and_144_slots_is_small(make_config: Callable[..., RunConfig], run_context: RunContext) -> None:
    """It is the one file that is written whole after every task; beside the checkpoint of the task it is nothing."""
    record = execute(make_config("zero-shot"), run_context)
    numbers = np.random.default_rng(0)
    norms = {
        f"vision.{layer}.{slot}": float(numbers.random()) for layer in range(24) for slot in ("q", "k", "v", "o", "in", "out")
    }
    row = record.results[0].model_copy(
        update={"effective_rank": dict.fromkeys(norms, 16), "update_norm": norms, "cumulative_norm": norms}
    )
    cells = (100 * numbers.random((129, 128))).tolist()
    longest = record.model_copy(update={"results": [row] * 129, "test": cells, "validation": cells})
    assert write_record(longest, run_context.out).stat().st_size < 4 * 2**20


def test_rows_after_the_one_that_is_appended_give_way(tmp_path: Path) -> None:
    """Half a block of a process that was killed, then a row that no record names: a run that goes on writes its own there."""
    scores = rows_of_scores(3)
    for row in range(4):
        append_outcomes(until(scores, row), tmp_path, row)
    file = tmp_path / OUTCOMES
    whole = file.read_bytes()
    file.write_bytes(whole[:-7])
    assert {row for _, row, _ in read_outcomes(tmp_path)} == {0, 1, 2}
    again = {**scores, ("test", 2, 0): np.float32(100) - scores[("test", 2, 0)]}
    append_outcomes(until(again, 2), tmp_path, 2)
    found = read_outcomes(tmp_path)
    assert {row for _, row, _ in found} == {0, 1, 2}
    assert np.array_equal(found[("test", 2, 0)], again[("test", 2, 0)])
    file.write_bytes(whole[:100])  # less than the rows before: all is written anew
    append_outcomes(scores, tmp_path, 3)
    assert read_outcomes(tmp_path).keys() == scores.keys()


def test_outcomes_of_before_are_read_and_gone_on_with(tmp_path: Path) -> None:
    scores = rows_of_scores(2, examples=20)
    graded = {("validation", 1, 0): np.array([12.5, 50.0], dtype=np.float32)}
    arrays = {f"{'/'.join(map(str, key))}/bits": np.packbits(found == 100) for key, found in until(scores, 1).items()}
    counts = {name.replace("bits", "count"): np.array([20], dtype=np.int32) for name in arrays}
    np.savez_compressed(tmp_path / FORMER, **arrays, **counts, **{"validation/1/0/scores": graded[("validation", 1, 0)]})
    found = read_outcomes(tmp_path)
    assert all(np.array_equal(found[key], value) for key, value in {**until(scores, 1), **graded}.items())
    append_outcomes({**scores, **graded}, tmp_path, 2)
    assert read_outcomes(tmp_path).keys() == {**scores, **graded}.keys()
    assert not (tmp_path / FORMER).exists()


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
