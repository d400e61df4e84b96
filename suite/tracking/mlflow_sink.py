"""Records on their way into MLflow.

Only the driver writes. A study is a parent run, a run of the suite its child, found by the tag ``codyra.run_id`` before one is
created: logging twice changes nothing. What a server that is away cannot take waits in a spool folder until it is back.
"""

from __future__ import annotations

import fcntl
import json
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from suite.errors import ConfigError, SuiteError
from suite.files import atomic_write
from suite.runs.record import Record, read_record
from suite.tracking.mlflow_client import connect, default_uri, experiment_id, quiet_mlflow, quoted
from suite.tracking.run_metrics import row_metrics, summary_metrics

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Metric, Run

RUN_ID = "codyra.run_id"
STUDY = "codyra.study"
STORED = "codyra.stored"  # status and tasks done of what was logged last
END_STATUS = {"finished": "FINISHED", "stopped": "KILLED", "failed": "FAILED", "running": "RUNNING"}
LONGEST_PARAM = 500
MOST_PARAMS, MOST_METRICS = 100, 800  # per batch; MLflow takes 100 parameters, 100 tags and 1000 entries in all

Result = TypeVar("Result")


def open_sink(uri: str | None, out: Path, *, patience_seconds: float = 20.0) -> MlflowSink:
    """Sink for ``uri`` (None = the default) that spools below ``out``; what an earlier command left there is delivered first."""
    sink = MlflowSink(uri or default_uri(), out / "spool", patience_seconds=patience_seconds)
    sink.flush()
    return sink


