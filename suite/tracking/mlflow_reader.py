"""Records out of MLflow again: everything that tables and pictures are made from. No other state is read."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlparse
from urllib.request import url2pathname

from suite.errors import SuiteError
from suite.proxies import without_password
from suite.runs.checks import require_outcomes
from suite.runs.outcomes import OUTCOMES, Key, Scores, unpack
from suite.runs.record import RECORD, Record, parse_record
from suite.tracking.mlflow_client import EXPERIMENT, connect, is_away, quiet_mlflow, quoted, reason_of
from suite.tracking.mlflow_entries import STORED
from suite.tracking.mlflow_place import database_file

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

DOWNLOADS_AT_A_TIME = 8
PAGE = 1000


@dataclass(frozen=True)
class Artifacts:
    """Files of one MLflow run: read in place where the store is a folder of this machine, else fetched when asked for."""

    client: MlflowClient
    run_id: str
    folder: Path | None
    scratch: tempfile.TemporaryDirectory[str]

    def path(self, name: str) -> Path | None:
        """The file ``name``, or None when the run has no such artifact."""
        if self.folder is not None:
            found = self.folder / name
            return found if found.is_file() else None
        with quiet_mlflow():
            names = {entry.path for entry in self.client.list_artifacts(self.run_id)}
            if name not in names:
                return None
            target = Path(tempfile.mkdtemp(dir=self.scratch.name))
            return Path(self.client.download_artifacts(self.run_id, name, str(target)))


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
        path, where = self.files.path(OUTCOMES), f"MLflow run {self.mlflow_run_id}"
        if path is None:
            return {}
        found = unpack(path.read_bytes(), where=where, row=row)
        require_outcomes(self.record, found, where=where, row=row)
        return found


def read_runs(
    uri: str, *, filters: Mapping[str, str] | None = None, unreadable: list[str] | None = None
) -> Iterator[StoredRun]:
    """Every stored record that matches ``filters`` (MLflow tag -> value), newest first, each run id once.

    Args:
        unreadable: takes a sentence for every run whose record cannot be read.

    Raises:
        SuiteError: the tracking server cannot be reached or refuses.
    """
    if (database := database_file(uri)) is not None and not database.is_file():
        return
    scratch = tempfile.TemporaryDirectory(prefix="codyra-mlflow-")
    seen: set[str] = set()
    with quiet_mlflow():
        client, runs = _matching(uri, filters or {})
        with ThreadPoolExecutor(DOWNLOADS_AT_A_TIME) as pool:
            for stored in pool.map(lambda run: _stored(client, run, scratch), runs):
                if isinstance(stored, str):
                    if unreadable is not None:
                        unreadable.append(stored)
                elif stored.record.run_id not in seen:
                    seen.add(stored.record.run_id)
                    yield stored


def _matching(place: str, filters: Mapping[str, str]) -> tuple[MlflowClient, list[Run]]:
    clauses = ["tags.`codyra.kind` = 'run'", *(f"tags.`{key}` = {quoted(value)}" for key, value in filters.items())]
    runs: list[Run] = []
    try:
        client = connect(place)
        experiment = client.get_experiment_by_name(EXPERIMENT)
        token = None
        while experiment is not None:
            page = client.search_runs([experiment.experiment_id], " and ".join(clauses), max_results=PAGE, page_token=token)
            runs += page
            token = page.token
            if not token:
                break
    except SuiteError:
        raise
    except Exception as error:  # of MLflow, its database, its web client or its plug-ins
        advice = "start the server or name another --tracking" if is_away(error, place) else "name another --tracking"
        raise SuiteError(
            f"tracking '{without_password(place)}': cannot be read ({reason_of(error, place)}); {advice}."
        ) from error
    return client, runs


def _stored(client: MlflowClient, run: Run, scratch: tempfile.TemporaryDirectory[str]) -> StoredRun | str:
    """The run with its record, or one sentence on why its record cannot be read."""
    where, uri = f"MLflow run {run.info.run_id}", str(run.info.artifact_uri)
    files = Artifacts(client, str(run.info.run_id), _local_folder(uri), scratch)
    try:
        path = files.path(RECORD)
        if path is not None:
            return StoredRun(parse_record(path.read_bytes(), where=where), str(run.info.run_id), files)
    except SuiteError as error:
        return str(error)
    except Exception as error:  # of the artifact store, whichever it is
        return f"{where}: its record cannot be read ({reason_of(error, uri)}); check the artifact store at {uri}."
    if STORED in run.data.tags:
        return f"{where}: there is no record.json at {uri}; bring the artifacts back, or log the run again with the command that made it."
    return f"{where}: its record was not stored before its driver ended; the command that made it, given again, logs it."


def _local_folder(uri: str) -> Path | None:
    parts = urlparse(uri)
    if parts.scheme == "file":
        return Path(url2pathname(parts.path))
    return Path(uri) if parts.scheme == "" else None
