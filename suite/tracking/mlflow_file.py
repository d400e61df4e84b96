"""What MLflow's database says when it is a SQLite file, asked without MLflow.

To load MLflow takes longer than all else that a command does about a run that was finished and logged before. Every answer here
equals MLflow's own; a file that is not as expected gives none, and MLflow is asked.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from urllib.parse import quote

from suite.tracking.mlflow_entries import STORED, Condition
from suite.tracking.mlflow_place import ARTIFACTS, artifact_place


@dataclass(frozen=True)
class FoundRun:
    """A run of MLflow: its id, where its artifacts are, and whether all of it was logged."""

    run_id: str
    artifact_uri: str
    is_stored: bool


@dataclass(frozen=True)
class MlflowFile:
    """The runs of one experiment in one database file, the artifacts of which lie beside it."""

    database: Path
    experiment: str

    def release(self) -> str:
        """The installed MLflow and the revision of the file's tables, which decide together whether it can be used; or ''."""
        try:
            with self._opened() as connection:
                found = connection.execute("SELECT version_num FROM alembic_version").fetchall()
        except sqlite3.Error:
            return ""
        return " ".join([version("mlflow"), *(str(number) for (number,) in found)])

    def experiment_number(self) -> str | None:
        """MLflow's number of the experiment; None before there is one."""
        try:
            with self._opened() as connection:
                found = connection.execute(
                    "SELECT experiment_id FROM experiments WHERE name = ?", (self.experiment,)
                ).fetchone()
        except sqlite3.Error:
            return None
        return str(found[0]) if found else None

    def takes(self, key: str, value: str) -> bool:
        """Whether the experiment has the tag ``key`` with this ``value`` and can be written; it is written again to see that."""
        try:
            with self._opened() as connection, connection:
                done = connection.execute(
                    "UPDATE experiment_tags SET value = value WHERE key = ? AND value = ? AND experiment_id IN (SELECT experiment_id FROM "
                    "experiments WHERE name = ? AND lifecycle_stage = 'active' AND artifact_location = ?)",
                    (key, value, self.experiment, artifact_place(self.database)),
                )
                return done.rowcount == 1
        except sqlite3.Error:
            return False

    def run(self, key: str, value: str) -> str | None:
        """MLflow's id of the one run whose tag ``key`` has this ``value``; None when there is none, or more."""
        try:
            with self._opened() as connection:
                found = connection.execute(
                    "SELECT runs.run_uuid FROM tags JOIN runs USING (run_uuid) JOIN experiments USING (experiment_id) WHERE tags.key = ? "
                    "AND tags.value = ? AND runs.lifecycle_stage = 'active' AND experiments.name = ?",
                    (key, value, self.experiment),
                ).fetchall()
        except sqlite3.Error:
            return None
        return str(found[0][0]) if len(found) == 1 else None

    def tag(self, run: str, key: str) -> str | None:
        """The value of a tag of a run; None without it."""
        try:
            with self._opened() as connection:
                found = connection.execute("SELECT value FROM tags WHERE run_uuid = ? AND key = ?", (run, key)).fetchone()
        except sqlite3.Error:
            return None
        return str(found[0]) if found else None

    def runs(self, asked: Sequence[Sequence[Condition]]) -> list[FoundRun] | None:
        """The runs for which of each list of conditions at least one holds, newest first; None: ask MLflow."""
        wheres: list[str] = []
        values: list[str] = []
        for alternatives in asked:
            tests = " OR ".join(f"(key = ? AND value {'LIKE' if how == 'ILIKE' else how} ?)" for _, how, _ in alternatives)
            wheres.append(f"AND run_uuid IN (SELECT run_uuid FROM tags WHERE {tests})")
            values += [part for tag, _, text in alternatives for part in (tag, text)]
        try:
            with self._opened() as connection:
                found = connection.execute(
                    "SELECT run_uuid, artifact_uri, EXISTS (SELECT 1 FROM tags WHERE tags.run_uuid = runs.run_uuid AND key = ?) FROM runs "
                    "JOIN experiments USING (experiment_id) WHERE experiments.name = ? AND runs.lifecycle_stage = 'active' "
                    f"{' '.join(wheres)} ORDER BY start_time DESC, run_uuid",
                    (STORED, self.experiment, *values),
                ).fetchall()
        except sqlite3.Error:
            return None
        return [FoundRun(str(run), str(uri), bool(is_stored)) for run, uri, is_stored in found]

    def tags(self, keys: Sequence[str], kind: Condition) -> list[dict[str, str]] | None:
        """Of every run whose tag is as ``kind`` says its tags of these ``keys``; None: ask MLflow."""
        marks = ", ".join("?" * len(keys))
        try:
            with self._opened() as connection:
                found = connection.execute(
                    f"SELECT run_uuid, key, value FROM tags WHERE key IN ({marks}) AND run_uuid IN (SELECT run_uuid FROM tags JOIN runs "
                    "USING (run_uuid) JOIN experiments USING (experiment_id) WHERE key = ? AND value = ? AND "
                    "runs.lifecycle_stage = 'active' AND experiments.name = ?)",
                    (*keys, kind[0], kind[2], self.experiment),
                ).fetchall()
        except sqlite3.Error:
            return None
        runs: dict[str, dict[str, str]] = {}
        for run, key, value in found:
            runs.setdefault(run, {})[key] = value
        return list(runs.values())

    def artifacts(self, run: str) -> Path:
        """Where the artifacts of a run lie as long as nobody moved them."""
        return self.database.parent / ARTIFACTS / run / "artifacts"

    @contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection]:
        """A connection that neither makes a file nor waits for one that is locked."""
        with closing(sqlite3.connect(f"file:{quote(str(self.database))}?mode=rw", uri=True, timeout=0)) as connection:
            yield connection
