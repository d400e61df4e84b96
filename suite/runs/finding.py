"""Which run a name means: a folder, an id or the beginning of one, a tag, or the name under which trackers show the run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from suite.errors import ConfigError
from suite.runs.labels import Labels, all_labels
from suite.runs.record import RECORD, Record
from suite.runs.record_shape import require_shape, shape_fault
from suite.runs.store import OpenRun, RunStore

SHOWN = 5


def run_name(record: Record) -> str:
    """As people and trackers call a run: ``mini-mtil codyra seed 0``; runs with other settings may have the same name."""
    return f"{record.benchmark} {record.method} seed {record.config['seed']}"


def find_run(store: RunStore, name: str) -> OpenRun:
    """The run ``name``: the path of its folder, its id or a unique beginning of it, a tag or a name (or its beginning) that it alone has.

    Raises:
        ConfigError: no such run, or several.
        DamagedRun: it is damaged.
    """
    found = _found(store, name)
    require_shape(found.record, str(found.folder / RECORD))
    return found


def _found(store: RunStore, name: str) -> OpenRun:
    if (Path(name) / RECORD).is_file():
        return store.find(name)
    ids = [path.parent.name for path in sorted(store.place.glob(f"*/{RECORD}"))]
    found = meant(name, ids, all_labels(store.place), lambda: _names(store))
    require_one(name, found, f"no such run below {store.place}; 'codyra-suite runs list' shows ids, names and tags")
    return store.find(found[0])


def _names(store: RunStore) -> dict[str, str]:
    whole = (run.record for run in store.all().runs if shape_fault(run.record) is None)
    return {record.run_id: run_name(record) for record in whole}


def meant(name: str, ids: Iterable[str], labels: Mapping[str, Labels], names: Callable[[], Mapping[str, str]]) -> list[str]:
    """Ids of the runs that ``name`` may mean.

    An id, else all whose id begins like this and all that have this tag, else those with this name, else those whose name begins
    like this. ``names`` are read only where nothing else is found.
    """
    known = list(ids)
    if name in known:
        return [name]
    if found := [run_id for run_id in known if run_id.startswith(name) or name in labels.get(run_id, Labels()).tags]:
        return found
    called = names()
    whole = [run_id for run_id in known if called.get(run_id) == name]
    return whole or [run_id for run_id in known if called.get(run_id, "").startswith(name)]


def require_one(name: str, found: list[str], nothing: str) -> None:
    """Refuse what means no run, ``nothing`` says where it was looked for, or several.

    Raises:
        ConfigError: naming the first of them.
    """
    if not found or not name:
        raise ConfigError(f"run '{name}': {nothing}.")
    if len(found) > 1:
        shown = ", ".join(found[:SHOWN]) + (", ..." if len(found) > SHOWN else "")
        how = "begin like this" if all(run_id.startswith(name) for run_id in found) else "are called like this"
        raise ConfigError(f"run '{name}': {len(found)} runs {how} ({shown}); give more of the id.")
