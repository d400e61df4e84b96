"""Runs that begin alike go on from each other's states: bit-equal to learning alone, honest about cost, safe against kills."""

from __future__ import annotations

import re
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from suite.config import RunConfig, validate
from suite.runs.costs import run_costs
from suite.runs.record import Record
from suite.runs.store import RunStore
from suite.runs.validation_view import validation_view
from suite.workflows.sharing import say_shared
from trainables.run import RunContext, execute, go_on


class Told(list[str]):
    """A watcher that keeps what it is told."""

    def say(self, sentence: str) -> None:
        self.append(sentence)

    def begin(self, title: str, total: int | None) -> Any:
        raise AssertionError(title)


TIMES = (
    "wall_seconds",
    "train_seconds",
    "evaluate_seconds",
    "device_seconds",
    "wait_seconds",
    "borrowed_seconds",
    "peak_bytes",
)
LATER = {"per_task": {"digits": {"lr": 1e-4, "steps": 3}}}


def config(method: Any, *domains: str, benchmark: str = "mini-mtil", **fields: Any) -> RunConfig:
    stream = {"name": benchmark, "domains": list(domains), "shots": 4, "limit": 36}
    training = {"steps": 5, "batch_size": 8, **fields.pop("training", {})}
    return validate(RunConfig, {"benchmark": stream, "method": method, "training": training, **fields}, where="test")


def texts(*tasks: str, **method: Any) -> RunConfig:
    fields = {"benchmark": {"name": "mini-trace", "tasks": list(tasks)}, "method": {"name": "lora", **method}}
    return validate(RunConfig, {**fields, "training": {"steps": 2, "batch_size": 4}}, where="test")


def comparable(record: Record) -> dict[str, Any]:
    """All of a record but what says when, how long and from whom."""
    fields = record.model_dump(mode="json", exclude={"started_at", "ended_at", "commit", "dirty", "results"})
    fields["results"] = []
    for result in record.results:
        one = result.model_dump(mode="json", exclude={"taken_from", "costs"})
        one["digests"].pop("state", None)  # its bytes hold two names in any order; the tensors are compared
        fields["results"].append({**one, "costs": result.costs.model_dump(exclude=set(TIMES))})
    return fields


def require_equal(one: Record, other: Record, here: RunContext, there: RunContext) -> None:
    assert comparable(one) == comparable(other)
    first, second = (RunStore(place.out).find(one.run_id) for place in (here, there))
    assert first.answers() == second.answers()
    mine, others = first.outcomes(), second.outcomes()
    assert mine.keys() == others.keys()
    assert all(np.array_equal(mine[key], others[key]) for key in mine)
    files = {path.name: load_file(path) for path in (first.folder / "checkpoints").iterdir()}
    for path in (second.folder / "checkpoints").iterdir():
        found = files.pop(path.name)
        for key, value in load_file(path).items():
            assert torch.equal(found.pop(key), value), (path.name, key)
        assert not found
    assert not files


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Callable[[RunConfig], tuple[Record, RunContext]]:
    """The run in a folder of its own, learned once."""
    known: dict[str, tuple[Record, RunContext]] = {}

    def learned(run: RunConfig) -> tuple[Record, RunContext]:
        if run.config_hash() not in known:
            place = RunContext(tmp_path_factory.mktemp("alone"), tmp_path_factory.mktemp("data"), "cpu")
            known[run.config_hash()] = execute(run, place), place
        return known[run.config_hash()]

    return learned


def taken(record: Record) -> list[str | None]:
    return [result.taken_from for result in record.results[1:]]


PAIRS = [
    pytest.param(config("lora", "shapes", "faces", "digits"), config("lora", "shapes", "faces", "digits", training=LATER), 2, id="budget"),
    pytest.param(config("olora", "shapes", "faces", "digits"), config("olora", "shapes", "faces", "arrows"), 2, id="tasks"),
    pytest.param(
        config({"name": "lora", "between": "carry"}, "shapes", "digits", benchmark="mini-xtail"),
        config({"name": "lora", "between": "carry"}, "shapes", "digits", "faces", benchmark="mini-xtail"),
        2,
        id="longer-union",
    ),
    pytest.param(config("replay", "shapes", "faces"), config({"name": "replay", "weight": 0.3}, "shapes", "faces"), 1, id="setting"),
    pytest.param(config("inflora", "shapes", "faces"), config("inflora", "shapes", "digits"), 0, id="method-that-looks-ahead"),
    pytest.param(config("lora", "shapes", "faces"), config("lora", "shapes", "faces", seed=1), 0, id="seed"),
    pytest.param(config("lora", "shapes", "faces"), config("lora", "faces", "shapes"), 0, id="order"),
    pytest.param(texts("FOMC", "ScienceQA"), texts("FOMC", "MeetingBank"), 1, id="texts"),
]  # fmt: skip


