"""Where artifacts lie when MLflow's database is a file: beside it, also after both were moved together.

MLflow stores absolute paths alone. A folder of results that was moved, renamed or copied would show runs without files, and write
new ones to where it used to be.
"""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

from suite.errors import ConfigError
from suite.proxies import without_password

SQLITE = "sqlite:///"
HEADER = b"SQLite format 3\0"  # of every database file
ARTIFACTS = "mlartifacts"
BUSY_SECONDS = 20.0


def named_file(uri: str) -> Path | None:
    """The file behind a SQLite URI as it was written, relative or not; None for every other kind."""
    return Path(unquote(uri.removeprefix(SQLITE).partition("?")[0])) if uri.startswith(SQLITE) else None


def database_file(uri: str) -> Path | None:
    """The same from the root on."""
    file = named_file(uri)
    return None if file is None else file.resolve()


def require_place(uri: str) -> None:
    """Refuse a URI under which nothing would be kept.

    Raises:
        ConfigError: of SQLite without a file, or of a server without a host.
    """
    scheme = uri.partition(":")[0].partition("+")[0]
    if scheme == "sqlite" and (not re.match(r"sqlite(\+\w+)?:///[^?]", uri) or ":memory:" in uri or "mode=memory" in uri):
        raise ConfigError(
            f"tracking '{uri}': names no file that would be kept; write sqlite:///FILE, e.g. sqlite:///mlflow.db."
        )
    if scheme in ("http", "https") and not _host(uri):
        raise ConfigError(f"tracking '{without_password(uri)}': names no server; write {scheme}://HOST:PORT.")


def _host(uri: str) -> str | None:
    try:
        return urlsplit(uri).hostname
    except ValueError:
        return None


def require_database(file: Path) -> None:
    """Refuse a file that holds something else: SQLite would take a short one for an empty database and write over it.

    Raises:
        ConfigError: the file is there, holds something, and is no SQLite database.
    """
    try:
        with file.open("rb") as opened:
            head = opened.read(len(HEADER))
    except OSError:  # it is not there yet; what else is wrong with it, the database's driver says
        return
    if head and head != HEADER:
        raise ConfigError(
            f"tracking '{SQLITE}{file}': cannot be used (file is not a database) and is left as it is; name another file."
        )


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
