"""Methods x benchmarks x seeds, on Ray."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from suite.method_titles import method_title
from suite.registry import METHODS
from suite.runs.store import OpenRun, RunStore
from suite.workflows.configs import Settings, comparison, in_its_words
from suite.workflows.places import DATA, OUT
from suite.workflows.progress import QUIET, Watcher
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


def compare(
    benchmarks: Sequence[str] = BENCHMARKS,
    methods: Sequence[str] | None = None,
    seeds: Sequence[int] = (0,),
    settings: Settings = (),
    *,
    concurrency: int | None = None,
    out: Path | str = OUT,
    data_root: Path | str = DATA,
    device: str = "auto",
    tracking: str | None = None,
    watcher: Watcher = QUIET,
) -> Comparison:
    """Run every method on every benchmark with every seed, on a local Ray; what is already finished is reused.

    Args:
        methods: None = all that can be used; of the others the watcher is told.
        settings: as in ``run``; one that begins with a method's name, e.g. ``codyra.rank``, holds for that method alone.
        concurrency: runs at a time; None = one per core or GPU.
        out, data_root, device, tracking: as in ``run``.

    Raises:
        SuiteError: a mistake in names or settings, before anything is trained; no Ray; a full disk.
        KeyboardInterrupt: Ctrl-C came; what was finished is stored and logged.
    """
    if methods is None:
        methods, reasons = METHODS.usable()
        for reason in reasons:
            watcher.say(f"left out: {reason}")
    configs = comparison(benchmarks, methods, seeds, settings)
    from suite.tuning.run_settings import RunSettings

    run_settings = RunSettings(Path(out), Path(data_root), device, concurrency=concurrency)
    return carry_runs(configs, run_settings, tracking, title="comparing", watcher=watcher)


def carry_runs(
    configs: Sequence[RunConfig], run_settings: RunSettings, tracking: str | None, *, title: str, watcher: Watcher
) -> Comparison:
    """Carry out ``configs`` with progress and tracking.

    Raises:
        KeyboardInterrupt: Ctrl-C came; what was finished is logged.
    """
    from suite.tuning.ray_runner import run_all
    from suite.tuning.run_queue import ListQueue
    from suite.workflows.pictures import attach_run_pictures

    source, store = ListQueue(configs), RunStore(run_settings.out)
    with opened_tracking(tracking, run_settings.out, watcher) as delivery:
        with watcher.begin(title, len(configs)) as work:
            ended, stored = 0, set[str]()

            def on_end(run: Suggestion, view: ValidationView | None, reason: str | None) -> None:
                nonlocal ended
                ended += 1
                work.done(ended)

            def on_record(view: ValidationView) -> None:
                stored.add(view.run_id)
                delivery.log_stored(view.run_id)

            run_settings.on_record, run_settings.on_end = on_record, on_end
            is_whole = run_all(source, run_settings)
        say_waiting(run_settings.out, watcher)
        attach_run_pictures(delivery, store.records(sorted(stored)), run_settings.out)
    if not is_whole:
        raise KeyboardInterrupt
    runs = [OpenRun(record, store.folder(record.run_id)) for record in store.records(sorted(stored))]
    return Comparison(runs, _failures([(configs[trial].resolved(), reason) for trial, reason in source.failures.items()]))


def _failures(failed: Sequence[tuple[Mapping[str, Any], str]]) -> list[str]:
    """A refusal of the backbone, say, reaches every method and seed alike, and is said once."""
    runs: dict[str, list[str]] = {}
    for fields, reason in failed:
        reason = in_its_words(fields["method"]["name"], reason)
        runs.setdefault(reason, []).append(
            f"{fields['benchmark']['name']} {method_title(fields['method'])} seed {fields['seed']}"
        )
    return [f"{', '.join(names)}: {reason}" for reason, names in runs.items()]
