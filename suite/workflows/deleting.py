"""Stored runs deleted: all or none, never half of one."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from suite.errors import ConfigError, SuiteError
from suite.proxies import without_password
from suite.runs.finding import find_run
from suite.runs.record import Record
from suite.runs.removal import remove_run, require_unowned
from suite.runs.store import RunStore
from suite.tracking.tracker import Tracker
from suite.tracking.trackers import tracker_for
from suite.tuning.sole_driver import require_undriven
from suite.tuning.tuning_folder import TuningFolder, tuning_names
from suite.workflows.arguments import Names, PathGiven, TrackingGiven, checked
from suite.workflows.places import OUT, folder_named


def deletable(names: Iterable[str], out: Path) -> list[Record]:
    """The runs that ``names`` mean, none of which anybody is working on.

    Raises:
        SuiteError: no such run, one outside ``out``, or one that a living process writes or searches with.
    """
    store, found = RunStore(out), {}
    tunings = [TuningFolder(out, name) for name in tuning_names(out)]
    for name in names:
        run = find_run(store, name)
        record = run.record
        if run.folder.resolve() != store.folder(record.run_id).resolve():
            raise ConfigError(f"run '{name}': does not lie below {store.place}; name the folder above its 'runs' as --out.")
        require_unowned(store, record.run_id)
        for study in record.trials:
            require_undriven(out / "studies" / study, f"run {record.run_id}: is not deleted, study '{study}' needs it")
        for tuning in tunings:
            if record.run_id in tuning.judging_runs():
                what = f"run {record.run_id}: is not deleted, it judges a method of tuning '{tuning.place.name}'"
                require_undriven(tuning.place, what)
        found[record.run_id] = record
    return list(found.values())


@checked
def delete(names: Names, *, out: PathGiven = OUT, tracking: TrackingGiven | None = None) -> list[str]:
    """Delete runs with all their files, and show them no more in the tracker; returns their ids.

    Nothing is asked. A run is moved away in one step before its files are removed. MLflow keeps what was deleted there until ``mlflow gc``.

    Args:
        names: as in ``tag``.
        out, tracking: as in ``run``.

    Raises:
        SuiteError: no such run, one that a living process writes, or a tracker that does not answer; nothing has been deleted then.
    """
    folder = folder_named(out)
    records = deletable(names, folder)
    tracker = tracker_for(tracking, folder)
    for record in records:
        _forget(tracker, record.run_id)  # first: what is here still can be named again
        remove_run(RunStore(folder), record.run_id)
    tracker.close()
    return [record.run_id for record in records]


def _forget(tracker: Tracker, run_id: str) -> None:
    try:
        tracker.forget(run_id)
    except SuiteError:
        raise
    except Exception as error:  # of a library or a server that the suite knows nothing of
        raise SuiteError(
            f"tracking '{without_password(tracker.uri)}': cannot forget run {run_id} ({tracker.reason_of(error)}), which therefore is not "
            "deleted; start the server, or delete the run here alone with --tracking none."
        ) from error
