"""The bill of a sweep or of a tuning before it is run."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import torch

from suite.config import RunConfig
from suite.errors import SuiteError
from suite.method_titles import innermost, method_title
from suite.tuning.forecast import GIB, HOUR, Bill, Forecast, Machine, as_json, bill, forecast
from suite.tuning.points import spanning_points
from suite.tuning.preflight import refused_here
from suite.tuning.run_settings import RunSettings
from suite.tuning.study_config import StudyConfig
from suite.tuning.tune_config import TuneConfig
from suite.workflows.arguments import Count, PathGiven, SweepGiven, WatcherGiven, checked
from suite.workflows.places import DATA, OUT, folder_named
from suite.workflows.probe import Probe, probe
from suite.workflows.progress import QUIET, Watcher
from suite.workflows.sweep_checks import able_points
from suite.workflows.sweeping import sweep_config
from suite.workflows.tune_files import is_tuning, tune_config
from trainables.resources import Resources


@dataclass(frozen=True)
class Plan:
    """A study and what it will cost."""

    config: StudyConfig
    forecast: Forecast


@dataclass(frozen=True)
class TuningPlan:
    """A tuning and what it will cost: the trials of every study and the runs that judge, all of them on one cluster.

    Attributes:
        studies: name of an entrant with a study -> the bill of its trials.
        judged: name of an entrant -> runs that judge its settings, at most: the chosen setting may be the default one.
        judging_seconds: of those runs together, each as long as the mean run of its study; methods without a study count nothing.
    """

    config: TuneConfig
    studies: Mapping[str, Forecast]
    judged: Mapping[str, int]
    judging_seconds: float
    at_a_time: int
    wall_seconds: float
    cpu_hours: float
    gpu_hours: float
    peak_bytes: int
    disk_bytes: int


@checked
def plan(
    file: SweepGiven,
    *,
    address: str | None = None,
    limit: Count | None = None,
    out: PathGiven = OUT,
    data_root: PathGiven = DATA,
    device: str = "auto",
    watcher: WatcherGiven = QUIET,
) -> Plan | TuningPlan:
    """Trials, time, memory and disk of a sweep or of a tuning, from a short measured probe of real steps and evaluations on this machine.

    Every probe is a process of its own that is spawned, so that a script that calls this needs ``if __name__ == "__main__":``.

    Args:
        file: the path of a sweep file or of a tuning's file, or its fields.
        address: the Ray cluster whose CPUs and GPUs count; None = this machine's.
        limit: rows per split and task at most, in the place of the file's own ``limit``.
        out, data_root, device: as in ``run``.

    Raises:
        SuiteError: a mistake in the file or the data, or a sweep that is impossible, with the numbers.
    """
    if is_tuning(file):
        tuning = tune_config(file, limit)
        machine = _machine(address, folder_named(out), tuning.resources)
        studies = {
            one.name: _forecast(one.study, machine, folder_named(data_root), device, watcher)
            for one in tuning.entrants
            if one.study is not None
        }
        return _whole(tuning, studies, machine)
    config = sweep_config(file, limit)
    machine = _machine(address, folder_named(out), config.resources)
    return Plan(config, _forecast(config, machine, folder_named(data_root), device, watcher))


def _forecast(config: StudyConfig, machine: Machine, data_root: Path, device: str, watcher: Watcher) -> Forecast:
    drawn = spanning_points(config)
    with watcher.begin(f"study {config.name}: checking data, backbone and method", None):
        found = refused_here(drawn, data_root, device, shard_frozen=config.resources.shard_frozen)
    points = able_points(config, drawn, found, watcher)
    names = [_point_text(point) for point in points]
    probes = _probed(points, names, data_root, device, max(1, int(config.resources.cpus)), watcher)
    return forecast(config, probes, machine)


def _whole(config: TuneConfig, studies: Mapping[str, Forecast], machine: Machine) -> TuningPlan:
    """The bill of all studies and of the runs that judge.

    Raises:
        SuiteError: their folders do not fit the disk.
    """
    judged, seconds, disk = {}, 0.0, 0.0
    for one in config.entrants:
        found = studies.get(one.name)
        judged[one.name] = len(one.orders or (None,)) * len(config.judge.seeds) * (1 if found is None else 2)
        if found is not None:
            seconds += judged[one.name] * found.run_seconds[1]
            disk += found.disk_bytes / found.runs * (found.runs + judged[one.name])
    if disk > machine.free_disk_bytes:
        raise SuiteError(
            f"plan: the runs' folders may take {disk / GIB:.1f} GiB, there are {machine.free_disk_bytes / GIB:.1f} GiB; free space or name "
            "another folder as --out."
        )
    searching = sum(found.run_seconds[1] * found.runs for found in studies.values())
    hours, resources = (searching + seconds) / HOUR, config.resources
    at_a_time = min((found.at_a_time for found in studies.values()), default=1)
    return TuningPlan(
        config,
        studies,
        judged,
        judging_seconds=seconds,
        at_a_time=at_a_time,
        wall_seconds=(searching + seconds) / at_a_time,
        cpu_hours=hours * resources.workers * resources.cpus,
        gpu_hours=hours * resources.workers * resources.gpus,
        peak_bytes=max((found.peak_bytes for found in studies.values()), default=0),
        disk_bytes=int(disk),
    )


def tuning_as_json(plan: TuningPlan) -> dict[str, Any]:
    """Plain numbers with units in the names."""
    numbers = {key: value for key, value in plan.__dict__.items() if key not in ("config", "studies")}
    return {"studies": {name: as_json(found) for name, found in plan.studies.items()}, **numbers}


def bill_of_runs(
    configs: Sequence[RunConfig], names: Sequence[str], each: int, run_settings: RunSettings, watcher: Watcher
) -> Bill:
    """The bill of ``each`` runs of every config on this machine, one of them probed; ``names`` are what the watcher is shown.

    Raises:
        SuiteError: as ``plan``.
    """
    resources = run_settings.resources
    threads = max(1, int(resources.cpus))
    probes = _probed(configs, names, run_settings.data_root, run_settings.device, threads, watcher)
    return bill(probes, each, resources, _machine(None, run_settings.out, resources), run_settings.concurrency)


def _probed(
    configs: Sequence[RunConfig], names: Sequence[str], data_root: Path, device: str, threads: int, watcher: Watcher
) -> list[Probe]:
    found = []
    with watcher.begin("probes", len(configs)) as work:
        for number, (config, name) in enumerate(zip(configs, names, strict=True)):
            work.done(number, name)
            found.append(probe(config, data_root, device, threads))
    return found


def _machine(address: str | None, out: Path, resources: Resources) -> Machine:
    there = {"CPU": float(os.cpu_count() or 1), "GPU": float(torch.cuda.device_count())}
    if address is not None:
        from suite.tuning.cluster import cluster_resources

        there = cluster_resources(address, resources)
    existing = next(folder for folder in (out.resolve(), *out.resolve().parents) if folder.is_dir())
    memory = torch.cuda.get_device_properties(0).total_memory if torch.cuda.is_available() else 0
    return Machine(
        there.get("CPU", 0.0), there.get("GPU", 0.0), psutil.virtual_memory().total, memory, shutil.disk_usage(existing).free
    )


def _point_text(config: RunConfig) -> str:
    method = config.resolved()["method"]
    shown = {key: value for key, value in innermost(method).items() if key in ("rank", "placement")}
    return f"{method_title(method)} " + ", ".join(f"{key} {value}" for key, value in shown.items())
