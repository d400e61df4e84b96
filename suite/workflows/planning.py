"""The bill of a sweep before it is run."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil
import torch

from suite.config import RunConfig
from suite.method_titles import innermost, method_title
from suite.tuning.forecast import Bill, Forecast, Machine, bill, forecast
from suite.tuning.points import spanning_points
from suite.tuning.run_settings import RunSettings
from suite.tuning.study_config import StudyConfig
from suite.workflows.arguments import Count, PathGiven, SweepGiven, WatcherGiven, checked
from suite.workflows.places import DATA, OUT, folder_named
from suite.workflows.probe import Probe, probe
from suite.workflows.progress import QUIET, Watcher
from suite.workflows.sweeping import sweep_config
from trainables.resources import Resources


@dataclass(frozen=True)
class Plan:
    """A study and what it will cost."""

    config: StudyConfig
    forecast: Forecast


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
) -> Plan:
    """Trials, time, memory and disk of a sweep, from a short measured probe of real steps and evaluations on this machine.

    Every probe is a process of its own that is spawned, so that a script that calls this needs ``if __name__ == "__main__":``.

    Args:
        file: the path of a sweep file, or its fields.
        address: the Ray cluster whose CPUs and GPUs count; None = this machine's.
        limit: rows per split and task at most, in the place of the file's ``run.benchmark.limit``.
        out, data_root, device: as in ``run``.

    Raises:
        SuiteError: a mistake in the file or the data, or a sweep that is impossible, with the numbers.
    """
    config = sweep_config(file, limit)
    machine = _machine(address, folder_named(out), config.resources)
    threads = max(1, int(config.resources.cpus))
    points = spanning_points(config)
    probes = _probed(points, [_point_text(point) for point in points], folder_named(data_root), device, threads, watcher)
    return Plan(config, forecast(config, probes, machine))


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
