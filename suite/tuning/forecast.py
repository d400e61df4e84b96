"""From a few probed runs to the bill of a sweep, and what of it is impossible."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from suite.counting import counted
from suite.errors import SuiteError
from suite.tuning.study_config import StudyConfig
from trainables.resources import Resources

HOUR, GIB = 3600.0, 2.0**30
FIXED_SECONDS = 0.5  # of a trial beside its run, see dev perf sweep
TRAIN_FIXED_SECONDS = 14.0  # the same with Ray Train
RECORD_BYTES = 300_000  # record and config of a long stream
FREE_SHARE = 0.9  # of a device's or the host's memory that runs may fill together


class Probed(Protocol):
    """What a forecast needs of a probed run; see ``suite.workflows.probe.Probe``."""

    @property
    def tasks(self) -> int: ...
    @property
    def run_seconds(self) -> float: ...
    @property
    def host_bytes(self) -> int: ...
    @property
    def device_bytes(self) -> int: ...
    @property
    def trainable_parameters(self) -> int: ...
    @property
    def examples(self) -> int: ...


@dataclass(frozen=True)
class Machine:
    """What there is; device figures are of one device, 0 without."""

    cpus: float
    gpus: float
    host_bytes: int
    device_bytes: int
    free_disk_bytes: int


@dataclass(frozen=True)
class Forecast:
    """The bill of a sweep whose trials are all learned to the end; stopping can only make it smaller.

    Attributes:
        run_seconds: least, mean and largest over the probed points.
        at_a_time: runs that the resources let go on at once.
        per_device: runs whose memory fits one device (the host, without GPUs); what packing is proposed from.
    """

    trials: int
    runs: int
    tasks: int
    trainable_parameters: tuple[int, int]
    run_seconds: tuple[float, float, float]
    wall_seconds: float
    cpu_hours: float
    gpu_hours: float
    peak_bytes: int
    at_a_time: int
    per_device: int
    disk_bytes: int


@dataclass(frozen=True)
class Bill:
    """What a list of runs will cost on one machine, each learned to the end and none of them stored yet.

    Attributes:
        run_seconds: of one run of each kind, in the order of the kinds.
    """

    runs: int
    run_seconds: tuple[float, ...]
    at_a_time: int
    wall_seconds: float
    cpu_hours: float
    gpu_hours: float
    peak_bytes: int
    disk_bytes: int


def bill(probes: Sequence[Probed], each: int, resources: Resources, machine: Machine, concurrency: int | None = None) -> Bill:
    """The bill of ``each`` runs of every kind that was probed, as many at a time as the resources and ``concurrency`` let go on.

    Raises:
        SuiteError: too few CPUs or GPUs for one run, or too little memory or disk.
    """
    at_a_time = _at_a_time(resources, machine, concurrency)
    seconds = tuple(probe.run_seconds + FIXED_SECONDS for probe in probes)
    total = sum(seconds) * each
    peak = max(probe.device_bytes if resources.gpus else probe.host_bytes for probe in probes)
    result = Bill(
        runs=len(probes) * each,
        run_seconds=seconds,
        at_a_time=at_a_time,
        wall_seconds=max(total / at_a_time, max(seconds)),
        cpu_hours=total * resources.cpus / HOUR,
        gpu_hours=total * resources.gpus / HOUR,
        peak_bytes=peak,
        disk_bytes=each * sum(run_bytes(probe) for probe in probes),
    )
    memory = machine.device_bytes if resources.gpus else machine.host_bytes
    if peak > memory:
        raise SuiteError(
            f"plan: one run needs {peak / GIB:.2f} GiB, the {'device' if resources.gpus else 'host'} has {memory / GIB:.2f} GiB; lower "
            "training.batch_size or set training.micro_batch_size."
        )
    if result.disk_bytes > machine.free_disk_bytes:
        raise SuiteError(
            f"plan: the runs' folders may take {result.disk_bytes / GIB:.1f} GiB, there are {machine.free_disk_bytes / GIB:.1f} GiB; free "
            "space or name another folder as --out."
        )
    return result


def _at_a_time(resources: Resources, machine: Machine, concurrency: int | None) -> int:
    """Runs that go on at once.

    Raises:
        SuiteError: one asks for more than there is.
    """
    asked_cpus, asked_gpus = resources.workers * resources.cpus, resources.workers * resources.gpus
    if machine.cpus < asked_cpus or machine.gpus < asked_gpus:
        raise SuiteError(
            f"plan: a run asks for {counted(asked_cpus, 'CPU')} and {counted(asked_gpus, 'GPU')}, there are {machine.cpus:g} and {machine.gpus:g}; lower "
            "resources or add nodes."
        )
    by_gpu = [int(machine.gpus / asked_gpus + 1e-9)] if asked_gpus else []
    return min([int(machine.cpus / asked_cpus + 1e-9), *by_gpu, *([concurrency] if concurrency else [])])


def forecast(config: StudyConfig, probes: Sequence[Probed], machine: Machine) -> Forecast:
    """The bill.

    Raises:
        SuiteError: what is asked for cannot be: too few CPUs or GPUs, too little memory, disk or budget for one run.
    """
    resources, seeds = config.resources, len(config.seeds or (0,))
    asked_cpus, asked_gpus = resources.workers * resources.cpus, resources.workers * resources.gpus
    at_a_time = _at_a_time(resources, machine, config.concurrency)
    fixed = TRAIN_FIXED_SECONDS if config.carrier == "train" or resources.workers > 1 else FIXED_SECONDS
    seconds = sorted(probe.run_seconds + fixed for probe in probes)
    mean = sum(seconds) / len(seconds)
    trials = min(int(min(config.budget.trials, config.search_space().size())), _paid(config, mean))
    runs = trials * seeds
    peak = max(probe.device_bytes if asked_gpus else probe.host_bytes for probe in probes)
    memory = machine.device_bytes if asked_gpus else machine.host_bytes
    result = Forecast(
        trials=trials,
        runs=runs,
        tasks=probes[0].tasks,
        trainable_parameters=(min(p.trainable_parameters for p in probes), max(p.trainable_parameters for p in probes)),
        run_seconds=(seconds[0], mean, seconds[-1]),
        wall_seconds=mean * runs / max(1, min(at_a_time, runs)),
        cpu_hours=mean * runs * asked_cpus / HOUR,
        gpu_hours=mean * runs * asked_gpus / HOUR,
        peak_bytes=peak,
        at_a_time=at_a_time,
        per_device=int(FREE_SHARE * memory / peak) if peak else 1,
        disk_bytes=runs * max(run_bytes(probe) for probe in probes),
    )
    _refuse_impossible(config, result, machine, memory)
    return result


def _paid(config: StudyConfig, run_seconds: float) -> int:
    """Trials that a budget of summed time pays for, at least one; the last of them is begun before the budget is used up."""
    budget, resources = config.budget, config.resources
    bounds = [budget.run_seconds] if budget.run_seconds is not None else []
    if budget.gpu_hours is not None:
        bounds.append(budget.gpu_hours * HOUR / (resources.gpus * resources.workers))
    trial = run_seconds * len(config.seeds or (0,))
    return min([max(1, math.ceil(bound / trial)) for bound in bounds], default=config.budget.trials)


def run_bytes(probe: Probed) -> int:
    """Upper bound of a run's folder: every task's factors unpruned in fp32, outcomes of every cell at a bit, the record."""
    factors = probe.tasks * probe.trainable_parameters * 4
    outcomes = (probe.tasks + 1) * probe.examples // 8
    return factors + outcomes + RECORD_BYTES


def _refuse_impossible(config: StudyConfig, found: Forecast, machine: Machine, memory: int) -> None:
    budget, resources = config.budget, config.resources
    share = memory * min(1.0, resources.gpus) if resources.gpus else memory
    if found.per_device < 1 or found.peak_bytes > share:
        raise SuiteError(
            f"plan: one run needs {found.peak_bytes / GIB:.2f} GiB, its share of the {'device' if resources.gpus else 'host'} is "
            f"{share / GIB:.2f} GiB; raise resources.gpus, lower training.batch_size or set training.micro_batch_size."
        )
    one = found.run_seconds[0] * resources.gpus * resources.workers / HOUR
    if budget.gpu_hours is not None and one > budget.gpu_hours:
        raise SuiteError(
            f"plan: one run takes {one:.2f} GPU-hours, budget.gpu_hours is {budget.gpu_hours:g}; raise it or train shorter."
        )
    if budget.wall_seconds is not None and found.run_seconds[0] > budget.wall_seconds:
        raise SuiteError(
            f"plan: one run takes {found.run_seconds[0]:.0f} s, budget.wall_seconds is {budget.wall_seconds:g}; raise it or train shorter."
        )
    if budget.run_seconds is not None and found.run_seconds[0] > budget.run_seconds:
        raise SuiteError(
            f"plan: one run takes {found.run_seconds[0]:.0f} s, budget.run_seconds is {budget.run_seconds:g}; raise it or train shorter."
        )
    room = machine.free_disk_bytes if budget.disk_gib is None else min(machine.free_disk_bytes, int(budget.disk_gib * GIB))
    if found.disk_bytes > room:
        raise SuiteError(
            f"plan: the runs' folders may take {found.disk_bytes / GIB:.1f} GiB, there are {room / GIB:.1f} GiB; free space, raise "
            "budget.disk_gib, set keep: front or try fewer trials."
        )


def as_json(found: Forecast) -> dict[str, Any]:
    """Plain numbers with units in the names."""
    return {key: list(value) if isinstance(value, tuple) else value for key, value in found.__dict__.items()}


def packing(config: StudyConfig, found: Forecast) -> Mapping[str, float]:
    """``resources`` that pack as many runs onto a device as its memory takes; the caller's own where one fills it."""
    if not config.resources.gpus or found.per_device <= 1:
        return {"cpus": config.resources.cpus, "gpus": config.resources.gpus}
    return {"cpus": config.resources.cpus, "gpus": round(1.0 / found.per_device, 3)}
