"""Methods x benchmarks x seeds, on Ray."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from suite.errors import ConfigError
from suite.method_titles import method_title
from suite.registry import METHODS
from suite.runs.store import OpenRun, RunStore
from suite.workflows.arguments import Count, Names, Numbers, PathGiven, SettingsGiven, TrackingGiven, WatcherGiven, checked
from suite.workflows.configs import Settings, comparison, in_its_words
from suite.workflows.places import DATA, OUT, folder_named, results_folder
from suite.workflows.progress import QUIET, Watcher, opened
from suite.workflows.reasons import told_once
from suite.workflows.sharing import say_shared
from suite.workflows.tracking import opened_tracking, say_waiting

if TYPE_CHECKING:
    from suite.config import RunConfig
    from suite.runs.validation_view import ValidationView
    from suite.tuning.run_queue import Suggestion
    from suite.tuning.run_settings import RunSettings

BENCHMARKS = ("mini-mtil", "mini-xtail")


@dataclass(frozen=True)
class Comparison:
    """What became of a list of runs.

    Attributes:
        runs: those that left a record, finished or not.
        failures: one sentence for each reason for which some failed, with all of them.
    """

    runs: list[OpenRun]
    failures: list[str]


@checked
def compare(
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
    tracking: TrackingGiven | None = None,
    watcher: WatcherGiven = QUIET,
) -> Comparison:
    """Run every method on every benchmark with every seed, on a local Ray; what is already finished is reused.

    Args:
        benchmarks: by their names.
        seeds: one run for each of them.
        methods: by their names; None = all that can be used, each on the benchmarks that have what it needs; of the others the watcher is told.
        settings: as in ``run``; one that begins with a method's name, e.g. ``codyra.rank``, holds for that method alone.
        limit: rows per split and task at most, as in ``run``.
        concurrency: runs at a time; None = one per core or GPU.
        out, data_root, device, tracking: as in ``run``.

    Raises:
        SuiteError: a mistake in names, settings or data, before anything is trained; no Ray; a full disk.
        KeyboardInterrupt: Ctrl-C came; what was finished is stored and logged.
    """
    configs = asked_runs(benchmarks, methods, seeds, settings, limit, watcher)
    from suite.tuning.run_settings import RunSettings

    run_settings = RunSettings(results_folder(out), folder_named(data_root), device, concurrency=concurrency)
    able, _ = able_runs(configs, run_settings, watcher, leaves_out=methods is None)
    return carry_runs(able, run_settings, tracking, title="comparing", watcher=watcher)


def asked_runs(
    benchmarks: Sequence[str],
    methods: Sequence[str] | None,
    seeds: Sequence[int],
    settings: Settings,
    limit: int | None,
    watcher: Watcher,
) -> list[RunConfig]:
    """The runs that the arguments of ``compare`` mean; of methods that cannot be used the watcher is told.

    Raises:
        ConfigError: a mistake in names or settings.
    """
    if methods is None:
        methods, reasons = METHODS.usable()
        for reason in reasons:
            watcher.say(f"left out: {reason}")
    return comparison(benchmarks, methods, seeds, settings, limit=limit)


def able_runs(
    configs: Sequence[RunConfig], run_settings: RunSettings, watcher: Watcher, *, leaves_out: bool
) -> tuple[Sequence[RunConfig], Mapping[int, str]]:
    """Those of ``configs`` that can begin, and why each of the others is left out, by its place in ``configs``.

    Args:
        leaves_out: a method that the benchmark has no use for is left out, of which the watcher is told; else it is a mistake.

    Raises:
        ConfigError: some cannot begin; every reason once, with all runs that it holds for.
    """
    from suite.tuning.preflight import refused_runs

    run_settings.say = watcher.say
    with watcher.begin("checking data, backbones and methods", None):
        found = refused_runs(configs, run_settings)
    unfit = {one.position: one.reason for one in found if leaves_out and one.is_unfit}
    for reason in _failures([(configs[place].resolved(), why) for place, why in unfit.items()]):
        watcher.say(f"left out: {reason}")
    able = [config for position, config in enumerate(configs) if position not in unfit]
    refused = _failures([(configs[one.position].resolved(), one.reason) for one in found if one.position not in unfit])
    if refused or not able:
        raise ConfigError("; ".join(reason.rstrip(".") for reason in refused or ["no method fits the benchmarks"]) + ".")
    return able, unfit


def carry_runs(
    configs: Sequence[RunConfig], run_settings: RunSettings, tracking: str | None, *, title: str, watcher: Watcher
) -> Comparison:
    """Carry out ``configs`` with progress and tracking.

    Raises:
        KeyboardInterrupt: Ctrl-C came; what was finished is logged.
    """
    from suite.tuning.cluster import ray_session
    from suite.tuning.ray_runner import run_all
    from suite.tuning.run_queue import ListQueue
    from suite.workflows.pictures import attach_run_pictures

    source, store = ListQueue(configs), RunStore(run_settings.out)
    with opened_tracking(tracking, run_settings.out, watcher) as delivery:
        with (
            opened(ray_session(run_settings.address, run_settings.resources), watcher, "starting Ray"),
            watcher.begin(title, len(configs)) as work,
        ):
            ended = 0
            stored: dict[str, ValidationView] = {}

            def on_end(run: Suggestion, view: ValidationView | None, reason: str | None) -> None:
                nonlocal ended
                ended += 1
                work.done(ended, _ending(run, view, reason))

            def on_record(run: Suggestion, view: ValidationView) -> None:
                stored[view.run_id] = view
                delivery.log_stored(view.run_id)

            run_settings.on_record, run_settings.on_end = on_record, on_end
            is_whole = run_all(source, run_settings)
        say_shared(stored, store, watcher, is_optional=False)
        say_waiting(delivery.tracker, watcher)
        attach_run_pictures(delivery, store.records(sorted(stored)), run_settings.out)
    if not is_whole:
        raise KeyboardInterrupt
    runs = [OpenRun(record, store.folder(record.run_id)) for record in store.records(sorted(stored))]
    return Comparison(runs, _failures([(configs[trial].resolved(), reason) for trial, reason in source.failures.items()]))


def _ending(run: Suggestion, view: ValidationView | None, reason: str | None) -> str:
    """The run that has just ended, in a few words."""
    named = f"{run.config.benchmark.name} {method_title(run.config.resolved()['method'])} seed {run.config.seed}"
    status = "failed" if view is None else view.status
    why = (reason or (view.reason if view else None) or "").partition(";")[0].rstrip(".")
    return f"{named} {status}" + (f" ({why})" if why else "")


def _failures(failed: Sequence[tuple[Mapping[str, Any], str]]) -> list[str]:
    """A refusal of the backbone, say, reaches every method and seed alike, and is said once."""
    return told_once(
        (
            f"{fields['benchmark']['name']} {method_title(fields['method'])} seed {fields['seed']}",
            in_its_words(fields["method"]["name"], reason),
        )
        for fields, reason in failed
    )
