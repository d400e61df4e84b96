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

from suite.errors import DataError, SuiteError
from suite.runs.outcomes import Key, Scores, unpack
from suite.runs.record import Record, parse_record
from suite.tracking.mlflow_client import EXPERIMENT, connect, default_uri, quiet_mlflow, quoted

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
            target = Path(self.scratch.name) / self.run_id
            target.mkdir(exist_ok=True)
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
            DataError: the stored file is not an outcomes file.
        """
        path = self.files.path("outcomes.npz")
        return {} if path is None else unpack(path.read_bytes(), where=f"MLflow run {self.mlflow_run_id}", row=row)


def read_runs(uri: str | None, *, filters: Mapping[str, str] | None = None) -> Iterator[StoredRun]:
    """Every stored record that matches ``filters`` (MLflow tag -> value), newest first, each run id once.

    Raises:
        SuiteError: the tracking server cannot be reached or refuses.
    """
    place = uri or default_uri()
    if place.startswith("sqlite:///") and not Path(place.removeprefix("sqlite:///")).is_file():
        return
    scratch = tempfile.TemporaryDirectory(prefix="codyra-mlflow-")
    seen: set[str] = set()
    with quiet_mlflow():
        client, runs = _matching(place, filters or {})
        with ThreadPoolExecutor(DOWNLOADS_AT_A_TIME) as pool:
            for stored in pool.map(lambda run: _stored(client, run, scratch), runs):
                if stored is not None and stored.record.run_id not in seen:
                    seen.add(stored.record.run_id)
                    yield stored


def _matching(place: str, filters: Mapping[str, str]) -> tuple[MlflowClient, list[Run]]:
    from mlflow.exceptions import MlflowException
    from requests.exceptions import RequestException
    from sqlalchemy.exc import SQLAlchemyError

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
    except (MlflowException, RequestException, SQLAlchemyError, ConnectionError) as error:
        reason = str(error).splitlines()[0][:200]
        raise SuiteError(f"tracking '{place}': cannot be read ({reason}); start the server or name another --tracking.") from error
    return client, runs


def _stored(client: MlflowClient, run: Run, scratch: tempfile.TemporaryDirectory[str]) -> StoredRun | None:
    """None for a run whose driver died before its record was stored; it is logged again on resume."""
    files = Artifacts(client, run.info.run_id, _local_folder(str(run.info.artifact_uri)), scratch)
    path = files.path("record.json")
    if path is None:
        return None
    try:
        return StoredRun(parse_record(path.read_bytes(), where=f"MLflow run {run.info.run_id}"), str(run.info.run_id), files)
    except OSError as error:
        raise DataError(f"MLflow run {run.info.run_id}: its record cannot be read ({error}); check the artifact store.") from error


def _local_folder(uri: str) -> Path | None:
    parts = urlparse(uri)
    if parts.scheme == "file":
        return Path(url2pathname(parts.path))
    return Path(uri) if parts.scheme == "" else None
