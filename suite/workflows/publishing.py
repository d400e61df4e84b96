"""Runs shown to others: a folder that any web server can show, and a check of such a folder."""

from __future__ import annotations

import getpass
import json
import os
import re
import shutil
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from suite import __version__
from suite.errors import ConfigError, SuiteError
from suite.files import atomic_write
from suite.leaderboard.ranking import board
from suite.leaderboard.runs import RunSet, load_runs
from suite.runs.finding import run_name
from suite.runs.labels import Labels, read_labels
from suite.runs.outcomes import write_outcomes
from suite.runs.publication import (
    FILES,
    MANIFEST,
    Publication,
    PublishedRun,
    copy_run,
    group_named,
    read_publication,
    run_faults,
    write_publication,
)
from suite.runs.record import Record, write_record
from suite.runs.record_shape import shape_fault
from suite.runs.store import OpenRun, RunStore
from suite.workflows.arguments import PathGiven, TrackingGiven, WatcherGiven, checked
from suite.workflows.places import OUT, folder_named, results_folder
from suite.workflows.progress import QUIET
from suite.workflows.reporting import report
from suite.workflows.tracking import say_unreadable

if TYPE_CHECKING:
    import pandas as pd

MOST_REPORTED = 100  # rows of a benchmark; the pictures of more take minutes and nobody reads them


@dataclass(frozen=True)
class Published:
    """What was published.

    Attributes:
        remarks: what the page says of the whole: runs that were left out, conflicts, different data or code.
    """

    folder: Path
    runs: int
    rows: int
    remarks: Sequence[str]


@dataclass(frozen=True)
class Verified:
    """One run of a published folder and what is wrong with it."""

    run_id: str
    name: str
    faults: Sequence[str]


@checked
def publish(
    to: PathGiven,
    *,
    group: str,
    benchmark: str | None = None,
    method: str | None = None,
    setting: str | None = None,
    study: str | None = None,
    tag: str | None = None,
    out: PathGiven = OUT,
    tracking: TrackingGiven | None = None,
    watcher: WatcherGiven = QUIET,
) -> Published:
    """Write runs that have ended into a folder that any web server shows: board, reports, records, outcomes of every example.

    Weights stay where they are. Records name the processor, library versions and paths of weights; look through them before
    the folder leaves the house.

    Args:
        to: a new folder, or one that was published before, which then holds these runs and no others.
        group: who publishes, as the board shows it.
        benchmark, method, setting, study, tag, out, tracking: as in ``leaderboard``.

    Raises:
        SuiteError: nothing is stored, the filters leave nothing, or the folder holds something else.
    """
    group_named(group)
    target, out = publishable(to), folder_named(out)
    if target.resolve() == out.resolve():
        raise ConfigError(f"publish: {target} is the folder of these runs itself; name another one, so that no run of it goes.")
    filters = {"benchmark": benchmark, "method": method, "setting": setting, "study": study, "tag": tag}
    found = load_runs(tracking, filters, out)
    say_unreadable(found.unreadable, watcher)
    ended = [record for record in found.records if record.status != "running"]
    if not ended:
        raise ConfigError("publish: every run of these is still going on; wait for one to end.")
    remarks = [f"{record.run_id}: is still going on and was left out" for record in found.records if record.status == "running"]
    left_out = _left_out(ended, out)
    ended = [record for record in ended if record.run_id not in left_out]
    if not ended:
        raise ConfigError(f"publish: no run can be believed: {'; '.join(left_out.values())}.")
    remarks += left_out.values()
    begin(target, [record.run_id for record in ended])
    local = RunStore(out)

    def place(record: Record) -> dict[str, str]:
        folder = RunStore(target).folder(record.run_id)
        here = local.folder(record.run_id)
        if local.records([record.run_id]):
            return copy_run(here, folder)
        write_record(record, folder)  # the tracker alone has it
        if outcomes := dict(found.loaders[record.run_id](None)):
            write_outcomes(outcomes, folder)
        return copy_run(folder, folder)

    files = {record.run_id: place(record) for record in ended}
    groups = dict.fromkeys(files, (group,))
    place_of_runs = {"out": target, "tracking": "none"} if left_out else {"out": out, "tracking": tracking}
    asked: dict[str, Any] = {**filters, **place_of_runs, "watcher": watcher, "examples": False}
    return finish(target, files, groups, remarks, lambda file, name: report(file, **{**asked, "benchmark": name}))


def _left_out(records: Sequence[Record], out: Path) -> dict[str, str]:
    """Why some runs that are stored below ``out`` are not published: what ``verify`` would say of them, or one of their files is a link."""
    store, found = RunStore(out), {}
    for run_id in (run.run_id for run in store.records(record.run_id for record in records)):
        links = [f"{name} is a link; put the file itself there" for name in FILES if (store.folder(run_id) / name).is_symlink()]
        if faults := links or run_faults(out, run_id, None):
            found[run_id] = f"run {run_id} was left out: {'; '.join(faults)}".rstrip(".")
    return found


