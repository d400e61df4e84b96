"""A run whose process is killed, whose files are damaged, or that diverges: nothing finished is lost, nothing wrong is kept."""

from __future__ import annotations

import errno
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from suite.config import RunConfig, validate
from suite.errors import DataError
from suite.runs.generations import GENERATIONS, read_generations
from suite.runs.outcomes import append_outcomes
from suite.runs.record import Record, read_record, write_record
from trainables.run import RunContext, execute

RUN = """
import json, sys
from pathlib import Path
import torch
torch.set_num_threads(1)
from suite.config import RunConfig, validate
from trainables.run import RunContext, execute
fields, out = json.loads(sys.argv[1]), Path(sys.argv[2])
execute(validate(RunConfig, fields, where="test"), RunContext(out, out, "cpu"))
"""

KILLED_AT_EVERY_WRITE = """
import json, os, signal, sys
from pathlib import Path
import torch
torch.set_num_threads(1)
from suite.config import RunConfig, validate
from trainables.run import RunContext, execute
import suite.backbones.causal_learner, transformers
config, out = validate(RunConfig, json.loads(sys.argv[1]), where="test"), Path(sys.argv[2])

def die_at(last):
    seen = 0
    def watch(event, arguments):
        nonlocal seen
        if event in ("open", "os.rename", "os.truncate", "os.remove", "os.mkdir") and str(out) in str(arguments[0]):
            seen += event != "open" or bool(arguments[2] & (os.O_WRONLY | os.O_RDWR))
            if seen == last:
                os.kill(os.getpid(), signal.SIGKILL)
    sys.addaudithook(watch)

for last in range(2, 400, 5):
    child = os.fork()
    if child == 0:
        die_at(last)
        execute(config, RunContext(out, out, "cpu"))
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    if not os.WIFSIGNALED(status):
        print(last, status)
        break
"""


@pytest.fixture
def make_config(make_config: Callable[..., RunConfig]) -> Callable[..., RunConfig]:
    """Two images per class: what a run keeps and goes on with does not depend on how many it is judged on."""

    def make(method: str, **fields: Any) -> RunConfig:
        config = make_config(method, **fields)
        return config.model_copy(update={"benchmark": config.benchmark.model_copy(update={"limit": 36})})

    return make


def numbers(record: Record) -> tuple[object, ...]:
    results = [(r.row, r.effective_rank, r.update_norm, r.train_loss) for r in record.results]
    return record.run_id, record.validation, record.test, results, record.status


def killed_after_progress(command: list[str], environment: dict[str, str], out: Path, moments: random.Random) -> bool:
    """Start the run, wait until it has written something new, kill it a random moment later; False if it finished."""
    before = newest(out)
    process = subprocess.Popen(command, env=environment)
    while process.poll() is None and newest(out) == before:
        time.sleep(0.02)
    time.sleep(moments.uniform(0.0, 0.8))
    if process.poll() is not None:
        return False
    process.send_signal(signal.SIGKILL)
    process.wait()
    return True


def newest(folder: Path) -> int:
    """Latest change of a record or checkpoint below ``folder``."""
    return max((path.stat().st_mtime_ns for path in folder.glob("runs/*/**/*.*") if path.is_file()), default=0)


@pytest.mark.slow
def test_killed_at_random_moments_equals_undisturbed(make_config: Callable[..., RunConfig], tmp_path: Path) -> None:
    config = make_config("replay", training={"steps": 120})
    command = [sys.executable, "-c", RUN, json.dumps(config.resolved()), str(tmp_path / "killed")]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    moments = random.Random(0)
    kills = sum(killed_after_progress(command, environment, tmp_path / "killed", moments) for _ in range(4))
    subprocess.run(command, env=environment, check=True)
    whole = execute(config, RunContext(tmp_path / "whole", tmp_path, "cpu"))
    killed = read_record(tmp_path / "killed" / "runs" / whole.run_id)
    assert kills >= 2
    assert numbers(killed) == numbers(whole)


