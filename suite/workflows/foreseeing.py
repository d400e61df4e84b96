"""What runs would do before any of them does it: which would be trained, which are stored already, and how long it will take.

Times are those of finished runs below the same folder; where none is like the one that is asked about, nothing is said.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from suite.benchmarks.stream import Stream
from suite.config import RunConfig
from suite.counting import counted
from suite.errors import ConfigError
from suite.hardware import hardware
from suite.method_titles import method_title
from suite.runs.identity import run_id
from suite.runs.record import Record
from suite.runs.store import RunStore
from suite.tuning.preflight import refused_here
from suite.tuning.run_settings import RunSettings
from suite.workflows.arguments import Count, Names, Numbers, PartGiven, PathGiven, SettingsGiven, WatcherGiven, checked
from suite.workflows.comparing import BENCHMARKS, able_runs, asked_runs
from suite.workflows.configs import run_config
from suite.workflows.places import DATA, OUT, folder_named
from suite.workflows.progress import QUIET, Watcher
from suite.workflows.tracking import say_unreadable
from trainables.budget import step_count
from trainables.device import choose_device
from trainables.faults import named_faults
from trainables.precision import resolved_precision

State = Literal["finished", "begun", "new"]


@dataclass(frozen=True)
class ForeseenRun:
    """One run as it would go.

    Attributes:
        state: ``finished`` is shown again and not trained; ``begun`` goes on after ``tasks_done`` of ``tasks``; ``new`` is trained.
        seconds: that it will take; None where no earlier run tells.
        source: what ``seconds`` was made from, or why there are none.
    """

    config: RunConfig
    run_id: str
    state: State
    tasks_done: int
    tasks: int
    seconds: float | None
    source: str


@dataclass(frozen=True)
class Foresight:
    """What a command would do.

    Attributes:
        at_a_time: runs that would go on at once, at most.
    """

    runs: Sequence[ForeseenRun]
    at_a_time: int = 1

    @property
    def trained(self) -> list[ForeseenRun]:
        return [run for run in self.runs if run.state != "finished"]

    @property
    def seconds(self) -> float | None:
        """By the clock, were all that is trained of equal length; None where the time of one of them is not known."""
        known = [run.seconds for run in self.trained if run.seconds is not None]
        rounds = -(-len(known) // self.at_a_time)
        return rounds * sum(known) / max(1, len(known)) if len(known) == len(self.trained) else None


@checked
def plan_run(
    what: PathGiven,
    *,
    method: PartGiven | None = None,
    seed: int | None = None,
    settings: SettingsGiven = (),
    limit: Count | None = None,
    out: PathGiven = OUT,
    data_root: PathGiven = DATA,
    device: str = "auto",
    watcher: WatcherGiven = QUIET,
) -> Foresight:
    """What ``run`` with these arguments would do; data is read, nothing is trained or written.

    Args:
        what, method, seed, settings, limit, out, data_root, device: as in ``run``.

    Raises:
        SuiteError: what ``run`` would be refused for.
    """
    config = resolved_precision(
        run_config(what, method=method, seed=seed, settings=settings, limit=limit), choose_device(device)
    )
    refused = refused_here([config], folder_named(data_root), device)
    if refused:
        raise ConfigError(refused[0].reason)
    return Foresight(_foreseen([config], folder_named(out), folder_named(data_root), device, watcher))


@checked
def plan_compare(
    benchmarks: Names = BENCHMARKS,
    methods: Names | None = None,
    seeds: Numbers = (0,),
    settings: SettingsGiven = (),
    *,
    limit: Count | None = None,
    concurrency: Count | None = None,
    out: PathGiven = OUT,
    data_root: PathGiven = DATA,
    device: str = "auto",
    watcher: WatcherGiven = QUIET,
) -> Foresight:
    """What ``compare`` with these arguments would do; data is read, nothing is trained or written.

    Args:
        benchmarks, methods, seeds, settings, limit, concurrency, out, data_root, device: as in ``compare``.

    Raises:
        SuiteError: what ``compare`` would be refused for.
    """
    run_settings = RunSettings(folder_named(out), folder_named(data_root), device, concurrency=concurrency)
    configs = asked_runs(benchmarks, methods, seeds, settings, limit, watcher)
    able, _ = able_runs(configs, run_settings, watcher, leaves_out=methods is None)
    found = _foreseen(able, folder_named(out), folder_named(data_root), device, watcher)
    cores = os.cpu_count() or 1
    return Foresight(found, min(concurrency or cores, cores))


def _foreseen(configs: Iterable[RunConfig], out: Path, data_root: Path, device: str, watcher: Watcher) -> list[ForeseenRun]:
    store, machine = RunStore(out), hardware(choose_device(device))
    listing = store.all()
    say_unreadable(listing.damaged, watcher)
    earlier = [run.record for run in listing.runs if run.record.status == "finished"]
    read: list[tuple[object, Stream]] = []  # one stream at a time is held
    found = []
    for config in configs:
        if not read or read[0][0] != config.benchmark:
            with named_faults(config):
                read[:] = [(config.benchmark, config.benchmark.open(data_root))]
        stream = read[0][1]
        name = run_id(config, stream.fingerprint())
        stored = store.open(name)
        done = stored.record.tasks_done if stored is not None else 0
        state: State = "new" if stored is None else "finished" if stored.record.status == "finished" else "begun"
        seconds, source = (0.0, "stored") if state == "finished" else _seconds(config, stream, earlier, machine)
        left = (len(stream) - done) / len(stream)
        found.append(ForeseenRun(config, name, state, done, len(stream), None if seconds is None else seconds * left, source))
    return found


def _seconds(
    config: RunConfig, stream: Stream, earlier: Sequence[Record], machine: Mapping[str, object]
) -> tuple[float | None, str]:
    """How long the run takes when nothing of it is stored, and what says so."""
    title = method_title(config.resolved()["method"])
    like = [one for one in earlier if (one.benchmark, one.method) == (config.benchmark.name, title)]
    like = [one for one in like if one.config["backbone"] == config.resolved()["backbone"]]
    here = [one for one in like if all(one.hardware.get(key) == machine.get(key) for key in ("processor", "gpu"))]
    elsewhere = "" if here else " on another machine"
    like = here or like
    if not like:
        return None, f"no finished run of {title} on {config.benchmark.name} with this backbone"
    same = [one for one in like if one.settings_hash == config.settings_hash() and one.tasks == list(stream.task_names)]
    if same:
        return _mean(_wall(one) for one in same), f"mean of {counted(len(same), 'run')} with these settings{elsewhere}"
    examples = config.training.batch_size * sum(step_count(config.training, task) for task in stream.tasks)
    scaled = [_scaled(one, len(stream), examples) for one in like]
    return _mean(scaled), f"scaled by tasks, steps and batches from {counted(len(like), 'run')} with other settings{elsewhere}"


def _wall(record: Record) -> float:
    return sum(result.costs.wall_seconds for result in record.results)


def _scaled(record: Record, tasks: int, examples: int) -> float:
    """Training goes with the examples that are seen; all else with the rows of the matrix and, as every task is judged, its columns."""
    training = sum(result.costs.train_seconds for result in record.results)
    seen = record.config["training"]["batch_size"] * sum(result.costs.steps for result in record.results)
    size = (tasks + 1) * tasks / ((len(record.tasks) + 1) * len(record.tasks))
    return (training * examples / seen if seen else training) + (_wall(record) - training) * size


def _mean(values: Iterable[float]) -> float:
    found = list(values)
    return sum(found) / len(found)
