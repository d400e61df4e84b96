"""Records on their way into MLflow, and out of it again; the only file that imports mlflow.

Only the driver writes. A study is a parent run, a run of the suite its child, found by the tag ``codyra.run_id`` before one is
created: logging twice changes nothing. What a server that is away cannot take waits in a spool folder until the next flush.
"""

from __future__ import annotations

import json
import logging
import math
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from suite.errors import ConfigError, SuiteError
from suite.record import Record, atomic_write, parse_record, read_record
from suite.tracking.run_metrics import row_metrics, summary_metrics

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

EXPERIMENT = "codyra-suite"
RUN_ID = "codyra.run_id"
STUDY = "codyra.study"
END_STATUS = {"finished": "FINISHED", "stopped": "KILLED", "failed": "FAILED", "running": "RUNNING"}
QUIET = ("mlflow", "alembic", "sqlalchemy", "mlflow.store.db.utils", "alembic.runtime.migration")
LONGEST_PARAM = 500
MOST_METRICS = 900  # MLflow takes at most 1000 per batch

Result = TypeVar("Result")


@dataclass(frozen=True)
class StoredRun:
    """A record as MLflow holds it, with the folder or download that its artifacts came from."""

    record: Record
    mlflow_run_id: str
    artifacts: Path


def default_uri() -> str:
    """SQLite file in the working folder."""
    return f"sqlite:///{Path.cwd() / 'mlflow.db'}"


def open_sink(uri: str | None, out: Path, *, patience_seconds: float = 20.0) -> MlflowSink:
    """Sink for ``uri`` (None = the default) that spools below ``out``; what an earlier command left there is delivered first."""
    sink = MlflowSink(uri or default_uri(), out / "spool", patience_seconds=patience_seconds)
    sink.flush()
    return sink


class MlflowSink:
    """Writes records; see the module's text for what it promises.

    Args:
        spool: folder for notes on records that could not be delivered.
        patience_seconds: how long a call is retried before the record is spooled.
    """

    def __init__(self, uri: str, spool: Path, *, patience_seconds: float = 20.0) -> None:
        self.uri = uri
        self.spool = spool
        self.patience_seconds = patience_seconds
        self._client: MlflowClient | None = None
        self._experiment: str | None = None

    def log_study(self, name: str, config: Mapping[str, Any]) -> str | None:
        """Parent run of study ``name``; None when the server is away (children are then spooled and find it later)."""

        def write() -> str:
            run = self._find(STUDY, name) or self._create({STUDY: name, "codyra.kind": "study"}, f"study {name}")
            self._batch(run, params=_flat(config), metrics={}, step=0)
            return str(run.info.run_id)

        return self._try(write)

    def log_run(self, record: Record, folder: Path, parent: str | None) -> bool:
        """Write a record with its artifacts; False when it was spooled instead."""
        delivered = self._try(lambda: self._write(record, folder, parent)) is not None
        note = self.spool / f"{record.run_id}.json"
        if delivered:
            note.unlink(missing_ok=True)
        else:
            atomic_write(note, json.dumps({"folder": str(folder.resolve()), "parent": parent}).encode())
        return delivered

    def log_folder(self, folder: Path, parent: str | None) -> bool:
        """``log_run`` for the record stored in ``folder``."""
        return self.log_run(read_record(folder), folder, parent)

    def flush(self) -> int:
        """Deliver what waits in the spool until one cannot be delivered; returns how many records still wait."""
        notes = sorted(self.spool.glob("*.json"))
        for done, note in enumerate(notes):
            fields = json.loads(note.read_bytes())
            if not self.log_folder(Path(fields["folder"]), fields["parent"]):
                return len(notes) - done
        return 0

    def _write(self, record: Record, folder: Path, parent: str | None) -> str:
        run = self._find(RUN_ID, record.run_id)
        if run is not None and run.data.tags.get("codyra.stored") == f"{record.status}/{record.tasks_done}":
            self._tag(run, _study_tags(record, parent))
            return str(run.info.run_id)
        if run is None:
            name = f"{record.benchmark} {record.config['method']['name']} seed {record.config['seed']}"
            run = self._create({RUN_ID: record.run_id, "codyra.kind": "run"}, name)
        self._batch(run, params=_flat(record.config), metrics={}, step=0)
        for row in range(len(record.test)):
            self._batch(run, params={}, metrics=row_metrics(record, row), step=row)
        self._batch(run, params={}, metrics=summary_metrics(record), step=record.tasks_done)
        for path in sorted(folder.iterdir()):
            if path.is_file() and not path.name.startswith("."):
                self.client.log_artifact(run.info.run_id, str(path))
        self._tag(run, {**_tags(record), **_study_tags(record, parent), "codyra.stored": f"{record.status}/{record.tasks_done}"})
        self.client.set_terminated(run.info.run_id, END_STATUS[record.status])
        return str(run.info.run_id)

    @property
    def client(self) -> MlflowClient:
        if self._client is None:
            self._client = _client(self.uri)
        return self._client

    def _experiment_id(self) -> str:
        if self._experiment is None:
            self._experiment = _experiment(self.client, self.uri)
        return self._experiment

    def _find(self, tag: str, value: str) -> Run | None:
        found = self.client.search_runs([self._experiment_id()], f"tags.`{tag}` = '{value}'", max_results=1)
        return found[0] if found else None

    def _create(self, tags: dict[str, str], name: str) -> Run:
        return self.client.create_run(self._experiment_id(), tags=tags, run_name=name)

    def _batch(self, run: Run, *, params: Mapping[str, str], metrics: Mapping[str, float], step: int) -> None:
        from mlflow.entities import Metric, Param

        now = int(time.time() * 1000)
        known = set(run.data.params)
        rows = [Metric(key, value, now, step) for key, value in metrics.items() if math.isfinite(value)]
        fresh = [Param(key, value[:LONGEST_PARAM]) for key, value in params.items() if key not in known]
        for start in range(0, max(len(rows), 1), MOST_METRICS):
            part = rows[start : start + MOST_METRICS]
            self.client.log_batch(run.info.run_id, metrics=part, params=fresh if start == 0 else ())

    def _tag(self, run: Run, tags: Mapping[str, str]) -> None:
        from mlflow.entities import RunTag

        changed = [RunTag(key, value) for key, value in tags.items() if run.data.tags.get(key) != value]
        if changed:
            self.client.log_batch(run.info.run_id, tags=changed)

    def _try(self, write: Callable[[], Result]) -> Result | None:
        """``write`` with growing pauses while the server does not answer; None when patience ends."""
        from mlflow.exceptions import MlflowException
        from requests.exceptions import RequestException
        from sqlalchemy.exc import OperationalError

        deadline, pause = time.monotonic() + self.patience_seconds, 0.2
        while True:
            try:
                with quiet_mlflow():
                    return write()
            except (RequestException, OperationalError, ConnectionError):
                pass
            except MlflowException as error:
                if error.error_code in ("PERMISSION_DENIED", "UNAUTHENTICATED", "CUSTOMER_UNAUTHORIZED"):
                    raise ConfigError(f"tracking '{self.uri}': no permission to write; log in or use another --tracking.") from None
                if error.get_http_status_code() < 500:
                    raise SuiteError(f"tracking '{self.uri}': refused a record ({error}); check the server's version.") from error
            if time.monotonic() + pause > deadline:
                return None
            time.sleep(pause)
            pause = min(pause * 2, 5.0)