class MlflowSink:
    """Writes records; see the module's text for what it promises.

    Args:
        spool: folder for notes on records that could not be delivered.
        patience_seconds: how long a call is retried before the record is spooled. Once the server was found away, later
            calls try once and spool, until one gets through.
    """

    def __init__(self, uri: str, spool: Path, *, patience_seconds: float = 20.0) -> None:
        self.uri = uri
        self.spool = spool
        self.patience_seconds = patience_seconds
        self._is_away = False
        self._client: MlflowClient | None = None
        self._experiment: str | None = None

    def log_study(self, name: str, config: Mapping[str, Any]) -> str | None:
        """Parent run of study ``name``, which is going on; None when the server is away (its children find or make it later)."""

        def write() -> str:
            run = self._study(name)
            self._batch(run, params=_flat(config))
            if run.info.status != "RUNNING":
                self.client.update_run(run.info.run_id, "RUNNING")
            return str(run.info.run_id)

        return self._try(write)

    def end_study(self, parent: str, *, finished: bool) -> bool:
        """Say that the study behind a parent run is over, or was interrupted; False when the server is away."""

        def write() -> bool:
            self.client.set_terminated(parent, "FINISHED" if finished else "KILLED")
            return True

        return bool(self._try(write))

    @property
    def waiting(self) -> int:
        """Records that could not be delivered yet."""
        return len(list(self.spool.glob("*.json")))

    def log_run(self, record: Record, folder: Path, parent: str | None) -> bool:
        """Write a record with its files; False when it was spooled instead."""
        was_away = self._is_away
        delivered = self._try(lambda: self._write(record, folder, parent)) is not None
        note = self.spool / f"{record.run_id}.json"
        if not delivered:
            atomic_write(note, json.dumps({"folder": str(folder.resolve()), "parent": parent}).encode())
            return False
        note.unlink(missing_ok=True)
        if was_away:
            self.flush()
        return True

    def log_folder(self, folder: Path, parent: str | None) -> bool:
        """``log_run`` for the record stored in ``folder``."""
        return self.log_run(read_record(folder), folder, parent)

    def flush(self) -> int:
        """Deliver what waits in the spool until one cannot be delivered; returns how many records still wait."""
        notes = sorted(self.spool.glob("*.json"))
        for done, note in enumerate(notes):
            if not note.is_file():
                continue  # delivered meanwhile
            fields = json.loads(note.read_bytes())
            folder = Path(fields["folder"])
            if not (folder / "record.json").is_file():
                note.unlink()  # the run was removed; there is nothing left to deliver
            elif not self.log_folder(folder, fields["parent"]):
                return len(notes) - done
        return 0

    def attach(self, run_id: str, files: Sequence[Path], place: str) -> bool:
        """Put ``files`` into the folder ``place`` of a logged run's artifacts; False when the run or the server is not there."""

        def write() -> bool:
            run = self._find(RUN_ID, run_id)
            if run is None:
                return False
            return self.attach_to(str(run.info.run_id), files, place)

        return bool(self._try(write))

    def attach_to(self, mlflow_run: str, files: Sequence[Path], place: str) -> bool:
        """The same for a run of MLflow by its own id, such as a study's parent."""

        def write() -> bool:
            for file in files:
                self.client.log_artifact(mlflow_run, str(file), place)
            return True

        return bool(self._try(write))

    def log_table(self, parent: str, columns: Mapping[str, Sequence[Any]], name: str) -> bool:
        """Put a table on a study's parent run, where MLflow's artifact view shows it; the last one written counts."""

        def write() -> bool:
            rows = [list(row) for row in zip(*columns.values(), strict=True)]
            self.client.log_dict(parent, {"columns": list(columns), "data": rows}, name)
            self.client.set_tag(parent, "mlflow.loggedArtifacts", json.dumps([{"path": name, "type": "table"}]))
            return True

        return bool(self._try(write))

    def _write(self, record: Record, folder: Path, parent: str | None) -> str:
        state = f"{record.status}/{record.tasks_done}"
        with self._alone():
            run = self._find(RUN_ID, record.run_id) or self._created(record)
        tags = _study_tags(record, self._parent(record, run, parent))
        before = run.data.tags.get(STORED)
        if before == state:
            if record.reused_by:  # since it was stored, maybe
                self.client.log_artifact(run.info.run_id, str(folder / "record.json"))
            self._batch(run, tags=tags)
            return str(run.info.run_id)
        logged = int(before.rpartition("/")[2]) + 1 if before else 0
        self._batch(run, params=_flat(record.config), metrics=_metrics(record, logged))
        for path in sorted(folder.iterdir()):
            if path.is_file() and not path.name.startswith("."):
                self.client.log_artifact(run.info.run_id, str(path))
        self.client.set_terminated(run.info.run_id, END_STATUS[record.status], _millis(record, end=True))
        self._batch(run, tags={**_tags(record), **tags, STORED: state})  # last: it says that all the rest is there
        return str(run.info.run_id)

    def _created(self, record: Record) -> Run:
        name = f"{record.benchmark} {record.config['method']['name']} seed {record.config['seed']}"
        return self._create({RUN_ID: record.run_id, "codyra.kind": "run"}, name, _millis(record))

    def _parent(self, record: Record, run: Run, given: str | None) -> str | None:
        """The record's own study, also when another study reuses it; None for a run that has its parent."""
        if "mlflow.parentRunId" in run.data.tags:
            return None
        return given if record.study is None else str(self._study(record.study).info.run_id)

    def _study(self, name: str) -> Run:
        with self._alone():
            return self._find(STUDY, name) or self._create({STUDY: name, "codyra.kind": "study"}, f"study {name}")

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Two drivers with one output folder must not both create what neither finds."""
        self.spool.mkdir(parents=True, exist_ok=True)
        with (self.spool / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    @property
    def client(self) -> MlflowClient:
        if self._client is None:
            self._client = connect(self.uri)
        return self._client

    def _experiment_id(self) -> str:
        if self._experiment is None:
            self._experiment = experiment_id(self.client, self.uri)
        return self._experiment

    def _find(self, tag: str, value: str) -> Run | None:
        found = self.client.search_runs([self._experiment_id()], f"tags.`{tag}` = {quoted(value)}", max_results=1)
        return found[0] if found else None

    def _create(self, tags: dict[str, str], name: str, start_millis: int | None = None) -> Run:
        return self.client.create_run(self._experiment_id(), start_time=start_millis, tags=tags, run_name=name)

    def _batch(
        self,
        run: Run,
        *,
        params: Mapping[str, str] | None = None,
        metrics: Sequence[Metric] = (),
        tags: Mapping[str, str] | None = None,
    ) -> None:
        from mlflow.entities import Param, RunTag

        known = run.data.params
        fresh = [Param(key, value[:LONGEST_PARAM]) for key, value in (params or {}).items() if key not in known]
        changed = [RunTag(key, value) for key, value in (tags or {}).items() if run.data.tags.get(key) != value]
        for start in range(0, len(fresh), MOST_PARAMS):
            self.client.log_batch(run.info.run_id, params=fresh[start : start + MOST_PARAMS])
        for start in range(0, len(metrics), MOST_METRICS):
            self.client.log_batch(run.info.run_id, metrics=metrics[start : start + MOST_METRICS])
        if changed:
            self.client.log_batch(run.info.run_id, tags=changed)

    def _try(self, write: Callable[[], Result]) -> Result | None:
        """``write`` with growing pauses while the server does not answer; None when patience ends."""
        from mlflow.exceptions import MlflowException
        from requests.exceptions import RequestException
        from sqlalchemy.exc import OperationalError

        patience = 0.0 if self._is_away else self.patience_seconds
        deadline, pause = time.monotonic() + patience, 0.2
        while True:
            try:
                with quiet_mlflow():
                    result = write()
                self._is_away = False
                return result
            except (RequestException, OperationalError, ConnectionError):
                pass
            except MlflowException as error:
                if error.error_code in ("PERMISSION_DENIED", "UNAUTHENTICATED", "CUSTOMER_UNAUTHORIZED"):
                    raise ConfigError(f"tracking '{self.uri}': no permission to write; log in or use another --tracking.") from None
                if error.get_http_status_code() < 500:
                    raise SuiteError(f"tracking '{self.uri}': refused a record ({error}); check the server's version.") from error
            if time.monotonic() + pause > deadline:
                self._is_away = True
                return None
            time.sleep(pause)
            pause = min(pause * 2, 5.0)


def _metrics(record: Record, first_row: int) -> list[Metric]:
    """Metrics of the rows from ``first_row`` on; their time stamps are the record's, so that a repeated batch adds nothing."""
    from mlflow.entities import Metric

    at = _millis(record)
    steps = [(row, row_metrics(record, row)) for row in range(first_row, len(record.test))]
    steps.append((record.tasks_done, summary_metrics(record)))
    return [Metric(key, value, at + row, row) for row, found in steps for key, value in found.items() if math.isfinite(value)]


def _millis(record: Record, *, end: bool = False) -> int:
    moment = (record.ended_at or record.started_at) if end else record.started_at
    return int(moment.timestamp() * 1000)


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
    if record.reused_by:
        tags |= {STUDY + ".reused_by": ",".join(record.reused_by)}
    return tags


def _flat(value: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    flat: dict[str, str] = {}
    for key, inner in value.items():
        if isinstance(inner, Mapping):
            flat |= _flat(inner, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = str(inner)
    return flat
