"""Carrier ``train`` on a real Ray: the same numbers as the direct carrier with one worker, stopped and finished alike."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from suite.config import RunConfig
from suite.runs.record import read_record
from suite.runs.validation_view import ValidationView
from suite.tuning.cluster import ray_session
from suite.tuning.ray_runner import run_all
from suite.tuning.run_queue import ListQueue, Suggestion
from suite.tuning.run_settings import RunSettings
from trainables.resources import Resources
from trainables.run import RunContext, execute


@pytest.fixture(scope="module")
def ray() -> Iterator[None]:
    with ray_session(None, Resources()):
        yield


class Stopping(ListQueue):
    """Ends every run after its first task."""

    def may_go_on(self, run: Suggestion, view: ValidationView) -> bool:
        return view.tasks_done < 1


@pytest.mark.slow
def test_one_worker_equals_the_direct_carrier(ray: None, make_config: Callable[..., RunConfig], tmp_path: Path) -> None:
    config = make_config("codyra")
    direct = execute(config, RunContext(tmp_path / "direct", tmp_path, "cpu"))
    source = ListQueue([config])
    run_all(source, RunSettings(tmp_path / "train", tmp_path, "cpu", carrier="train"))
    assert not source.failures
    record = read_record(tmp_path / "train" / "runs" / direct.run_id)
    assert (record.status, record.carrier) == ("finished", "train")
    assert (record.test, record.validation) == (direct.test, direct.validation)


@pytest.mark.slow
def test_two_workers_are_stopped_after_a_task_and_go_on_later(
    ray: None, make_config: Callable[..., RunConfig], tmp_path: Path
) -> None:
    config = make_config("lora")
    run_settings = RunSettings(tmp_path, tmp_path, "cpu", resources=Resources(workers=2))
    run_all(Stopping([config]), run_settings)
    path = next((tmp_path / "runs").glob("*/record.json"))
    stopped = read_record(path)
    assert (stopped.status, stopped.tasks_done) == ("stopped", 1)
    run_all(ListQueue([config]), run_settings)
    finished = read_record(path)
    assert (finished.status, finished.tasks_done) == ("finished", 3)
    assert finished.test[:2] == stopped.test