@pytest.mark.slow
def test_killed_at_its_writes_equals_undisturbed(tmp_path: Path) -> None:
    """A run that answers prompts dies at the second change of a file below its folder, its successor at the seventh, and so on."""
    fields = {
        "benchmark": {"name": "mini-trace", "tasks": ["C-STANCE", "ScienceQA"]},
        "method": {"name": "lora", "rank": 2},
        "training": {"steps": 2, "batch_size": 4},
    }
    config = validate(RunConfig, fields, where="test")
    whole = execute(config, RunContext(tmp_path / "whole", tmp_path, "cpu"))
    answers = read_generations(tmp_path / "whole" / "runs" / whole.run_id, 2)
    out = tmp_path / "killed"
    command = [sys.executable, "-c", KILLED_AT_EVERY_WRITE, json.dumps(config.resolved()), str(out)]
    done = subprocess.run(command, capture_output=True, text=True)
    last, status = map(int, done.stdout.split())
    assert status == 0, done.stderr
    assert last > 20  # the fifth process at the earliest came to the end
    folder = out / "runs" / whole.run_id
    assert numbers(read_record(folder)) == numbers(whole)
    assert read_generations(folder, 2) == answers


def test_finished_run_is_returned_without_training(make_config: Callable[..., RunConfig], run_context: RunContext) -> None:
    first = execute(make_config("lora"), run_context)
    rows: list[int] = []
    steps: list[int] = []
    watched = replace(run_context, on_step=lambda task, step, of, loss: steps.append(step))
    again = execute(make_config("lora"), watched, lambda report: bool(rows.append(report.row)) or True)
    assert again == first
    assert (rows, steps) == ([], [])


def test_a_reused_run_names_every_study_that_asked_for_it(
    make_config: Callable[..., RunConfig], run_context: RunContext
) -> None:
    """Tables count it as a trial of each; nothing else of the record changes."""
    config = make_config("lora")
    first = execute(config, run_context)
    for study, trial in (("night", 3), ("day", 0), ("night", 5)):
        again = execute(config, replace(run_context, study=study, trial=trial))
    assert again == read_record(run_context.out / "runs" / first.run_id)
    assert again.trials == {"night": 3, "day": 0}
    assert again.model_copy(update={"reused_by": {}}) == first


def test_a_run_that_begins_again_stays_with_its_studies(make_config: Callable[..., RunConfig], run_context: RunContext) -> None:
    config = make_config("lora")
    first = execute(config, replace(run_context, study="night", trial=2, selection="first-task"))
    folder = run_context.out / "runs" / first.run_id
    write_record(first.model_copy(update={"status": "stopped"}), folder)
    (folder / "outcomes.rows").write_bytes(b"damaged")
    again = execute(config, replace(run_context, study="day", trial=7))
    assert (again.status, again.selection, again.trials) == ("finished", "first-task", {"night": 2, "day": 7})


def test_lost_checkpoint_goes_back_to_the_last_whole_one(
    make_config: Callable[..., RunConfig], run_context: RunContext, tmp_path: Path
) -> None:
    config = make_config("codyra")
    whole = execute(config, RunContext(tmp_path / "whole", tmp_path, "cpu"))
    execute(config, run_context, lambda report: report.row < 2)
    folder = run_context.out / "runs" / whole.run_id / "checkpoints"
    (folder / "state_2.safetensors").unlink()
    assert numbers(execute(config, run_context)) == numbers(whole)


