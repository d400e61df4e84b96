"""Records on their way into MLflow.

Only the driver writes. A study is a parent run, a run of the suite its child, found by the tag ``codyra.run_id`` before one is
created: logging twice changes nothing. What a server is away for, or refuses, waits in a spool folder and ends no command.
"""

from __future__ import annotations

import fcntl
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from suite import __version__
from suite.errors import ConfigError, DataError
from suite.proxies import without_password
from suite.runs.record import RECORD, Record, read_record
from suite.runs.store import RunStore
from suite.tracking.mlflow_client import connect, default_uri, experiment_id, is_away, quiet_mlflow, quoted, reason_of
from suite.tracking.mlflow_entries import STORED, STUDY, flat_params, metrics, millis, run_tags, study_tags
from suite.tracking.spool import Spool

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Metric, Run

RUN_ID = "codyra.run_id"
END_STATUS = {"finished": "FINISHED", "stopped": "KILLED", "failed": "FAILED", "running": "RUNNING"}
MOST_PARAMS, MOST_METRICS = 100, 800  # per batch; MLflow takes 100 parameters, 100 tags and 1000 entries in all

Result = TypeVar("Result")


def open_sink(uri: str | None, out: Path, *, patience_seconds: float = 20.0) -> MlflowSink:
    """Sink for ``uri`` (None = the default) that was found usable; what an earlier command left in the spool is delivered first.

    A server that does not answer is no mistake of anybody: ``trouble`` of the sink says so, and records wait in the spool.

    Raises:
        ConfigError: the server or database can never take a record as it is; said before anything is trained.
    """
    sink = MlflowSink(uri or default_uri(), out, patience_seconds=patience_seconds)
    sink.open()
    return sink


