"""Records out of MLflow again: everything that tables and pictures are made from. No other state is read."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlparse
from urllib.request import url2pathname

from suite.errors import SuiteError
from suite.proxies import without_password
from suite.runs.checks import require_outcomes
from suite.runs.labels import Labels
from suite.runs.outcomes import FORMER, OUTCOMES, Key, Scores, unpack
from suite.runs.record import RECORD, Record, parse_record
from suite.runs.record_shape import require_shape
from suite.tracking.mlflow_client import EXPERIMENT, connect, is_away, quiet_mlflow, quoted, reason_of
from suite.tracking.mlflow_entries import ASKED, NOTE, RUN_ID, STORED, TAGS, Condition, conditions, fields_of, labels_of
from suite.tracking.mlflow_file import FoundRun, MlflowFile
from suite.tracking.mlflow_place import database_file, follow_move
from suite.tracking.tracker import RunFields

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

KIND: Condition = ("codyra.kind", "=", "run")
DOWNLOADS_AT_A_TIME = 8
PAGE = 1000


@dataclass(frozen=True)
class Place:
    """A tracking URI that MLflow is asked about when it has to be: loading it takes longer than reading hundreds of runs."""

    uri: str

    @cached_property
    def client(self) -> MlflowClient:
        return connect(self.uri)


@dataclass(frozen=True)
class Artifacts:
    """Files of one MLflow run: read in place where the store is a folder of this machine, else fetched when asked for."""

    place: Place
    run_id: str
    folder: Path | None
    scratch: tempfile.TemporaryDirectory[str]

    def path(self, name: str) -> Path | None:
        """The file ``name``, or None when the run has no such artifact."""
        if self.folder is not None:
            found = self.folder / name
            return found if found.is_file() else None
        with quiet_mlflow():
            client = self.place.client
            names = {entry.path for entry in client.list_artifacts(self.run_id)}
            if name not in names:
                return None
            target = Path(tempfile.mkdtemp(dir=self.scratch.name))
            return Path(client.download_artifacts(self.run_id, name, str(target)))


@dataclass(frozen=True)
class StoredRun:
    """A record as MLflow holds it. Outcomes are read when asked for."""

    record: Record
    mlflow_run_id: str
    files: Artifacts = field(repr=False)

    def outcomes(self, row: int | None = None) -> dict[Key, Scores]:
        """Per-example scores, of one row of the matrices or of all; empty when the run stored none.

        Raises:
            DamagedRun: the stored file is not an outcomes file, or not this record's.
        """
        path, where = self.files.path(OUTCOMES) or self.files.path(FORMER), f"MLflow run {self.mlflow_run_id}"
        if path is None:
            return {}
        found = unpack(path.read_bytes(), where=where, row=row)
        require_outcomes(self.record, found, where=where, row=row)
        return found


def read_runs(
    uri: str, *, filters: Mapping[str, str] | None = None, unreadable: list[str] | None = None
) -> Iterator[StoredRun]:
    """Every stored record that may match ``filters`` (as ``RunFields.match`` reads them), newest first, each run id once.

    Args:
        unreadable: takes a sentence for every run whose record cannot be read.

    Raises:
        SuiteError: the tracking server cannot be reached or refuses.
    """
    database = database_file(uri)
    if database is not None and not database.is_file():
        return
    scratch = tempfile.TemporaryDirectory(prefix="codyra-mlflow-")
    seen: set[str] = set()
    with quiet_mlflow():
        place, asked = Place(uri), [[KIND], *(conditions(name, value) for name, value in (filters or {}).items())]
        found = None if database is None else _in_file(database).runs(asked)
        runs = search(place, asked) if found is None else found
        with ThreadPoolExecutor(DOWNLOADS_AT_A_TIME) as pool:
            for stored in pool.map(lambda run: _stored(place, run, scratch), runs):
                if isinstance(stored, str):
                    if unreadable is not None:
                        unreadable.append(stored)
                elif stored.record.run_id not in seen:
                    seen.add(stored.record.run_id)
                    yield stored


def read_fields(uri: str) -> Iterator[RunFields]:
    """Of every run that was logged whole what it can be asked for by; no record is read.

    Raises:
        SuiteError: as ``read_runs``.
    """
    database = database_file(uri)
    if database is not None and not database.is_file():
        return
    with quiet_mlflow():
        tags = None if database is None else _in_file(database).tags(ASKED, KIND)
        found = [run.data.tags for run in _runs(Place(uri), (KIND,))] if tags is None else tags
    yield from filter(None, map(fields_of, found))


def read_labels(uri: str) -> dict[str, Labels]:
    """Run id -> tags and note of every run that has some.

    Raises:
        SuiteError: as ``read_runs``.
    """
    database = database_file(uri)
    if database is not None and not database.is_file():
        return {}
    with quiet_mlflow():
        told = None if database is None else _in_file(database).tags((RUN_ID, TAGS, NOTE), KIND)
        found = [run.data.tags for run in _runs(Place(uri), (KIND, (TAGS, "ILIKE", "%")))] if told is None else told
    return {tags[RUN_ID]: labels for tags in found if RUN_ID in tags and (labels := labels_of(tags))}


def _in_file(database: Path) -> MlflowFile:
    follow_move(database, EXPERIMENT)
    return MlflowFile(database, EXPERIMENT)


def search(place: Place, asked: Sequence[Sequence[Condition]]) -> list[FoundRun]:
    """What ``MlflowFile.runs`` finds, of MLflow itself; its filters know no "or", so that it is asked for every combination."""
    found = {run.info.run_id: run for clauses in product(*asked) for run in _runs(place, clauses)}
    ordered = sorted(found.values(), key=lambda run: (-run.info.start_time, run.info.run_id))
    return [FoundRun(str(run.info.run_id), str(run.info.artifact_uri), STORED in run.data.tags) for run in ordered]


def _runs(place: Place, clauses: Sequence[Condition]) -> Iterator[Run]:
    text = " and ".join(f"tags.`{key}` {how} {quoted(value)}" for key, how, value in clauses)
    try:
        experiment = place.client.get_experiment_by_name(EXPERIMENT)
        token = None
        while experiment is not None:
            page = place.client.search_runs([experiment.experiment_id], text, max_results=PAGE, page_token=token)
            yield from page
            token = page.token
            if not token:
                break
    except SuiteError:
        raise
    except Exception as error:  # of MLflow, its database, its web client or its plug-ins
        advice = "start the server or name another --tracking" if is_away(error, place.uri) else "name another --tracking"
        raise SuiteError(
            f"tracking '{without_password(place.uri)}': cannot be read ({reason_of(error, place.uri)}); {advice}."
        ) from error


def _stored(place: Place, run: FoundRun, scratch: tempfile.TemporaryDirectory[str]) -> StoredRun | str:
    """The run with its record, or one sentence on why its record cannot be read."""
    where, uri = f"MLflow run {run.run_id}", run.artifact_uri
    files = Artifacts(place, run.run_id, _local_folder(uri), scratch)
    try:
        path = files.path(RECORD)
        if path is not None:
            record = parse_record(path.read_bytes(), where=where)
            require_shape(record, where)
            return StoredRun(record, run.run_id, files)
    except SuiteError as error:
        return str(error)
    except Exception as error:  # of the artifact store, whichever it is
        return f"{where}: its record cannot be read ({reason_of(error, uri)}); check the artifact store at {uri}."
    if run.is_stored:
        return f"{where}: there is no record.json at {uri}; bring the artifacts back, or log the run again with the command that made it."
    return f"{where}: its record was not stored before its driver ended; the command that made it, given again, logs it."


def _local_folder(uri: str) -> Path | None:
    parts = urlparse(uri)
    if parts.scheme == "file":
        return Path(url2pathname(parts.path))
    return Path(uri) if parts.scheme == "" else None