def test_an_end_between_checkpoint_and_record_costs_one_task(
    make_config: Callable[..., RunConfig], run_context: RunContext, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk is full after the second task's checkpoint was written: only that task is learned again."""
    config = make_config("codyra")
    whole = execute(config, RunContext(tmp_path / "whole", tmp_path, "cpu"))

    def full(outcomes: dict[tuple[str, int, int], object], folder: Path, row: int) -> Path:
        if row == 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        return append_outcomes(outcomes, folder, row)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr("suite.runs.store.append_outcomes", full)
        with pytest.raises(OSError, match="No space"):
            execute(config, run_context)
    rows: list[int] = []
    again = execute(config, run_context, lambda report: bool(rows.append(report.row)) or True)
    assert rows == [2, 3]
    assert numbers(again) == numbers(whole)
    kept = {path.name for path in (run_context.out / "runs" / whole.run_id / "checkpoints").iterdir()}
    assert kept == {f"{kind}_{row}.safetensors" for kind in ("merged", "state") for row in (1, 2, 3)}


def test_an_interrupted_run_says_so_and_goes_on(make_config: Callable[..., RunConfig], tmp_path: Path) -> None:
    config, rows = make_config("lora"), []

    def interrupt(task: int, step: int, steps: int, loss: float) -> None:
        if task == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        execute(config, RunContext(tmp_path, tmp_path, "cpu", on_step=interrupt))
    record = read_record(next((tmp_path / "runs").iterdir()))
    assert (record.status, record.reason, record.tasks_done) == ("stopped", "interrupted", 1)
    again = execute(config, RunContext(tmp_path, tmp_path, "cpu"), lambda report: bool(rows.append(report.row)) or True)
    assert (again.status, again.reason, rows) == ("finished", None, [2, 3])


def test_damaged_checkpoint_is_named(make_config: Callable[..., RunConfig], run_context: RunContext) -> None:
    config = make_config("lora")
    record = execute(config, run_context, lambda report: report.row < 1)
    file = run_context.out / "runs" / record.run_id / "checkpoints" / "merged_1.safetensors"
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(DataError, match=r"merged_1\.safetensors: has changed since the run wrote it"):
        execute(config, run_context)


def test_damaged_outcomes_start_the_run_again(
    make_config: Callable[..., RunConfig], run_context: RunContext, tmp_path: Path
) -> None:
    config = make_config("lora")
    whole = execute(config, RunContext(tmp_path / "whole", tmp_path, "cpu"))
    execute(config, run_context, lambda report: report.row < 2)
    file = run_context.out / "runs" / whole.run_id / "outcomes.rows"
    file.write_bytes(file.read_bytes()[:-40])
    assert numbers(execute(config, run_context)) == numbers(whole)


def test_divergence_is_a_failed_record_with_a_reason(make_config: Callable[..., RunConfig], run_context: RunContext) -> None:
    record = execute(make_config("lora", training={"steps": 60, "lr": 1e9}), run_context)
    assert record.status == "failed"
    assert record.reason is not None
    assert "task 'shapes'" in record.reason
    assert "training.lr" in record.reason
    assert record.tasks_done == 0


def test_zero_shot_row_is_measured_once(make_config: Callable[..., RunConfig], run_context: RunContext) -> None:
    first = execute(make_config("lora"), run_context)
    stamp = next((run_context.out / "zero_shot").iterdir()).stat().st_mtime_ns
    other = execute(make_config("olora"), run_context)
    assert other.test[0] == first.test[0]
    assert [p.stat().st_mtime_ns for p in (run_context.out / "zero_shot").iterdir()] == [stamp]


@pytest.mark.parametrize(
    ("file", "data"),
    [("row.json", b""), ("row.json", b"[]"), ("row.json", None), ("outcomes.rows", b""), ("outcomes.rows", b"x")],
)
def test_damaged_zero_shot_row_is_measured_again(
    file: str, data: bytes | None, make_config: Callable[..., RunConfig], run_context: RunContext
) -> None:
    first = execute(make_config("zero-shot"), run_context)
    (place,) = (path for path in (run_context.out / "zero_shot").rglob(file))
    place.unlink()
    if data is not None:
        place.write_bytes(data)
    other = execute(make_config("zero-shot", seed=1), run_context)
    assert other.test == first.test
    assert execute(make_config("zero-shot", seed=2), run_context).results[0] == other.results[0]


def test_damaged_answers_start_the_run_again(tmp_path: Path) -> None:
    fields = {
        "benchmark": {"name": "mini-trace", "tasks": ["C-STANCE", "ScienceQA"]},
        "method": {"name": "lora", "rank": 2},
        "training": {"steps": 2, "batch_size": 4},
    }
    config, here = validate(RunConfig, fields, where="test"), RunContext(tmp_path, tmp_path, "cpu")
    record = execute(config, here, lambda report: report.row < 1)
    file = tmp_path / "runs" / record.run_id / GENERATIONS
    file.write_bytes(file.read_bytes()[:-9])
    rows: list[int] = []
    assert execute(config, here, lambda report: bool(rows.append(report.row)) or True).status == "finished"
    assert rows == [0, 1, 2]
    assert set(read_generations(file.parent, 2)) >= {"test/1/0", "test/2/1"}