@pytest.mark.parametrize(("first", "second", "shared"), PAIRS)
def test_a_shared_beginning_is_bit_equal_to_learning_alone(
    first: RunConfig, second: RunConfig, shared: int, alone: Callable[[RunConfig], tuple[Record, RunContext]], tmp_path: Path
) -> None:
    there, place = alone(second)
    before, here = alone(first)
    both = RunContext(tmp_path / "both", tmp_path, "cpu")
    shutil.copytree(here.out, both.out)
    record = execute(second, both)
    assert taken(record) == [before.run_id if row < shared else None for row in range(len(record.tasks))]
    require_equal(record, there, both, place)
    assert (run_costs(record.results).borrowed_seconds > 0) == bool(shared)
    for result, original in zip(record.results[1 : shared + 1], before.results[1:], strict=False):
        judged = (
            original.costs.evaluate_seconds
            if first.benchmark != second.benchmark and first.benchmark.name != "mini-trace"
            else 0
        )
        assert result.costs.borrowed_seconds == pytest.approx(original.costs.wall_seconds - judged)
        assert result.costs.wall_seconds >= result.costs.borrowed_seconds
        assert result.costs.train_seconds == original.costs.train_seconds


def test_what_is_damaged_or_gone_is_learned(alone: Callable[[RunConfig], tuple[Record, RunContext]], tmp_path: Path) -> None:
    first, second = config("lora", "shapes", "faces", "digits"), config("lora", "shapes", "faces", "digits", training=LATER)
    (there, place), (before, here) = alone(second), alone(first)
    both = RunContext(tmp_path / "both", tmp_path, "cpu")
    shutil.copytree(here.out, both.out)
    state = RunStore(both.out).folder(before.run_id) / "checkpoints" / "state_2.safetensors"
    state.write_bytes(state.read_bytes()[:-1] + b"x")
    record = execute(second, both)
    assert taken(record) == [before.run_id, None, None]
    require_equal(record, there, both, place)
    shutil.rmtree(RunStore(both.out).folder(record.run_id))
    RunStore(both.out).drop_checkpoints(before.run_id)
    again = execute(second, both)
    assert taken(again) == [None] * 3
    require_equal(again, there, both, place)


def test_nothing_is_shared_where_nobody_wants_it(tmp_path: Path) -> None:
    first, second = config("lora", "shapes", "faces"), config("lora", "shapes", "digits")
    apart = RunContext(tmp_path / "out", tmp_path, "cpu", sharing=False)
    found = execute(first, apart), execute(second, apart)
    assert [taken(record) for record in found] == [[None] * 2] * 2
    kept = sorted(path.name for path in (RunStore(apart.out).folder(found[0].run_id) / "checkpoints").iterdir())
    assert kept == ["merged_1.safetensors", "merged_2.safetensors", "state_2.safetensors"]
    assert not (apart.out / "beginnings").exists()


def test_of_two_at_the_same_moment_one_learns_and_the_other_waits(tmp_path: Path) -> None:
    first, second = config("lora", "shapes", "faces"), config("lora", "shapes", "digits")
    said: list[str] = []
    begun, records = threading.Event(), dict[str, Record]()

    def run(name: str, what: RunConfig, say: Callable[[str], None], on_step: Any = None) -> None:
        torch.set_num_threads(1)
        place = RunContext(tmp_path / "out", tmp_path, "cpu", say=say, on_step=on_step)
        records[name] = execute(what, place)

    other = threading.Thread(target=run, args=("second", second, said.append))

    def step(task: int, step: int, steps: int, loss: float) -> None:
        if task == 0 and not begun.is_set():
            begun.set()
            other.start()
            while not said and other.is_alive():
                pass

    run("first", first, said.append, step)
    other.join()
    assert any("is learning the same task from the same beginning" in sentence for sentence in said)
    assert taken(records["first"]) == [None, None]
    assert taken(records["second"]) == [records["first"].run_id, None]


def test_a_first_run_that_stops_leaves_the_rest_to_the_second(tmp_path: Path) -> None:
    first, second = config("lora", "shapes", "faces", "digits"), config("lora", "shapes", "faces", "digits", training=LATER)
    place = RunContext(tmp_path / "out", tmp_path, "cpu")
    stopped = execute(first, place, lambda report: report.row < 1)
    record = execute(second, place, go_on)
    assert taken(record) == [stopped.run_id, None, None]
    resumed = execute(first, place)
    assert taken(resumed) == [None, record.run_id, None]
    said = Told()
    say_shared(
        {found.run_id: validation_view(found) for found in (record, resumed)}, RunStore(place.out), said, is_optional=True
    )
    assert re.fullmatch(
        r"sharing: 2 of 2 runs went on .* saved \d+ of \d+ seconds; the states kept for that take 0.\d MB.", said[0]
    )
