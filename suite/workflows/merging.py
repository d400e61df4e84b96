"""Published folders of several groups on one board: every run is checked, and what contradicts itself is named and on none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from suite.counting import counted
from suite.errors import ConfigError
from suite.leaderboard.ranking import board
from suite.leaderboard.selection import headline, metric_value
from suite.runs.finding import run_name
from suite.runs.publication import conflicts, copy_run, joined_groups, read_publication, run_faults
from suite.runs.record import Record, setting_text
from suite.runs.store import OpenRun, RunStore
from suite.workflows.arguments import Names, PathGiven, WatcherGiven, checked
from suite.workflows.places import folder_named
from suite.workflows.progress import QUIET
from suite.workflows.publishing import begin, finish, publishable, run_set_of
from suite.workflows.reporting import report

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Merged:
    """One board of several published folders; ``remarks`` what the page says of the whole."""

    frame: pd.DataFrame
    groups: Mapping[str, Sequence[str]]
    remarks: Sequence[str]


@dataclass
class _Gathered:
    """Runs of several folders: id -> where it lies and who published it."""

    runs: dict[str, OpenRun] = field(default_factory=dict)
    groups: dict[str, tuple[str, ...]] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)


@checked
def merge(
    folders: Names,
    *,
    to: PathGiven | None = None,
    convention: str | None = None,
    pool_orders: bool = False,
    per_task: bool = False,
    all_trials: bool = False,
    selection: str | None = None,
    watcher: WatcherGiven = QUIET,
) -> Merged:
    """One board of several published folders, every run of which is checked first.

    A run that two folders have with the same numbers counts once. With different numbers it is a conflict: it is named, and in no
    table. Rows of other data or code stand apart, which is said.

    Args:
        folders: published folders.
        to: also publish what was merged into this folder.
        convention, pool_orders, per_task, all_trials, selection: as in ``leaderboard``.

    Raises:
        SuiteError: one of the folders is none or has another schema, or no run is left.
    """
    places = [folder_named(folder) for folder in folders]
    target = None if to is None else publishable(to)
    if target is not None and target.resolve() in [place.resolve() for place in places]:
        raise ConfigError(f"merge: {target} is one of the folders that are merged; publish what they come to into another one.")
    gathered = _gathered(places)
    for remark in gathered.remarks:
        watcher.say(f"merge: {remark}.")
    if not gathered.runs:
        raise ConfigError(f"merge: no run of {counted(len(places), 'folder')} can be believed; the lines above say why.")
    how: dict[str, Any] = {"pool_orders": pool_orders, "per_task": per_task, "all_trials": all_trials}
    frame = board(run_set_of(gathered.runs), convention, selection_rule=selection, **how)
    if target is not None:
        begin(target, gathered.runs.keys())
        store = RunStore(target)
        files = {run_id: copy_run(run.folder, store.folder(run_id)) for run_id, run in gathered.runs.items()}
        asked: dict[str, Any] = {"out": target, "tracking": "none", "watcher": watcher, "examples": False}
        finish(
            target, files, gathered.groups, gathered.remarks, lambda file, name: report(file, **{**asked, "benchmark": name})
        )
    return Merged(frame, gathered.groups, gathered.remarks)


def _gathered(folders: Sequence[Path]) -> _Gathered:
    publications = [read_publication(folder) for folder in folders]  # all of them before one run is read
    found, refused = _Gathered(), set[str]()
    for folder, publication in zip(folders, publications, strict=True):
        for run_id, promised in publication.runs.items():
            if faults := run_faults(folder, run_id, promised):
                found.remarks.append(
                    f"left out: run {run_id} of {', '.join(promised.groups)} in {folder}: {'; '.join(faults)}".rstrip(".")
                )
                continue
            run = RunStore(folder).open(run_id)
            assert run is not None
            _add(found, refused, run, promised.groups)
    found.remarks += _apart(found)
    return found


def _add(found: _Gathered, refused: set[str], run: OpenRun, groups: Sequence[str]) -> None:
    run_id = run.record.run_id
    before, others = found.runs.get(run_id), found.groups.get(run_id, ())
    if run_id in refused:
        return
    if before is not None and (differing := conflicts(before.record, run.record)):
        refused.add(run_id)
        del found.runs[run_id], found.groups[run_id]
        said = [f"{', '.join(who)} {_said(one.record)}" for who, one in ((others, before), (groups, run))]
        found.remarks.append(
            f"conflict: run {run_id} ({run_name(run.record)}) differs in {', '.join(differing)}, {' and '.join(said)}; it is in no table"
        )
        return
    if before is None or before.record.status != "finished":
        found.runs[run_id] = run
    found.groups[run_id] = joined_groups((*others, *groups))


def _said(record: Record) -> str:
    name = headline(record.metrics)
    return f"{name} {metric_value(record, name):.2f}"


def _apart(found: _Gathered) -> list[str]:
    """Streams that groups have with different data, and methods that they have run with different code."""
    data: dict[tuple[str, ...], dict[str, set[str]]] = {}
    code: dict[tuple[str, ...], dict[str, set[str]]] = {}
    for run_id, run in found.runs.items():
        record = run.record
        stream = (record.benchmark, setting_text(record.setting))
        data.setdefault(stream, {}).setdefault(record.data_fingerprint[:12], set()).update(found.groups[run_id])
        code.setdefault((*stream, record.method), {}).setdefault(record.code_version, set()).update(found.groups[run_id])
    return [
        f"{' '.join(filter(None, what))}: rows of different {kind} stand apart ({_versions(versions)})"
        for kind, found_versions in (("data", data), ("code", code))
        for what, versions in found_versions.items()
        if len(versions) > 1
    ]


def _versions(versions: Mapping[str, set[str]]) -> str:
    return "; ".join(f"{name} of {', '.join(sorted(who))}" for name, who in sorted(versions.items()))