@checked
def verify(folder: PathGiven) -> list[Verified]:
    """Check every run of a published folder, or of an output folder: files, checksums, numbers against outcomes, tags, identity.

    Args:
        folder: that ``publish`` or ``merge`` wrote, or the ``out`` of runs.

    Raises:
        SuiteError: it holds no runs, or its ``publication.json`` is damaged or of another schema.
    """
    place = folder_named(folder)
    promised = read_publication(place).runs if os.path.lexists(place / MANIFEST) else {}
    there = {path.name for path in RunStore(place).place.glob("*") if path.is_dir()}
    if not there and not promised:
        raise ConfigError(f"{place}: holds neither runs nor {MANIFEST}; give a published folder, or the --out of runs.")
    found = []
    for run_id in sorted(there | promised.keys()):
        faults = run_faults(place, run_id, promised.get(run_id))
        faults += [f"{MANIFEST} does not name it"] if promised and run_id not in promised else []
        records = [record for record in RunStore(place).records([run_id]) if shape_fault(record) is None]
        found.append(Verified(run_id, run_name(records[0]) if records else "", faults))
    return found


def publishable(to: Path | str) -> Path:
    """The folder to publish into.

    Raises:
        ConfigError: it cannot be written, or holds something else than a publication.
    """
    target = results_folder(to, "--publish")
    if target.is_dir() and any(target.iterdir()):
        if not (target / MANIFEST).is_file():
            raise ConfigError(f"{target}: holds something else than published runs; name a new folder with --publish.")
        read_publication(target)
    return target


def begin(target: Path, run_ids: Collection[str]) -> None:
    """Mark a new folder as a publication before anything else lies in it, so that one that was broken off can be written again.

    Args:
        run_ids: of the runs that will be published.

    Raises:
        ConfigError: it holds other runs that were never published, such as one that was trained there: publishing would delete them.
    """
    promised = read_publication(target).runs.keys() if (target / MANIFEST).is_file() else set()
    there = {path.name for path in RunStore(target).place.glob("*") if path.is_dir()}
    if own := sorted(there - promised - set(run_ids)):
        raise ConfigError(
            f"{target}: holds runs that were not published there ({', '.join(own[:3])}{', ...' if len(own) > 3 else ''}); move them to another "
            "folder, or name a new one with --publish."
        )
    if not (target / MANIFEST).is_file():
        write_publication(Publication(suite=__version__, made_at=datetime.now(UTC)), target)


def finish(
    target: Path,
    files: Mapping[str, Mapping[str, str]],
    groups: Mapping[str, Sequence[str]],
    remarks: Sequence[str],
    write_report: Callable[[Path, str], object],
) -> Published:
    """Pages and the promise over runs that are in their places; what an earlier publication had more of goes."""
    store = RunStore(target)
    for stale in store.place.glob("*"):
        if stale.name not in files:
            shutil.rmtree(stale)
    runs = {run_id: PublishedRun(groups=tuple(groups[run_id]), files=dict(found)) for run_id, found in files.items()}
    moment = datetime.now(UTC)
    write_publication(Publication(suite=__version__, made_at=moment, runs=runs), target)
    run_set = run_set_of({run.record.run_id: run for run in store.all().runs})
    frame = board(run_set)
    shutil.rmtree(target / "reports", ignore_errors=True)
    reports, more = _reports(frame, target, write_report)
    made = f"{moment:%Y-%m-%d %H:%M} UTC by codyra-suite {__version__}"
    _write_pages(target, frame, run_set, groups, made, [*remarks, *more], reports)
    return Published(target, len(files), len(frame), [*remarks, *more])


def _write_pages(
    target: Path,
    frame: pd.DataFrame,
    run_set: RunSet,
    groups: Mapping[str, Sequence[str]],
    made: str,
    remarks: Sequence[str],
    reports: Mapping[str, str],
) -> None:
    from suite.leaderboard.board_page import board_html
    from suite.leaderboard.export import to_csv

    html = board_html(frame, run_set, groups, made=made, remarks=remarks, reports=reports)
    rows = json.loads(frame.to_json(orient="records"))
    atomic_write(target / "board.csv", to_csv(frame).encode())
    atomic_write(target / "board.json", (json.dumps(rows, indent=1, ensure_ascii=False) + "\n").encode())
    atomic_write(target / "index.html", html.encode())


def _reports(frame: pd.DataFrame, target: Path, write: Callable[[Path, str], object]) -> tuple[dict[str, str], list[str]]:
    """A report for each benchmark that few enough rows are of: its address, and what is said of the others."""
    reports, remarks = {}, []
    for name, part in frame.groupby("benchmark", sort=False):
        if len(part) > MOST_REPORTED:
            remarks.append(
                f"{name}: {len(part)} rows are too many for a report; 'codyra-suite report' makes one of some of them"
            )
            continue
        file = f"{re.sub(r'[^A-Za-z0-9._-]', '_', str(name))}.html"
        (target / "reports").mkdir(exist_ok=True)
        try:
            write(target / "reports" / file, str(name))
        except SuiteError as error:
            remarks.append(f"{name}: no report ({str(error).rstrip('.')})")
            continue
        reports[str(name)] = f"reports/{file}"
    return reports, remarks


def run_set_of(runs: Mapping[str, OpenRun]) -> RunSet:
    """Runs with their outcomes and labels, as tables take them."""
    labels = {run_id: found for run_id, run in runs.items() if (found := _labels(run.folder))}
    loaders = {run_id: run.outcomes for run_id, run in runs.items()}
    return RunSet([run.record for run in runs.values()], loaders, [], labels)


def _labels(folder: Path) -> Labels:
    try:
        return read_labels(folder)
    except SuiteError:
        return Labels()


def user() -> str:
    """Who publishes where nobody says it: the user who is logged in."""
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):  # containers without a user database
        return "unknown"
