"""What ``dev perf leaderboard --others N`` does: whole ``leaderboard`` commands on a few of the runs of a large MLflow database.

One run is really trained and logged. All others are copies of it under ids, seeds and settings of their own, written straight into
MLflow's tables, because MLflow itself would take hours; those that a command reads have records and outcomes of their own.
"""

from __future__ import annotations

import os
import resource
import shlex
import sqlite3
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from suite.config import RunConfig, validate
from suite.errors import SuiteError
from suite.files import sqlite_uri
from suite.measuring.commands import PROGRAM
from suite.randomness import numpy_generator
from suite.runs.outcomes import OUTCOMES, Key, Scores
from suite.runs.record import RECORD, Record
from suite.runs.store import RunStore
from suite.tracking.mlflow_entries import RUN_ID, STUDY, run_tags
from suite.tracking.mlflow_place import ARTIFACTS

TRAINED: dict[str, Any] = {
    "benchmark": {"name": "mini-mtil"},
    "method": {"name": "lora"},
    "training": {"steps": 2},
}
BENCHMARK, STUDY_NAME, ORDER, OTHER = "measured", "searched", "II", "other"
SEEDS = 5  # runs that share a configuration
COPIED = ("tags", "params", "metrics", "latest_metrics")  # MLflow's tables that hold what was logged of a run


@dataclass(frozen=True)
class CommandTime:
    """What was typed behind ``leaderboard``, the processor seconds of the whole process, and the first line that it printed."""

    typed: str
    cpu_seconds: float
    said: str


def measure_commands(runs: int, others: int) -> Iterator[CommandTime]:
    """``leaderboard`` with filters that leave ``runs`` among so many and ``others``, and with one that leaves none."""
    with tempfile.TemporaryDirectory(prefix="codyra-board-") as scratch:
        folder = Path(scratch)
        uri = filled(folder, runs, others)
        for words in (
            ("--benchmark", BENCHMARK),
            ("--study", STUDY_NAME),
            ("--setting", f"order {ORDER}"),
            ("--benchmark", "nowhere"),
        ):
            yield _command(words, uri, folder)


def _command(words: tuple[str, ...], uri: str, folder: Path) -> CommandTime:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [*PROGRAM, "leaderboard", *words, "--tracking", uri], cwd=folder, capture_output=True, text=True, check=False
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    said = next(filter(None, map(str.strip, (done.stdout or done.stderr).splitlines())), "")
    return CommandTime(shlex.join(words), after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, said)


def filled(folder: Path, runs: int, others: int) -> str:
    """URI of a database in ``folder`` with ``runs`` runs of one benchmark in order II, as many of one study, and the rest of ``others``."""
    uri = sqlite_uri(folder / "mlflow.db")
    record, scores = _trained(folder, uri)
    searched = min(runs, others)
    with closing(sqlite3.connect(folder / "mlflow.db")) as connection, connection:
        connection.execute("PRAGMA synchronous = OFF")  # a measurement's own file
        copies = _Copies(connection, folder, record.run_id)
        for number in range(runs):
            own: dict[str, Any] = {"benchmark": BENCHMARK, "setting": {**record.setting, "order": ORDER}}
            copies.add(_copy(record, number, own), _other_scores(scores, number))
        for number in range(runs, runs + searched):
            own = {"benchmark": OTHER, "study": STUDY_NAME, "trial": number - runs}
            copies.add(_copy(record, number, own), _other_scores(scores, number))
        for number in range(runs + searched, runs + others):
            copies.add(_copy(record, number, {"benchmark": f"{OTHER}{number // 1000}"}), None)
    return uri


def _trained(folder: Path, uri: str) -> tuple[Record, Mapping[Key, Scores]]:
    """A run of a few steps, logged."""
    from suite.tracking.delivery import open_delivery
    from trainables.run import RunContext, execute

    record = execute(validate(RunConfig, TRAINED, where="perf leaderboard"), RunContext(folder, folder, "cpu"))
    with open_delivery(uri, folder) as delivery:
        if not delivery.log_run(record):
            raise SuiteError(f"perf leaderboard: MLflow did not take the run ({delivery.trouble}); look at {folder}.")
    run = RunStore(folder).find(record.run_id)
    return record, run.outcomes()


def _copy(record: Record, number: int, changes: Mapping[str, Any]) -> Record:
    config = {
        **record.config,
        "seed": number % SEEDS,
        "training": {**record.config["training"], "lr": 1e-5 * (1 + number // SEEDS)},
    }
    names = {"run_id": f"{number:016x}", "config_hash": f"{number:016x}", "settings_hash": f"{number // SEEDS:016x}"}
    return record.model_copy(update={"config": config, **names, **changes})


def _other_scores(scores: Mapping[Key, Scores], number: int) -> dict[Key, Scores]:
    """Scores of which one in ten was answered otherwise."""
    draws = numpy_generator("perf leaderboard", "copies", number)
    return {
        key: np.where(draws.random(len(found)) < 0.1, 100 - found, found).astype(np.float32) for key, found in scores.items()
    }


class _Copies:
    """Runs in MLflow's tables and artifact folders beside the one that is there."""

    def __init__(self, connection: sqlite3.Connection, folder: Path, run_id: str) -> None:
        self._connection, self._folder = connection, folder
        (self._trained,) = connection.execute(
            "SELECT run_uuid FROM tags WHERE key = ? AND value = ?", (RUN_ID, run_id)
        ).fetchone()
        self._columns = {table: self._names(table) for table in ("runs", *COPIED)}

    def _names(self, table: str) -> list[str]:
        found = self._connection.execute(f"SELECT * FROM {table} LIMIT 0").description
        return [name for name, *_ in found if name != "run_uuid"]

    def add(self, record: Record, scores: Mapping[Key, Scores] | None) -> None:
        """Log a copy with its own record and outcomes, or with links to those of the trained run where it has none."""
        copied = record.run_id.rjust(32, "f")
        for table, names in self._columns.items():
            columns = ", ".join(names)
            self._connection.execute(
                f"INSERT INTO {table} (run_uuid, {columns}) SELECT ?, {columns} FROM {table} WHERE run_uuid = ?",
                (copied, self._trained),
            )
        self._connection.execute(
            "UPDATE runs SET artifact_uri = replace(artifact_uri, ?, ?) WHERE run_uuid = ?", (self._trained, copied, copied)
        )
        tags = {**run_tags(record), RUN_ID: record.run_id}
        if record.study is not None:
            tags |= {f"{STUDY}.name": record.study, "trial": str(record.trial)}
        self._connection.executemany(
            "INSERT OR REPLACE INTO tags (run_uuid, key, value) VALUES (?, ?, ?)",
            [(copied, key, value) for key, value in tags.items()],
        )
        self._files(copied, record, scores)

    def _files(self, copied: str, record: Record, scores: Mapping[Key, Scores] | None) -> None:
        source, target = (self._folder / ARTIFACTS / name / "artifacts" for name in (self._trained, copied))
        target.mkdir(parents=True)
        if scores is not None:
            store = RunStore(self._folder)
            store.note_all(_measured(record, scores), scores, {})
            source = store.folder(record.run_id)
        for name in (RECORD, OUTCOMES):
            os.link(source / name, target / name)


def _measured(record: Record, scores: Mapping[Key, Scores]) -> Record:
    """``record`` with the matrices that these scores give."""
    cells: dict[str, list[list[float | None]]] = {
        "validation": [list(row) for row in record.validation],
        "test": [list(row) for row in record.test],
    }
    for (split, row, task), found in scores.items():
        cells[split][row][task] = float(found.mean())
    return record.model_copy(update=cells)
