"""Tags and notes of runs: what people write beside a record. Trackers show them, and nothing that was recorded is touched."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from suite.runs.finding import find_run
from suite.runs.labels import Labels, change_labels, read_labels
from suite.runs.store import OpenRun, RunStore
from suite.tracking.about import About
from suite.tracking.delivery import Delivery
from suite.tracking.trackers import tracker_for
from suite.workflows.arguments import Names, PathGiven, RunName, TrackingGiven, WatcherGiven, checked
from suite.workflows.places import OUT, folder_named
from suite.workflows.progress import QUIET, Watcher
from suite.workflows.tables import StoredRun
from suite.workflows.tracking import say_waiting


@checked
def tag(
    names: Names,
    tags: Names,
    *,
    remove: bool = False,
    out: PathGiven = OUT,
    tracking: TrackingGiven | None = None,
    watcher: WatcherGiven = QUIET,
) -> list[StoredRun]:
    """Give tags to runs, or take them away.

    Args:
        names: ids of runs, unique beginnings of some, names, tags that one run alone has, or run folders.
        tags: a word or a few, without commas, 64 characters at most.
        remove: take these tags away; one that a run has not is none to take.
        out, tracking: as in ``run``. A tracker that knows the run shows its tags.

    Raises:
        SuiteError: no such run, or no tag; nothing has been changed then.
    """

    def changed(before: Labels) -> Labels:
        kept = tuple(one for one in before.tags if one not in tags)
        return Labels.checked(kept if remove else (*before.tags, *tags), before.note)

    return _labelled([*names], changed, folder_named(out), tracking, watcher)


@checked
def note(
    name: RunName, text: str, *, out: PathGiven = OUT, tracking: TrackingGiven | None = None, watcher: WatcherGiven = QUIET
) -> StoredRun:
    """Write the note of a run in the place of the one it has; an empty text removes it.

    Args:
        name: the run, as ``tag`` takes it.
        out, tracking: as in ``tag``.
        text: plain text, 4000 characters at most; pages show it as text, whatever it holds.

    Raises:
        SuiteError: no such run, or a text that is too long; nothing has been changed then.
    """

    def changed(before: Labels) -> Labels:
        return Labels.checked(before.tags, text.strip())

    return _labelled([name], changed, folder_named(out), tracking, watcher)[0]


def _labelled(
    names: Sequence[str], changed: Callable[[Labels], Labels], out: Path, tracking: str | None, watcher: Watcher
) -> list[StoredRun]:
    """The runs with their labels changed: all of them are found, and the words proved on each, before one is changed."""
    runs: dict[str, OpenRun] = {}
    for name in names:
        run = find_run(RunStore(out), name)
        runs[run.record.run_id] = run
    for run in runs.values():
        changed(read_labels(run.folder))
    found = [StoredRun(run.record, run.folder, change_labels(run.folder, changed)) for run in runs.values()]
    _show(found, out, tracking, watcher)
    return found


def _show(runs: Sequence[StoredRun], out: Path, tracking: str | None, watcher: Watcher) -> None:
    """Tell the tracker of the runs below ``out``, where it has been told of runs before; what is away is told later.

    A run that goes on is told of by its own driver, with its labels.
    """
    tracker = tracker_for(tracking, out)
    place = tracker.local_place(tracker.uri)
    if place is not None and not place.exists():
        return  # no run was ever logged there
    store = RunStore(out)
    with Delivery(tracker) as delivery:
        for run in runs:
            is_here = run.folder.resolve() == store.folder(run.record.run_id).resolve()
            if is_here and run.record.status != "running":
                delivery.log_run(run.record, About())
    say_waiting(tracker, watcher)
