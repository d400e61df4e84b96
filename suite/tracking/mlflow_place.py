"""Where artifacts lie when MLflow's database is a file: beside it, also after both were moved together.

MLflow stores absolute paths alone. A folder of results that was moved, renamed or copied would show runs without files, and write
new ones to where it used to be.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import quote, unquote

SQLITE = "sqlite:///"
ARTIFACTS = "mlartifacts"
BUSY_SECONDS = 20.0


def named_file(uri: str) -> Path | None:
    """The file behind a SQLite URI as it was written, relative or not; None for every other kind."""
    return Path(unquote(uri.removeprefix(SQLITE).partition("?")[0])) if uri.startswith(SQLITE) else None


def database_file(uri: str) -> Path | None:
    """The same from the root on."""
    file = named_file(uri)
    return None if file is None else file.resolve()


def artifact_place(database: Path) -> str:
    """URI of the folder for artifacts beside a database file."""
    return (database.parent / ARTIFACTS).as_uri()


def follow_move(database: Path, experiment: str) -> None:
    """Let the runs of ``experiment`` name the artifacts beside their database when these have moved there with it.

    Nothing changes when there are none, when they are where the database says, or when the database cannot be written; what is
    wrong with it, MLflow says.
    """
    here = artifact_place(database)
    if not database.is_file() or not (database.parent / ARTIFACTS).is_dir():
        return
    try:
        with closing(sqlite3.connect(f"file:{quote(str(database))}?mode=rw", uri=True, timeout=BUSY_SECONDS)) as connection:
            found = connection.execute(
                "SELECT experiment_id, artifact_location FROM experiments WHERE name = ?", (experiment,)
            ).fetchone()
            if (
                found is None
                or found[1] == here
                or not str(found[1]).startswith("file:")
                or not str(found[1]).endswith(f"/{ARTIFACTS}")
            ):
                return
            runs = connection.execute("SELECT run_uuid FROM runs WHERE experiment_id = ?", found[:1])
            if not any((database.parent / ARTIFACTS / str(run)).is_dir() for (run,) in runs):
                return
            number, before = found
            with connection:
                connection.execute(
                    "UPDATE runs SET artifact_uri = ? || substr(artifact_uri, ?) WHERE experiment_id = ? AND substr(artifact_uri, 1, ?) = ?",
                    (here, len(before) + 1, number, len(before) + 1, f"{before}/"),
                )
                connection.execute("UPDATE experiments SET artifact_location = ? WHERE experiment_id = ?", (here, number))
    except sqlite3.Error:
        return
