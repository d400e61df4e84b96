"""The bill of a sweep: golden numbers from made-up probes, every refusal, one real plan against a real run."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch

from suite.config import RunConfig, validate
from suite.errors import SuiteError
from suite.randomness import RandomStreams
from suite.tuning.forecast import FIXED_SECONDS, GIB, RECORD_BYTES, Machine, forecast, packing, run_bytes
from suite.tuning.points import spanning_points
from suite.tuning.study_config import StudyConfig
from suite.workflows.probe import Probe, _evaluation_seconds, probe, seconds_of
from trainables.run import RunContext, execute
from trainables.stream_trainer import StreamTrainer

RUN = {"benchmark": {"name": "mini-mtil", "domains": ["shapes", "faces"], "shots": 4}, "training": {"steps": 30}}
MACHINE = Machine(cpus=16, gpus=4, host_bytes=int(64 * GIB), device_bytes=int(80 * GIB), free_disk_bytes=int(100 * GIB))


@dataclass(frozen=True)
class Made:
    """A probe with chosen numbers."""

    run_seconds: float
    tasks: int = 10
    host_bytes: int = int(2 * GIB)
    device_bytes: int = int(18 * GIB)
    trainable_parameters: int = 1_000_000
    examples: int = 80_000


def study(**fields: Any) -> StudyConfig:
    return validate(
        StudyConfig, {"name": "s", "run": RUN, "space": "codyra-quick", "budget": {"trials": 12}, **fields}, where="sweep"
    )


def test_golden_bill() -> None:
    config = study(resources={"cpus": 2, "gpus": 0.25}, seeds=[0, 1])
    found = forecast(config, [Made(1799.5), Made(3599.5), Made(5399.5)], MACHINE)
    assert FIXED_SECONDS == 0.5
    assert (found.trials, found.runs, found.tasks) == (12, 24, 10)
    assert found.run_seconds == (1800.0, 3600.0, 5400.0)
    assert found.at_a_time == 8  # CPUs: 16 / 2; GPUs: 4 / 0.25 = 16
    assert found.wall_seconds == 3 * 3600
    assert found.gpu_hours == 24 * 0.25
    assert found.cpu_hours == 24 * 2
    assert found.per_device == 4  # 0.9 x 80 / 18
    assert packing(config, found) == {"cpus": 2, "gpus": 0.25}
    assert found.disk_bytes == 24 * (10 * 4_000_000 + 11 * 10_000 + RECORD_BYTES)


def test_a_space_has_no_more_trials_than_points() -> None:
    assert forecast(study(space="probe", budget={"trials": 100}), [Made(1.0)], MACHINE).trials == 36


def test_a_run_that_fills_the_card_is_not_packed() -> None:
    found = forecast(study(resources={"gpus": 1}), [Made(10.0, device_bytes=int(60 * GIB))], MACHINE)
    assert found.per_device == 1
    assert packing(study(resources={"gpus": 1}), found) == {"cpus": 1.0, "gpus": 1.0}


@pytest.mark.parametrize(
    ("fields", "made", "message"),
    [
        ({"resources": {"gpus": 8}}, Made(1.0), "asks for 1 CPU and 8 GPUs, there are 16 and 4"),
        ({"resources": {"gpus": 0.1}}, Made(1.0), r"one run needs 18.00 GiB, its share of the device is 8.00 GiB"),
        ({"resources": {"cpus": 1}}, Made(1.0, host_bytes=int(70 * GIB)), r"70.00 GiB, its share of the host is 64.00 GiB"),
        (
            {"resources": {"gpus": 1}, "budget": {"trials": 1, "gpu_hours": 0.5}},
            Made(3600.0),
            "one run takes 1.00 GPU-hours, budget.gpu_hours is 0.5",
        ),
        ({"budget": {"trials": 1, "wall_seconds": 60}}, Made(100.0), "one run takes 100 s, budget.wall_seconds is 60"),
        ({"budget": {"trials": 9, "disk_gib": 0.1}}, Made(1.0), r"may take 0.3 GiB, there are 0.1 GiB"),
    ],
)
def test_the_impossible_is_refused_with_the_numbers(fields: dict[str, Any], made: Made, message: str) -> None:
    with pytest.raises(SuiteError, match=message) as error:
        forecast(study(**fields), [made], MACHINE)
    assert "\n" not in str(error.value)


def test_evaluations_follow_from_the_measured_ones() -> None:
    measured = {10: 2.0, 30: 4.0}
    assert [seconds_of(count, measured) for count in (10, 20, 30, 60)] == [2.0, 3.0, 4.0, 8.0]
    assert seconds_of(5, {20: 1.0}) == 1.0  # never less than the smallest that was measured


def test_a_run_is_its_building_its_steps_its_beginnings_and_its_evaluations() -> None:
    found = Probe(3, (10, 0, 20), 1.0, 0.5, 2.0, 7.0, 1, 0, 1, 1)
    assert found.run_seconds == 1.0 + 30 * 0.5 + 2 * 2.0 + 7.0


def test_answers_are_charged_for_learned_tasks_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """mini-trace judges 1, 2, 3, 4 tasks; an evaluation that takes a second per example is charged for exactly those."""
    tasks = ["C-STANCE", "FOMC", "NumGLUE-cm", "NumGLUE-ds"]
    fields = {"benchmark": {"name": "mini-trace", "tasks": tasks}, "method": {"name": "lora"}, "training": {"steps": 2}}
    config = validate(RunConfig, fields, where="test")
    stream = config.benchmark.build(Path())  # type: ignore[attr-defined]
    sizes = [len(task.test) + len(task.validation) for task in stream.tasks]
    trainer = StreamTrainer(
        config.backbone.build(stream, torch.device("cpu")), config.method.build(), config.training, RandomStreams(0)
    )  # type: ignore[attr-defined]
    monkeypatch.setattr(trainer, "sample_evaluation", lambda judged: float(sum(sizes[task] for task in judged)))
    assert _evaluation_seconds(trainer) == pytest.approx(sum(sum(sizes[:done]) for done in (1, 2, 3, 4)))
    object.__setattr__(stream, "judged_after", lambda done: range(len(stream)))
    assert _evaluation_seconds(trainer) == pytest.approx(4 * sum(sizes))


def test_points_span_what_trials_cost() -> None:
    points = spanning_points(study(space="codyra-steps", run={"benchmark": RUN["benchmark"]}))
    steps = [point.training.steps or 0 for point in points]
    assert steps == sorted(steps)
    assert steps[0] < steps[-1]
    assert [point.config_hash() for point in points] == [
        point.config_hash() for point in spanning_points(study(space="codyra-steps", run={"benchmark": RUN["benchmark"]}))
    ]


@pytest.mark.slow
def test_a_probe_foresees_a_real_run(tmp_path: Path) -> None:
    """Its counts; 'codyra-suite dev perf forecast' says how well it foresees seconds."""
    config = validate(RunConfig, {**RUN, "method": {"name": "lora"}}, where="test")
    found = probe(config, tmp_path, "cpu", 1)
    record = execute(config, RunContext(tmp_path, tmp_path, "cpu"))
    learned = record.results[1:]
    assert found.steps == (30, 30)
    assert found.trainable_parameters == learned[0].costs.trainable_parameters
    files = [path for path in (tmp_path / "runs" / record.run_id).rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 1.5 * run_bytes(found)
    assert found.run_seconds == replace(found, device_bytes=1).run_seconds


@pytest.mark.slow
def test_the_command_prints_the_bill_and_as_json(tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text(json.dumps({"run": RUN, "space": "probe", "sampler": "grid", "budget": {"trials": 4}}))
    command = [sys.executable, "-m", "suite.cli.main", "plan", "s.yaml"]
    asked = [
        subprocess.run([*command, *more], cwd=tmp_path, capture_output=True, text=True, check=True, timeout=250)
        for more in (["--json"], [])
    ]
    numbers, done = json.loads(asked[0].stdout), asked[1]
    assert numbers["runs"] == 4
    assert numbers["tasks"] == 2
    assert "wall clock" in done.stdout
    assert "resources: {cpus: 1" in done.stdout
    assert not (tmp_path / "codyra-runs").exists()