class MlflowSink:
    """Writes records; see the module's text for what it promises.

    Args:
        out: holds the run folders (``runs``) and the notes on what could not be delivered (``spool``).
        patience_seconds: how long a call is retried before the record is spooled. Once the server was found away, later
            calls try once and spool, until one gets through.

    Attributes:
        trouble: why the last call was not taken; None when it was.
    """

    def __init__(self, uri: str, out: Path, *, patience_seconds: float = 20.0) -> None:
        self.uri = uri
        self.out = out
        self.spool = Spool(out / "spool")
        self.patience_seconds = patience_seconds
        self.trouble: str | None = None
        self._is_away = False
        self._client: MlflowClient | None = None
        self._experiment: str | None = None
        self._configs: dict[str, Mapping[str, Any]] = {}

    @property
    def is_away(self) -> bool:
        """The server did not answer when it was asked last."""
        return self._is_away

    def open(self) -> None:
        """Try out whether records can be written, and deliver what waits; see ``open_sink``."""
        try:
            with quiet_mlflow(), self._alone():
                self.client.set_experiment_tag(self._experiment_id(), "codyra.version", __version__)
        except ConfigError:
            raise
        except Exception as error:  # of MLflow, its database, its web client or its plug-ins
            self.trouble = reason_of(error, self.uri)
            if not is_away(error, self.uri):
                raise ConfigError(
                    f"tracking '{without_password(self.uri)}': cannot be used ({self.trouble}); name a database that you may write or "
                    "the http://HOST:PORT of an MLflow server with --tracking, or switch it off with --tracking none."
                ) from error
            self._is_away = True
            return
        self.flush()

    def log_study(self, name: str, config: Mapping[str, Any]) -> str | None:
        """Parent run of study ``name``, which is going on; None when it was spooled (its children find or make it later)."""
        self._configs[name] = config
        return self._log_study(name, config, finished=None)

    def end_study(self, name: str, *, finished: bool) -> str | None:
        """Say that a study is over, or was interrupted; its parent run, None when it was spooled."""
        return self._log_study(name, self._configs.get(name, {}), finished=finished)

    def _log_study(self, name: str, config: Mapping[str, Any], *, finished: bool | None) -> str | None:
        def write() -> str:
            run = self._study(name)
            self._batch(run, params=flat_params(config))
            if finished is not None:
                self.client.set_terminated(run.info.run_id, "FINISHED" if finished else "KILLED")
            elif run.info.status != "RUNNING":
                self.client.update_run(run.info.run_id, "RUNNING")
            return str(run.info.run_id)

        parent = self._try(write)
        if parent is None:
            self.spool.hold_study(name, dict(config), finished=finished, reason=self.trouble or "")
        else:
            self.spool.release_study(name)
        return parent

    def log_run(self, record: Record) -> bool:
        """Write a record with its run's files; False when it was spooled instead."""
        was_away = self._is_away
        if self._try(lambda: self._write(record)) is None:
            self.spool.hold_run(record.run_id, self.trouble or "")
            return False
        self.spool.release_run(record.run_id)
        if was_away:
            self.flush()
        return True

    def log_stored(self, run_id: str) -> bool:
        """``log_run`` for the record that is stored under an id.

        Raises:
            DataError: there is none, or it is damaged.
        """
        return self.log_run(read_record(self._folder(run_id)))

    def flush(self) -> int:
        """Deliver what waits in the spool, as far as it is taken; returns how much still waits."""
        for name in self.spool.runs():
            if self._is_away:
                break
            if not (self._folder(name) / RECORD).is_file():
                self.spool.release_run(name)  # the run was removed; there is nothing left to deliver
                continue
            try:
                self.log_stored(name)
            except DataError as error:
                self.spool.hold_run(name, str(error))
        for name in self.spool.studies():
            if not self._is_away:
                config, finished = self.spool.study(name)
                self._log_study(name, config, finished=finished)
        return self.spool.count()

    def attached(self, run_id: str, place: str) -> dict[str, int]:
        """Name -> bytes of the files in the folder ``place`` of a logged run's artifacts; empty when the run or the server is not there."""

        def read() -> dict[str, int]:
            found = self._find(RUN_ID, run_id)
            files = self.client.list_artifacts(str(found[0].info.run_id), place) if found else []
            return {Path(file.path).name: int(file.file_size or 0) for file in files}

        return self._try(read) or {}

    def attach(self, run_id: str, files: Sequence[Path], place: str) -> bool:
        """Put ``files`` into the folder ``place`` of a logged run's artifacts; False when the run or the server is not there."""

        def write() -> bool:
            found = self._find(RUN_ID, run_id)
            if not found:
                return False
            return self.attach_to(str(found[0].info.run_id), files, place)

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

    def _write(self, record: Record) -> str:
        state = f"{record.status}/{record.tasks_done}"
        run = self._one(RUN_ID, record.run_id, lambda: self._create_run(record))
        folder, tags = self._folder(record.run_id), study_tags(record, self._parent(record, run))
        before = run.data.tags.get(STORED)
        if before == state:
            if record.reused_by:  # since it was stored, maybe
                self.client.log_artifact(run.info.run_id, str(folder / RECORD))
            self._batch(run, tags=tags)
            return str(run.info.run_id)
        logged = int(before.rpartition("/")[2]) + 1 if before else 0
        self._batch(run, params=flat_params(record.config), metrics=metrics(record, logged))
        for path in sorted(folder.iterdir()):
            if path.is_file() and not path.name.startswith("."):
                self.client.log_artifact(run.info.run_id, str(path))
        self.client.set_terminated(run.info.run_id, END_STATUS[record.status], millis(record, end=True))
        self._batch(run, tags={**run_tags(record), **tags, STORED: state})  # last: it says that all the rest is there
        return str(run.info.run_id)

    def _parent(self, record: Record, run: Run) -> str | None:
        """The run of the record's first study; None for a run that has its parent or belongs to no study."""
        if "mlflow.parentRunId" in run.data.tags or not record.trials:
            return None
        return str(self._study(next(iter(record.trials))).info.run_id)

    def _study(self, name: str) -> Run:
        return self._one(STUDY, name, lambda: self._create({STUDY: name, "codyra.kind": "study"}, f"study {name}"))

    def _one(self, tag: str, value: str, create: Callable[[], Run]) -> Run:
        """The one run with this tag, made when there is none.

        An answer that was lost on its way makes somebody (a web client, a proxy, we) ask for the same run again: what is there
        twice and was never filled goes away.
        """
        with self._alone():
            if not self._find(tag, value):
                create()
            first, *others = self._find(tag, value)
            for other in others:
                if not other.data.metrics and STORED not in other.data.tags:
                    self.client.delete_run(other.info.run_id)
            return first

    def _create_run(self, record: Record) -> Run:
        name = f"{record.benchmark} {record.config['method']['name']} seed {record.config['seed']}"
        return self._create({RUN_ID: record.run_id, "codyra.kind": "run"}, name, millis(record))

    def _folder(self, run_id: str) -> Path:
        return RunStore(self.out).folder(run_id)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Two drivers with one output folder must not both create what neither finds."""
        self.spool.folder.mkdir(parents=True, exist_ok=True)
        with (self.spool.folder / ".lock").open("w") as lock:
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

    def _find(self, tag: str, value: str) -> list[Run]:
        """Runs with this tag, the one that was filled first, then the oldest."""
        found = self.client.search_runs([self._experiment_id()], f"tags.`{tag}` = {quoted(value)}")
        return sorted(found, key=lambda run: (STORED not in run.data.tags, run.info.start_time, run.info.run_id))

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
        fresh = [Param(key, value) for key, value in (params or {}).items() if key not in known]
        changed = [RunTag(key, value) for key, value in (tags or {}).items() if run.data.tags.get(key) != value]
        for start in range(0, len(fresh), MOST_PARAMS):
            self.client.log_batch(run.info.run_id, params=fresh[start : start + MOST_PARAMS])
        for start in range(0, len(metrics), MOST_METRICS):
            self.client.log_batch(run.info.run_id, metrics=metrics[start : start + MOST_METRICS])
        if changed:
            self.client.log_batch(run.info.run_id, tags=changed)

    def _try(self, write: Callable[[], Result]) -> Result | None:
        """``write`` with growing pauses while the server does not answer; None when patience ends or it refuses.

        Neither ends a command: the run itself is stored, and ``trouble`` says what is in its way.
        """
        patience = 0.0 if self._is_away else self.patience_seconds
        deadline, pause = time.monotonic() + patience, 0.2
        while True:
            try:
                with quiet_mlflow():
                    result = write()
                self._is_away, self.trouble = False, None
                return result
            except Exception as error:  # of MLflow, its database, its web client or its plug-ins
                self.trouble = reason_of(error, self.uri)
                if not is_away(error, self.uri):
                    self.trouble = f"refused: {self.trouble}"
                    return None
            if time.monotonic() + pause > deadline:
                self._is_away = True
                return None
            time.sleep(pause)
            pause = min(pause * 2, 5.0)
