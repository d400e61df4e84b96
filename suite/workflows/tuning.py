"""The fair comparison: every method tuned with the same budget, and judged on seeds and orders that no trial used."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from suite.files import atomic_write
from suite.leaderboard.tuned import Tuning
from suite.runs.mirror import RunMirror
from suite.runs.store import RunStore
from suite.runs.validation_view import ValidationView
from suite.tuning.choosing import rule_text
from suite.tuning.cluster import ray_session
from suite.tuning.entrant_queue import EntrantQueue
from suite.tuning.ray_runner import run_all
from suite.tuning.run_queue import JointQueue, Suggestion
from suite.tuning.run_settings import RunSettings
from suite.tuning.sole_driver import sole_driver
from suite.tuning.study import StudyQueue
from suite.tuning.study_result import study_of
from suite.tuning.trials import has_trials
from suite.tuning.tune_config import Entrant, TuneConfig
from suite.tuning.tuning_folder import TuningFolder
from suite.workflows.arguments import Count, PathGiven, SweepGiven, TrackingGiven, WatcherGiven, checked
from suite.workflows.pictures import attach_run_pictures, attach_study
from suite.workflows.places import DATA, OUT, folder_named, results_folder
from suite.workflows.progress import QUIET, Watcher, opened
from suite.workflows.study_notes import note_study
from suite.workflows.sweeping import FILE
from suite.workflows.tracking import opened_tracking, say_waiting
from suite.workflows.tune_files import tune_config
from suite.workflows.tuning_checks import may_begin, require_able, require_budget
from suite.workflows.tunings import read_tuning

if TYPE_CHECKING:
    from suite.tracking.delivery import Delivery


class TuningInterrupted(KeyboardInterrupt):
    """Ctrl-C came during a tuning; ``tuning`` is what was finished, which is stored and logged."""

    def __init__(self, tuning: Tuning) -> None:
        super().__init__()
        self.tuning = tuning


@checked
def tune(
    file: SweepGiven,
    *,
    resume: bool = False,
    limit: Count | None = None,
    address: str | None = None,
    out: PathGiven = OUT,
    data_root: PathGiven = DATA,
    device: str = "auto",
    tracking: TrackingGiven | None = None,
    watcher: WatcherGiven = QUIET,
) -> Tuning:
    """Tune every method on every benchmark with the same budget, then run the default and the chosen setting of each on fresh seeds
    and orders.

    Args:
        file: the path of a tuning's file, or its fields, among them ``name``.
        resume: go on with a tuning that was interrupted; one that is finished is shown.
        limit: rows per split and task at most: data and weights are tried in a tuning of its own, ``<name>-limit-<limit>``.
        address: of a Ray cluster; None = RAY_ADDRESS, else a local Ray.
        out, data_root, device, tracking: as in ``run``.

    Raises:
        SuiteError: a mistake in the file, a tuning that exists or has changed or that another process carries out, before anything
            is trained; no Ray; a full disk.
        TuningInterrupted: Ctrl-C came; what was finished is kept.
    """
    config = tune_config(file, limit)
    run_settings = RunSettings(
        results_folder(out),
        folder_named(data_root),
        device,
        address,
        config.resources,
        config.concurrency,
        carrier=config.carrier,
        storage=config.storage,
        selection=rule_text(config.selection, config.objective),
    )
    return run_tuning(config, run_settings, tracking, resume=resume, watcher=watcher)


def run_tuning(
    config: TuneConfig, run_settings: RunSettings, tracking: str | None, *, resume: bool = False, watcher: Watcher = QUIET
) -> Tuning:
    """Carry out a tuning to its end.

    Raises:
        ConfigError: it exists and may not be continued, its file has changed, or it could not begin.
        TuningInterrupted: Ctrl-C came.
    """
    out = run_settings.out.resolve()
    folder, fields = TuningFolder(out, config.name), config.model_dump(mode="json")
    may_begin(config, folder, fields, out, resume=resume)
    require_able(config, run_settings, watcher)
    RunMirror(run_settings.storage).require_writable()
    if not resume:
        require_budget(config, run_settings, watcher)
    with (
        opened_tracking(tracking, run_settings.out, watcher) as delivery,
        sole_driver(folder.place, config.name, "tuning"),
        _undone_without_trials(config, folder, out, is_new=not resume),
        opened(ray_session(run_settings.address, config.resources), watcher, "starting Ray"),
        ExitStack() as stack,
    ):
        may_begin(config, folder, fields, out, resume=resume)  # another process may have begun it in the meantime
        for entrant in config.entrants:
            if entrant.study is not None:
                stack.enter_context(sole_driver(out / "studies" / entrant.name, entrant.name))
        folder.begin(fields)
        lanes = [_lane(entrant, config, folder, out) for entrant in config.entrants]
        is_whole = _carried(config, lanes, run_settings, delivery, watcher)
        _attach(lanes, folder, delivery, run_settings.out)
        say_waiting(delivery.tracker, watcher)
    tuning = read_tuning(config.name, out, {lane.entrant.name: lane.problem or lane.unjudged for lane in lanes})
    if not is_whole:
        raise TuningInterrupted(tuning)
    return tuning


def _lane(entrant: Entrant, config: TuneConfig, folder: TuningFolder, out: Path) -> EntrantQueue:
    """The queue of one method, with its study begun or gone on with."""
    study = None
    if entrant.study is not None:
        place = out / "studies" / entrant.name
        study = StudyQueue(entrant.study, place, RunStore(out))
        atomic_write(place / FILE, yaml.safe_dump(entrant.study.model_dump(mode="json"), sort_keys=False).encode())
    return EntrantQueue(entrant, study, folder, config.judge.seeds)


def _carried(
    config: TuneConfig, lanes: Sequence[EntrantQueue], run_settings: RunSettings, delivery: Delivery, watcher: Watcher
) -> bool:
    """Carry out all lanes on one Ray, a run of each in turn, with progress and tracking; True when it came to the end."""
    studies = [(lane, lane.study) for lane in lanes if lane.study is not None]
    with watcher.begin(f"tuning {config.name}", _runs(config)) as work:

        def on_end(run: Suggestion, view: ValidationView | None, reason: str | None) -> None:
            lane = lanes[run.lane]
            note = lane.study.best_note() if lane.study and run.study else "judged"
            work.done(sum(lane.runs_ended() for lane in lanes), f"{lane.entrant.benchmark} {lane.entrant.method}: {note}")

        def on_record(run: Suggestion, view: ValidationView) -> None:
            delivery.log_stored(view.run_id, lanes[run.lane].title(run), run.study)

        run_settings.on_record, run_settings.on_end = on_record, on_end
        for _, study in studies:
            delivery.log_study(study.config.name, study.config.model_dump(mode="json"))
        try:
            return run_all(JointQueue(lanes), run_settings)
        finally:
            for lane, study in studies:
                delivery.end_study(study.config.name, finished=lane.is_searched)


def _runs(config: TuneConfig) -> int | None:
    """Trials and judging runs of the whole, at most; None where the budget is a time."""
    if config.budget.trials is None:
        return None
    tuned = [entrant.study is not None for entrant in config.entrants]
    judged = [len(entrant.orders or (None,)) * len(config.judge.seeds) for entrant in config.entrants]
    return sum(tuned) * config.budget.trials + sum((1 + twice) * count for twice, count in zip(tuned, judged, strict=True))


def _attach(lanes: Sequence[EntrantQueue], folder: TuningFolder, delivery: Delivery, out: Path) -> None:
    """Pictures of every study and of the runs that judge."""
    store = RunStore(out)
    for lane in lanes:
        if lane.study is not None:
            note_study(lane.study, out, is_over=lane.is_searched)
            attach_study(delivery, study_of(lane.study), out, is_over=lane.is_searched)
        attach_run_pictures(delivery, store.records(folder.judged(lane.entrant.name).values()), out)


@contextmanager
def _undone_without_trials(config: TuneConfig, folder: TuningFolder, out: Path, *, is_new: bool) -> Iterator[None]:
    """A new tuning that breaks off before its first run has not begun: nothing is left that the same command would trip over."""
    try:
        yield
    except BaseException:
        studies = [out / "studies" / entrant.name for entrant in config.entrants]
        judged = any(folder.judged(entrant.name) for entrant in config.entrants)
        if is_new and not judged and not any(has_trials(study) for study in studies):
            for place in (folder.place, *studies):
                shutil.rmtree(place, ignore_errors=True)
        raise
