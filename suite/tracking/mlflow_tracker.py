"""Records in MLflow.

A study is a parent run, a run of the suite its child, found by the tag ``codyra.run_id`` before one is created: logging twice
changes nothing.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from suite import __version__
from suite.errors import DamagedRun
from suite.runs.finding import run_name
from suite.runs.labels import FILE as LABELS
from suite.runs.labels import Labels, read_labels
from suite.runs.locking import locked
from suite.runs.record import RECORD, Record
from suite.runs.store import RunStore
from suite.tracking.about import About
from suite.tracking.mlflow_client import EXPERIMENT, connect, experiment_id, is_away, quiet_mlflow, quoted, reason_of
from suite.tracking.mlflow_entries import (
    ABOUT,
    DESCRIPTION,
    NOTE,
    RUN_ID,
    SOURCE,
    STORED,
    STUDY,
    TAGS,
    TOLD,
    USER,
    dataset_of,
    ending_text,
    flat_params,
    label_tags,
    metrics,
    millis,
    run_tags,
    source_tags,
    study_tags,
    told_tags,
    user_name,
)
from suite.tracking.mlflow_file import MlflowFile
from suite.tracking.mlflow_pages import KIND, runs_pages
from suite.tracking.mlflow_place import database_file, named_file, require_place
from suite.tracking.mlflow_reader import read_fields, read_runs
from suite.tracking.mlflow_reader import read_labels as labels_in
from suite.tracking.spool import Spool
from suite.tracking.tracker import RunFields, Target, TrackedRun, Tracker

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Metric, Run

CHECKED = (
    "codyra.checked.kind"  # of the experiment: the MLflow that has written into the database, and the revision of its tables
)
FOUND_BY = {"run": RUN_ID, "study": STUDY}  # tag of a target
END_STATUS = {"finished": "FINISHED", "stopped": "KILLED", "failed": "FAILED", "running": "RUNNING"}
MOST_PARAMS, MOST_METRICS = 100, 800  # per batch; MLflow takes 100 parameters, 100 tags and 1000 entries in all


class MlflowTracker(Tracker):
    """A database, or a server that has one; the default, and the only tracker that tables are read from.

    A database file is asked without MLflow whether there is anything to write at all.
    """

    name = "mlflow"
    usable = "a database that you may write or the http://HOST:PORT of an MLflow server"

    def __init__(self, uri: str, out: Path) -> None:
        require_place(uri)
        super().__init__(uri, out)
        self._lock = Spool.of(out, self.name).folder / ".lock"
        self._client: MlflowClient | None = None
        self._experiment: str | None = None
        database = database_file(uri)
        self._file = MlflowFile(database, EXPERIMENT) if database else None

    def check(self) -> None:
        if self._file is None or not self._file.takes(CHECKED, self._file.release()):
            self._check()

    @quiet_mlflow()
    def _check(self) -> None:
        with self._alone():
            self.client.set_experiment_tag(self._experiment_id(), "codyra.version", __version__)
            self.client.set_experiment_tag(self._experiment_id(), *KIND)
            if self._file is not None:
                self.client.set_experiment_tag(self._experiment_id(), CHECKED, self._file.release())

    @quiet_mlflow()
    def log_study(self, name: str, config: Mapping[str, Any], *, finished: bool | None) -> None:
        run = self._study(name)
        self._batch(run, params=flat_params(config))
        if finished is not None:
            self.client.set_terminated(run.info.run_id, "FINISHED" if finished else "KILLED")
        elif run.info.status != "RUNNING":
            self.client.update_run(run.info.run_id, "RUNNING")

    def log_run(self, record: Record) -> None:
        state = f"{record.status}/{record.tasks_done}"
        run = self._file and self._file.run(RUN_ID, record.run_id)
        if (
            record.reused_by
            or not self._file
            or not run
            or self._file.tag(run, STORED) != state
            or (
                (labels := self._labels(record)) is not None
                and label_tags(labels, told := self._told(run), ending_text(record)).items() - told.items()
            )
        ):
            self._log_run(record, state)

    def _labels(self, record: Record) -> Labels | None:
        """What people said of the run; None where that cannot be read, which is no reason not to show the run."""
        try:
            return read_labels(RunStore(self.out).folder(record.run_id))
        except DamagedRun:
            return None

    def _told(self, run: str) -> dict[str, str]:
        """What the database file has of the labels of a run."""
        found = {key: self._file.tag(run, key) for key in (TAGS, NOTE, DESCRIPTION, TOLD)} if self._file else {}
        return {key: value for key, value in found.items() if value is not None}

    @quiet_mlflow()
    def _log_run(self, record: Record, state: str) -> None:
        run = self._one(RUN_ID, record.run_id, lambda: self._create_run(record))
        folder, tags = RunStore(self.out).folder(record.run_id), study_tags(record, self._parent(record, run))
        labels = self._labels(record)
        tags |= label_tags(labels, run.data.tags, ending_text(record)) if labels is not None else {}
        before = run.data.tags.get(STORED)
        if before == state:
            if record.reused_by:  # since it was stored, maybe
                self.client.log_artifact(run.info.run_id, str(folder / RECORD))
            self._batch(run, tags=tags)
            return
        logged = int(before.rpartition("/")[2]) + 1 if before else 0
        self._batch(run, params=flat_params(record.config), metrics=metrics(record, logged))
        if before is None:
            self.client.log_inputs(run.info.run_id, [dataset_of(record)])
        for path in sorted(folder.iterdir()):
            if path.is_file() and not path.name.startswith(".") and path.name != LABELS:  # they are tags here
                self.client.log_artifact(run.info.run_id, str(path))
        self.client.set_terminated(run.info.run_id, END_STATUS[record.status], millis(record, end=True))
        self._batch(run, tags={**run_tags(record), **tags, STORED: state})  # last: it says that all the rest is there

    def describe(self, target: Target, about: About) -> None:
        """Of what is shown as it is to be, the database file alone is asked."""
        run = self._file and self._file.run(FOUND_BY[target.kind], target.name)
        if not self._file or not run or self._file.tag(run, SOURCE) is None or self._is_news(self._file.tag(run, ABOUT), about):
            self._describe(target, about)

    @staticmethod
    def _is_news(before: str | None, about: About) -> bool:
        return about.digest() not in ("", before)

    @quiet_mlflow()
    def _describe(self, target: Target, about: About) -> None:
        from mlflow.entities import Metric

        found = self._find(FOUND_BY[target.kind], target.name)
        if not found:
            return
        run, tags = found[0], found[0].data.tags
        stored = RunStore(self.out).records([target.name] if target.kind == "run" else [])
        new = source_tags(about, stored[0].commit if stored else None, tags)
        if self._is_news(tags.get(ABOUT), about):
            new |= {ABOUT: about.digest(), **(told_tags("", about.text, tags) if about.text else {})}
            if about.title:
                self.client.update_run(run.info.run_id, name=about.title)
        known, at = run.data.metrics, int(time.time() * 1000)
        metrics = [Metric(key, value, at, 0) for key, value in about.metrics.items() if known.get(key) != value]
        self._batch(run, metrics=metrics, tags=new)

    def pages(self) -> Sequence[str]:
        with quiet_mlflow():
            number = self._file.experiment_number() if self._file else self._experiment_id()
        return runs_pages(self.uri, number) if number else ()

    @quiet_mlflow()
    def attach(self, target: Target, files: Sequence[Path], place: str) -> bool:
        found = self._find(FOUND_BY[target.kind], target.name)
        for file in files if found else ():
            self.client.log_artifact(str(found[0].info.run_id), str(file), place)
        return bool(found)

    def holds(self, target: Target, files: Sequence[Path], place: str) -> bool:
        run = self._file and self._file.run(FOUND_BY[target.kind], target.name)
        folder = self._file.artifacts(run) / place if self._file and run else None
        if folder and all(_size(folder / file.name) == file.stat().st_size for file in files):
            return True
        return self._holds(target, files, place)

    @quiet_mlflow()
    def _holds(self, target: Target, files: Sequence[Path], place: str) -> bool:
        found = self._find(FOUND_BY[target.kind], target.name)
        stored = self.client.list_artifacts(str(found[0].info.run_id), place) if found else []
        sizes = {Path(file.path).name: int(file.file_size or 0) for file in stored}
        return all(sizes.get(file.name) == file.stat().st_size for file in files)

    @quiet_mlflow()
    def log_table(self, study: str, columns: Mapping[str, Sequence[Any]], name: str) -> None:
        """MLflow's artifact view shows it as a table."""
        parent, rows = str(self._study(study).info.run_id), [list(row) for row in zip(*columns.values(), strict=True)]
        self.client.log_dict(parent, {"columns": list(columns), "data": rows}, name)
        self.client.set_tag(parent, "mlflow.loggedArtifacts", json.dumps([{"path": name, "type": "table"}]))

    def forget(self, run_id: str) -> None:
        """MLflow keeps what is deleted until ``mlflow gc``, and can restore it."""
        if self._file is None or self._file.database.is_file():
            self._forget(run_id)

    @quiet_mlflow()
    def _forget(self, run_id: str) -> None:
        for run in self._find(RUN_ID, run_id):
            self.client.delete_run(run.info.run_id)

    def read_labels(self) -> Mapping[str, Labels]:
        return labels_in(self.uri)

    def read_runs(self, fields: Mapping[str, str], unreadable: list[str]) -> Iterator[TrackedRun]:
        return read_runs(self.uri, filters=fields, unreadable=unreadable)

    def read_fields(self) -> Iterator[RunFields]:
        return read_fields(self.uri)

    @property
    def nothing_stored(self) -> str:
        return "MLflow holds no run here; run 'codyra-suite demo' first, or name another --tracking"

    def is_away(self, error: Exception) -> bool:
        return is_away(error, self.uri)

    def reason_of(self, error: Exception) -> str:
        return reason_of(error, self.uri)

    @classmethod
    def local_place(cls, uri: str) -> Path | None:
        return named_file(uri)

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
        return self._create({RUN_ID: record.run_id, "codyra.kind": "run"}, run_name(record), millis(record))

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Two drivers with one output folder must not both create what neither finds."""
        with locked(self._lock, lambda owner: None):
            try:
                yield
            finally:
                self._lock.unlink(missing_ok=True)

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
        tags = {**tags, USER: user_name()}
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


def _size(file: Path) -> int | None:
    return file.stat().st_size if file.is_file() else None
