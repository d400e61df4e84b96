"""The runs a table, a picture or a page is made from, out of the tracker that holds them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from suite.counting import counted
from suite.errors import ConfigError, DamagedRun, DataError, nearest
from suite.runs.finding import meant, require_one, run_name
from suite.runs.labels import NONE, Labels
from suite.runs.outcomes import Key, Scores
from suite.runs.record import Record
from suite.runs.store import RunStore
from suite.tracking.tracker import RunFields, RunFolders, Tracker
from suite.tracking.trackers import tracker_faults, tracker_for

Loader = Callable[[int | None], Mapping[Key, Scores]]


@dataclass(frozen=True)
class RunSet:
    """Records, and for each its outcomes when they are asked for (of one row of the matrices or of all).

    Attributes:
        unreadable: one sentence for every stored run that could not be read and is not among them, and whose outcomes could not.
        labels: run id -> tags and note of those that have some.
        study: the one whose runs alone these are; None where no study was asked for.
    """

    records: list[Record]
    loaders: Mapping[str, Loader] = field(default_factory=dict)
    unreadable: list[str] = field(default_factory=list)
    labels: Mapping[str, Labels] = field(default_factory=dict)
    study: str | None = None

    def tags(self, run_ids: Iterable[str]) -> list[str]:
        """The tags of these runs, each once."""
        return list(dict.fromkeys(tag for run_id in run_ids for tag in self.labels.get(run_id, NONE).tags))

    def last_outcomes(self, record: Record) -> Mapping[Key, Scores]:
        """Per-example scores after the last task; empty when the run stored none, or none that can be believed."""
        loader = self.loaders.get(record.run_id)
        try:
            return loader(len(record.tasks)) if loader else {}
        except DamagedRun as error:
            if str(error) not in self.unreadable:
                self.unreadable.append(str(error))
            return {}

    def named(self, name: str) -> Record:
        """The run that ``name`` means, see ``suite.runs.finding``.

        Raises:
            ConfigError: no such run, or several.
        """
        known = {record.run_id: record for record in self.records}
        found = meant(name, known, self.labels, lambda: {run_id: run_name(record) for run_id, record in known.items()})
        nothing = f"is not among the {counted(len(known), 'run')} here; 'codyra-suite runs list' shows ids, names and tags"
        require_one(name, found, nothing)
        return known[found[0]]


def stored_runs(filters: Mapping[str, str | None], out: Path) -> RunSet:
    """``load_runs`` for a caller who looks into the folders below ``out`` and at no tracker."""
    given = {name: value for name, value in filters.items() if value is not None}
    nothing = f"{RunStore(out).place} holds no run; name the folder that --out of the runs was"
    return _kept(RunFolders("none", out), given, nothing=nothing)


def load_runs(tracking: str | None, filters: Mapping[str, str | None], out: Path) -> RunSet:
    """The runs that match ``filters`` (``benchmark``, ``method``, ``study``, ``setting``, ``tag``; None = not filtered).

    Args:
        tracking: URI of a tracker, None for the default one. A tracker that holds no records reads those below ``out``.

    Raises:
        ConfigError: there is no such tracker, nothing is stored, or the filters leave nothing; the message says which one does.
        DataError: something is stored and none of it can be read.
    """
    given = {name: value for name, value in filters.items() if value is not None}
    with tracker_faults(tracking), closing(tracker_for(tracking, out)) as tracker:
        return _kept(tracker, given)


def _kept(tracker: Tracker, given: Mapping[str, str], *, nothing: str | None = None) -> RunSet:
    runs = _runs(tracker, given)
    kept = [record for record in runs.records if RunFields.of(record, tuple(runs.tags([record.run_id]))).match(given)]
    if kept:
        return RunSet(kept, runs.loaders, runs.unreadable, runs.labels, given.get("study"))
    if not runs.records and runs.unreadable:
        raise DataError(
            f"none of the {counted(len(runs.unreadable), 'run')} here can be read; the first one: {runs.unreadable[0]}"
        )
    everything = list(tracker.read_fields())
    if not everything:
        raise ConfigError(f"{nothing or tracker.nothing_stored}.")
    alone = {name: sum(fields.match({name: value}) for fields in everything) for name, value in given.items()}
    shown = " and ".join(f"{name} = '{value}'" for name, value in given.items())
    counts = ", ".join(f"{name} alone leaves {count}" for name, count in alone.items())
    known = {name: {text for fields in everything for text in fields.values(name)} for name in given}
    near = [found for name, value in given.items() if not alone[name] and (found := nearest(value, known[name]))]
    hint = f" (nearest: {', '.join(map(repr, near))})" if near else ""
    raise ConfigError(f"no run matches {shown} ({counts} of {len(everything)}); leave a filter out{hint}.")


def _runs(tracker: Tracker, fields: Mapping[str, str]) -> RunSet:
    unreadable: list[str] = []
    stored = {run.record.run_id: run for run in tracker.read_runs(fields, unreadable)}
    loaders = {name: run.outcomes for name, run in stored.items()}
    return RunSet([run.record for run in stored.values()], loaders, unreadable, tracker.read_labels())
