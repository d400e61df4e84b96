"""Comparisons and studies on a real local Ray, logged to a real MLflow database."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from suite.config import RunConfig
from suite.errors import ConfigError, SuiteError
from suite.runs.record import read_record
from suite.tracking.mlflow_reader import read_runs
from suite.tuning.cluster import fitting_runs, has_autoscaler, ray_session
from suite.tuning.places import Places
from suite.tuning.preflight import refused_runs
from suite.tuning.run_settings import RunSettings
from suite.workflows.comparing import carry_runs
from suite.workflows.progress import QUIET
from suite.workflows.sweeping import read_sweep, run_study
from trainables.resources import Resources

SWEEP = """
run:
  benchmark: {name: mini-mtil, domains: [shapes, faces, digits], shots: 4}
  method: {name: codyra, kappa_levels: 3}
  training: {steps: 8, batch_size: 8}
space: codyra-quick
objectives: [zscl.last, codyra.forgetting]
budget: {trials: 4}
"""


@pytest.fixture(scope="module")
def ray() -> Iterator[None]:
    with ray_session(None, Resources()):
        yield


@pytest.mark.slow
def test_a_comparison_is_carried_out_once(ray: None, make_config: Callable[..., RunConfig], tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    configs = [make_config(name) for name in ("zero-shot", "lora")] + [make_config("lora", training={"steps": 60, "lr": 1e9})]
    run_settings = RunSettings(tmp_path / "out", tmp_path, "cpu")
    failures = carry_runs(configs, run_settings, uri, title="test", watcher=QUIET).failures
    assert len(failures) == 1
    assert "the loss is" in failures[0]
    stored = {run.record.run_id: run.record.status for run in read_runs(uri)}
    assert sorted(stored.values()) == ["failed", "finished", "finished"]
    stamps = {p: p.stat().st_mtime_ns for p in tmp_path.glob("out/runs/*/record.json") if read_record(p).status == "finished"}
    carry_runs(configs[:2], run_settings, uri, title="again", watcher=QUIET)
    assert stamps == {path: path.stat().st_mtime_ns for path in stamps}
    assert len(list(read_runs(uri))) == 3


@pytest.mark.slow
def test_a_study_ends_in_optuna_records_and_mlflow_alike(ray: None, tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    file = tmp_path / "night.yaml"
    file.write_text(SWEEP)
    run_settings = RunSettings(tmp_path / "out", tmp_path, "cpu")
    study = run_study(read_sweep(file), run_settings, uri, resume=False, accept_changes=False)
    trials = study.trials
    assert [trial.state.name for trial in trials] == ["COMPLETE"] * 4
    runs = list(read_runs(uri))
    assert {run.record.run_id for run in runs} == {trial.user_attrs["run_id"] for trial in trials}
    assert {run.record.study for run in runs} == {"night"}
    for trial in trials:
        record = read_record(tmp_path / "out" / "runs" / trial.user_attrs["run_id"])
        last = [value for value in record.validation[-1] if value is not None]
        assert trial.values[0] == pytest.approx(sum(last) / len(last))
    with pytest.raises(ConfigError, match="exists.*--resume"):
        run_study(read_sweep(file), run_settings, uri, resume=False, accept_changes=False)
    file.write_text(SWEEP.replace("trials: 4", "trials: 5"))
    with pytest.raises(ConfigError, match=r"budget.trials: 4 -> 5"):
        run_study(read_sweep(file), run_settings, uri, resume=True, accept_changes=False)
    longer = run_study(read_sweep(file), run_settings, uri, resume=True, accept_changes=True)
    assert len(longer.trials) == 5


@pytest.mark.slow
def test_stopped_trials_are_pruned_everywhere_and_never_on_the_front(ray: None, tmp_path: Path) -> None:
    """Stock Ray with Optuna tells a stopped trial COMPLETE and puts it on the front."""
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    file = tmp_path / "early.yaml"
    rule = "stopping: {rule: median, grace_tasks: 1, least_trials: 1}\nconcurrency: 1\nsampler: random\n"
    file.write_text(SWEEP.replace("trials: 4", "trials: 5") + rule)
    run_settings = RunSettings(tmp_path / "out", tmp_path, "cpu", concurrency=1)
    study = run_study(read_sweep(file), run_settings, uri, resume=False, accept_changes=False)
    trials = study.trials
    pruned = [trial for trial in trials if trial.state.name == "PRUNED"]
    assert pruned
    assert {trial.state.name for trial in trials} == {"PRUNED", "COMPLETE"}
    assert not {trial.number for trial in pruned} & set(study.front)
    logged = {run.record.run_id: run.record for run in read_runs(uri)}
    for trial in trials:
        record = logged[trial.user_attrs["run_id"]]
        assert (record.status == "stopped") == (trial.state.name == "PRUNED")
        assert record.tasks_done == 3 or record.status == "stopped"
        if trial.state.name == "PRUNED":
            assert trial.user_attrs["reason"] == f"stopped after task {record.tasks_done} of 3"
            assert record.tasks_done < 3


def test_more_than_the_cluster_has_is_said_at_once(ray: None) -> None:
    with pytest.raises(SuiteError, match="asks for 1000 CPUs"), ray_session(None, Resources(cpus=1000)):
        pass


def test_places_are_counted_by_node(ray: None) -> None:
    cores = os.cpu_count() or 1
    shares = {Resources(): cores, Resources(cpus=0.5): 2 * cores, Resources(workers=cores): 1, Resources(workers=cores + 1): 0}
    assert {share: fitting_runs(share) for share in shares} == shares
    assert fitting_runs(Resources(gpus=1)) <= fitting_runs(Resources(gpus=0.5))
    assert not has_autoscaler()


def test_one_run_is_given_out_to_a_cluster_that_has_no_room_yet(ray: None, tmp_path: Path) -> None:
    said: list[str] = []
    run_settings = RunSettings(tmp_path, tmp_path, address="auto", resources=Resources(cpus=1000), say=said.append)
    places = Places(run_settings)
    assert [places.most(), places.most()] == [1, 1]
    (sentence,) = said
    assert "asks for 1000 CPUs and 0 GPUs, the cluster has" in sentence and sentence.endswith("; waiting for nodes that fit.")


@pytest.mark.parametrize("address", [None, "auto"])
def test_concurrency_bounds_what_is_given_out(ray: None, address: str | None, tmp_path: Path) -> None:
    run_settings = RunSettings(tmp_path, tmp_path, address=address, resources=Resources(cpus=0.5))
    assert Places(run_settings).most() == 2 * (os.cpu_count() or 1)
    assert Places(replace(run_settings, concurrency=1)).most() == 1


@pytest.mark.slow
@pytest.mark.parametrize(("ending", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_interrupted_sweep_keeps_what_finished_and_resumes(ending: signal.Signals, code: int, tmp_path: Path) -> None:
    """A real Ctrl-C, or SIGTERM to the command and every process of its Ray, as Slurm sends it: finished trials are in MLflow, and
    --resume completes the study without training them again."""
    fields = yaml.safe_load(SWEEP)
    fields["training"] = None
    fields = {key: value for key, value in fields.items() if value is not None}
    fields["run"]["training"] = {"steps": 60, "batch_size": 16}
    fields["budget"] = {"trials": 3}
    (tmp_path / "sweep.yaml").write_text(yaml.safe_dump({"name": "cut", **fields}))
    command = [sys.executable, "-m", "suite.cli.main", "sweep", "sweep.yaml"]
    environment = {key: value for key, value in os.environ.items() if key != "RAY_ADDRESS"}
    process = subprocess.Popen(command, cwd=tmp_path, env=environment, start_new_session=True, stderr=subprocess.PIPE)
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    while not finished_runs(tmp_path) and process.poll() is None:
        time.sleep(0.2)
    os.killpg(process.pid, ending)
    assert process.stderr is not None
    said = process.stderr.read().decode()
    assert process.wait() == code, said
    assert "interrupted; what was finished is kept" in said
    assert "SIGTERM received" not in said  # Ray's native dump
    with pytest.raises(ProcessLookupError):
        os.killpg(process.pid, 0)  # Ray's processes are gone with it
    done = finished_runs(tmp_path)
    assert done
    stored = {run.record.run_id for run in read_runs(uri) if run.record.status == "finished"}
    assert stored <= {path.parent.name for path in done} | stored
    stamps = {path: path.stat().st_mtime_ns for path in done}
    subprocess.run([*command, "--resume"], cwd=tmp_path, env=environment, check=True, timeout=280)
    assert stamps == {path: path.stat().st_mtime_ns for path in stamps}
    after = [run.record for run in read_runs(uri)]
    assert len(after) == len({record.run_id for record in after}) == 3
    assert {record.status for record in after} == {"finished"}


def finished_runs(folder: Path) -> list[Path]:
    found = folder.glob("codyra-runs/runs/*/record.json")
    return [path for path in found if read_record(path).status == "finished"]


@pytest.mark.slow
def test_a_cluster_is_asked_what_it_would_refuse(ray: None, make_config: Callable[..., RunConfig], tmp_path: Path) -> None:
    configs = [make_config("lora"), make_config("codyra", kappa_levels=9)]
    (found,) = refused_runs(configs, RunSettings(tmp_path / "out", tmp_path, "cpu", address="auto"))
    assert (found.position, found.is_unfit) == (1, False)
    assert "leave no room for 9 threshold levels" in found.reason