def read_runs(uri: str | None, *, filters: Mapping[str, str] | None = None) -> Iterator[StoredRun]:
    """Every stored record that matches ``filters`` (MLflow tag -> value), from MLflow alone.

    Raises:
        SuiteError: the server cannot be reached.
    """
    place = uri or default_uri()
    if place.startswith("sqlite:///") and not Path(place.removeprefix("sqlite:///")).is_file():
        return
    with quiet_mlflow():
        client = _client(place)
        experiment = client.get_experiment_by_name(EXPERIMENT)
        if experiment is None:
            return
        clauses = ["tags.`codyra.kind` = 'run'", *(f"tags.`{key}` = '{value}'" for key, value in (filters or {}).items())]
        token = None
        while True:
            page = client.search_runs([experiment.experiment_id], " and ".join(clauses), max_results=1000, page_token=token)
            for run in page:
                found = _stored(client, run)
                if found is not None:
                    yield found
            token = page.token
            if not token:
                return


def _stored(client: MlflowClient, run: Run) -> StoredRun | None:
    folder = Path(str(run.info.artifact_uri).removeprefix("file://"))
    if not folder.is_dir():
        folder = Path(client.download_artifacts(run.info.run_id, ""))
    path = folder / "record.json"
    if not path.is_file():
        return None  # the driver died between creating the run and storing its record; the run is logged again on resume
    return StoredRun(parse_record(path.read_bytes(), where=f"MLflow run {run.info.run_id}"), str(run.info.run_id), folder)


def _tags(record: Record) -> dict[str, str]:
    return {
        "benchmark": record.benchmark,
        "method": str(record.config["method"]["name"]),
        "setting": ", ".join(f"{key} {value}" for key, value in record.setting.items()),
        "seed": str(record.config["seed"]),
        "status": record.status,
        "reason": record.reason or "",
        "config_hash": record.config_hash,
        "settings_hash": record.settings_hash,
        "data_fingerprint": record.data_fingerprint,
        "code_version": record.code_version,
        "commit": record.commit or "",
        "dirty": str(record.dirty),
        "gpu": str(record.hardware.get("gpu", "")),
    }


def _study_tags(record: Record, parent: str | None) -> dict[str, str]:
    tags = {"mlflow.parentRunId": parent} if parent else {}
    if record.study is not None:
        tags |= {STUDY + ".name": record.study, "trial": str(record.trial)}
    return tags


def _flat(value: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    flat: dict[str, str] = {}
    for key, inner in value.items():
        if isinstance(inner, Mapping):
            flat |= _flat(inner, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = str(inner)
    return flat


def _client(uri: str) -> MlflowClient:
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    from mlflow import MlflowClient

    return MlflowClient(uri)


def _experiment(client: MlflowClient, uri: str) -> str:
    found = client.get_experiment_by_name(EXPERIMENT)
    if found is not None:
        return str(found.experiment_id)
    local = uri.startswith("sqlite:///")
    place = (Path(uri.removeprefix("sqlite:///")).resolve().parent / "mlartifacts").as_uri() if local else None
    return str(client.create_experiment(EXPERIMENT, artifact_location=place))


@contextmanager
def quiet_mlflow() -> Iterator[None]:
    """MLflow and its database tools say only what went wrong."""
    before = {name: logging.getLogger(name).level for name in QUIET}
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        yield
    finally:
        for name, level in before.items():
            logging.getLogger(name).setLevel(level)
