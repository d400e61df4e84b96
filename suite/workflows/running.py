"""One stream learned with one method."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from suite.method_titles import method_title
from suite.runs.store import OpenRun, RunStore
from suite.workflows.arguments import Count, PartGiven, PathGiven, SettingsGiven, TrackingGiven, WatcherGiven, checked
from suite.workflows.configs import run_config
from suite.workflows.places import DATA, OUT, folder_named, results_folder
from suite.workflows.progress import QUIET
from suite.workflows.tracking import opened_tracking, track

if TYPE_CHECKING:
    from trainables.run import Report


@dataclass(frozen=True)
class DoneRun(OpenRun):
    """A run as it stands after a call.

    Attributes:
        was_found: it had been finished before the call, which therefore trained nothing.
    """

    was_found: bool = False


@checked
def run(
    what: PathGiven,
    *,
    method: PartGiven | None = None,
    seed: int | None = None,
    settings: SettingsGiven = (),
    limit: Count | None = None,
    out: PathGiven = OUT,
    data_root: PathGiven = DATA,
    device: str = "auto",
    accept_zero_shot: bool = False,
    tracking: TrackingGiven | None = None,
    watcher: WatcherGiven = QUIET,
) -> DoneRun:
    """Learn one stream with one method and store its record.

    A run that was interrupted goes on from its last finished task; one that is finished is returned, not trained again. A run
    that diverges is returned too: its record says ``failed`` and why.

    Args:
        what: a benchmark's name, or the path of a run's YAML config.
        method: by its name; None = the file's own, else ``codyra``.
        seed: root seed; None = the config's own.
        settings: any field of the config, e.g. ``{"method.rank": 8, "training.steps": 100}``.
        limit: rows per split and task at most, as the field ``benchmark.limit`` says; None = the config's own.
        out: folder for runs and caches.
        data_root: folder with the data sets.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:1``.
        accept_zero_shot: train although zero-shot accuracy is not the published one.
        tracking: URI of a tracker; None = MLflow in ``mlflow.db`` in the working folder, ``none`` = off.
        watcher: hears how it goes (``suite.workflows.progress.Watcher``); by itself nobody does.

    Raises:
        SuiteError: a mistake in names, settings or data, before anything is trained.
        KeyboardInterrupt: Ctrl-C came; finished tasks are stored.
    """
    out = results_folder(out)
    config = run_config(what, method=method, seed=seed, settings=settings, limit=limit)
    from trainables.device import choose_device
    from trainables.run import RunContext, execute

    choose_device(device)
    with opened_tracking(tracking, out, watcher) as delivery:
        with watcher.begin(f"{config.benchmark.name} {method_title(config.resolved()['method'])}", None) as work:
            rows: list[int] = []

            def listen(report: Report) -> bool:
                rows.append(report.row)
                work.expect(report.of)
                work.done(report.row)
                return True

            run_context = RunContext(
                out, folder_named(data_root), device, accept_zero_shot=accept_zero_shot, on_step=work.step, say=watcher.say
            )
            record = execute(config, run_context, listen)
        track([record], delivery, watcher)
    return DoneRun(record, RunStore(out).folder(record.run_id), was_found=not rows and record.status == "finished")
