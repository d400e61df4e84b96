"""Stored runs, and the tables made from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from suite.errors import ConfigError
from suite.leaderboard.ledger import LEDGERS, with_published
from suite.leaderboard.ranking import board
from suite.leaderboard.runs import Loader, RunSet, load_runs, stored_runs
from suite.runs.finding import find_run, run_name
from suite.runs.labels import NONE, Labels, read_labels
from suite.runs.record import Record
from suite.runs.store import OpenRun, RunStore
from suite.tracking.trackers import tracker_for
from suite.workflows.arguments import PathGiven, TrackingGiven, WatcherGiven, checked
from suite.workflows.places import OUT, folder_named
from suite.workflows.progress import QUIET
from suite.workflows.tracking import say_unreadable, say_waiting

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class StoredRun(OpenRun):
    """A stored run with the tags and the note that people gave it."""

    labels: Labels = NONE

    @property
    def name(self) -> str:
        """What trackers call it: ``mini-mtil codyra seed 0``."""
        return run_name(self.record)


def stored_run(name: str, out: Path) -> StoredRun:
    """The run that ``name`` means, see ``suite.runs.finding``.

    Raises:
        SuiteError: no such run, several, or a damaged one.
    """
    run = find_run(RunStore(out), name)
    return StoredRun(run.record, run.folder, read_labels(run.folder))


@checked
def runs(
    *,
    benchmark: str | None = None,
    method: str | None = None,
    setting: str | None = None,
    study: str | None = None,
    tag: str | None = None,
    out: PathGiven = OUT,
    watcher: WatcherGiven = QUIET,
) -> list[StoredRun]:
    """The runs below ``out``, finished or not, in the order of their ids; of those that cannot be read the watcher is told.

    Args:
        benchmark, method, study: only runs of it.
        setting: only settings that hold this text, e.g. ``order II``.
        tag: only runs that have it.

    Raises:
        SuiteError: there is no run, or none that matches; the message says which filter leaves none.
    """
    filters = {"benchmark": benchmark, "method": method, "setting": setting, "study": study, "tag": tag}
    found, store = stored_runs(filters, folder_named(out)), RunStore(folder_named(out))
    say_unreadable(found.unreadable, watcher)
    labels = found.labels
    return [StoredRun(record, store.folder(record.run_id), labels.get(record.run_id, NONE)) for record in found.records]


@checked
def leaderboard(
    *,
    benchmark: str | None = None,
    method: str | None = None,
    setting: str | None = None,
    study: str | None = None,
    tag: str | None = None,
    convention: str | None = None,
    per_task: bool = False,
    pool_orders: bool = False,
    published: bool = False,
    all_trials: bool = False,
    selection: str | None = None,
    out: PathGiven = OUT,
    tracking: TrackingGiven | None = None,
    watcher: WatcherGiven = QUIET,
) -> pd.DataFrame:
    """Mean and spread per benchmark, method and setting; docs/leaderboard.md describes the columns.

    Args:
        benchmark, method, setting, study, tag: as in ``runs``.
        convention: recompute every row under it: ``zscl``, ``rail``, ``trace``, ``gem``, ...
        per_task: add the accuracy on each task after the last one.
        pool_orders: one row for all orders of a stream.
        published: add published numbers of the benchmarks shown (or of ``benchmark``).
        all_trials: every trial of a study, not only the chosen one.
        selection: rule that chooses every study's trial: ``two-phase``, ``current-task``, ``first-task`` or ``oracle``.
        out: folder of the runs, read with ``tracking="none"``.
        tracking: URI of the tracker that the runs are read from; None = MLflow in ``mlflow.db`` in the working folder.

    Raises:
        SuiteError: nothing is stored, or the filters leave nothing.
    """
    say_waiting(tracker_for(tracking, folder_named(out)), watcher)
    filters = {"benchmark": benchmark, "method": method, "setting": setting, "study": study, "tag": tag}
    found = _shown_runs(tracking, filters, folder_named(out), is_optional=published and benchmark in LEDGERS)
    frame = board(
        found,
        convention,
        all_trials=all_trials,
        per_task=per_task,
        pool_orders=pool_orders,
        selection_rule=selection,
    )
    say_unreadable(found.unreadable, watcher)  # last: outcomes were read for the marks
    if published:
        return with_published(frame, [benchmark] if benchmark else [str(name) for name in frame["benchmark"]])
    return frame


@checked
def reproduction(
    *,
    benchmark: str | None = None,
    method: str | None = None,
    setting: str | None = None,
    study: str | None = None,
    tag: str | None = None,
    out: PathGiven = OUT,
    tracking: TrackingGiven | None = None,
    watcher: WatcherGiven = QUIET,
) -> pd.DataFrame:
    """Published means of ``benchmark`` (or of all that have some) with the verdict on own runs; arguments as in ``leaderboard``.

    Raises:
        SuiteError: nothing is published for the benchmark.
    """
    from suite.leaderboard.reproduction import own_frame, reproduction_frame

    say_waiting(tracker_for(tracking, folder_named(out)), watcher)
    if benchmark is not None and benchmark not in LEDGERS:
        raise ConfigError(f"leaderboard: no published numbers for '{benchmark}'; there are some for {', '.join(LEDGERS)}.")
    filters = {"benchmark": benchmark, "method": method, "setting": setting, "study": study, "tag": tag}
    found = _shown_runs(tracking, filters, folder_named(out), is_optional=True)
    return reproduction_frame(own_frame(found.records), found.records, [benchmark] if benchmark else list(LEDGERS))


def named_runs(names: Sequence[str], filters: Mapping[str, str | None], out: Path, tracking: str | None) -> RunSet:
    """The named runs (below ``out``, else in MLflow; ``suite.runs.finding`` says what names one), or without names what is stored under the filters.

    Raises:
        SuiteError: one of them is nowhere, or the filters leave nothing.
    """
    if not names:
        return load_runs(tracking, filters, out)
    records: list[Record] = []
    loaders: dict[str, Loader] = {}
    missing: list[str] = []
    for name in names:
        try:
            run = find_run(RunStore(out), name)
        except ConfigError:
            missing.append(name)
        else:
            records.append(run.record)
            loaders[run.record.run_id] = run.outcomes
    if missing:
        stored = load_runs(tracking, {}, out)
        for name in missing:
            record = stored.named(name)
            records.append(record)
            loaders[record.run_id] = stored.loaders[record.run_id]
    return RunSet(records, loaders)


def _shown_runs(tracking: str | None, filters: Mapping[str, str | None], out: Path, *, is_optional: bool) -> RunSet:
    """The runs under the filters; none of them is no mistake where published numbers can be read without any own run."""
    try:
        return load_runs(tracking, filters, out)
    except ConfigError:
        if not is_optional:
            raise
        return RunSet([])
