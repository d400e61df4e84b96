"""How the suite speaks to MLflow: which client, which experiment, quietly, and what an error of it means."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from suite.errors import ConfigError
from suite.loggers import kept, quieted
from suite.missing_packages import missing_package
from suite.proxies import proxy_of, reach_directly, without_password
from suite.tracking.mlflow_place import artifact_place, database_file, follow_move, require_database

if TYPE_CHECKING:
    from mlflow import MlflowClient

EXPERIMENT = "codyra-suite"
QUIET = ("mlflow", "alembic", "sqlalchemy", "mlflow.store.db.utils", "alembic.runtime.migration", "urllib3.connectionpool")
# MLflow would wait two minutes for an answer and try seven times; delivery has its own patience, and looks whether a run was
# created before it creates it once more, which a blind repetition does not.
ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
}


def connect(uri: str) -> MlflowClient:
    """A client for ``uri``; a database was opened once, because MLflow would try for 100 seconds where it cannot be.

    Raises:
        ConfigError: not a tracking URI, or MLflow is not installed.
        Exception: whatever the database's driver raises; see ``is_away`` and ``reason_of``.
    """
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    _require_mlflow(uri)
    reach_directly(uri)
    if (database := database_file(uri)) is not None:
        require_database(database)
    if _is_database(uri):
        _open_database(uri)
    if database is not None:
        follow_move(database, EXPERIMENT)
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    try:
        return MlflowClient(uri)
    except MlflowException as error:
        raise ConfigError(
            f"tracking '{without_password(uri)}': is not a tracking URI ({reason_of(error, uri)}); use sqlite:///FILE or http://HOST:PORT."
        ) from None


def _require_mlflow(uri: str) -> None:
    try:
        import mlflow  # noqa: F401
    except ModuleNotFoundError as error:
        if (missing := missing_package(error)) is None:
            raise
        raise ConfigError(f"tracking '{without_password(uri)}': {missing}, or give '--tracking none'.") from None


def is_away(error: Exception, uri: str) -> bool:
    """Whether waiting may help: nobody answers, the server has trouble of its own, a database is locked."""
    from mlflow.exceptions import MlflowException
    from requests.exceptions import InvalidSchema, InvalidURL, MissingSchema, RequestException
    from sqlalchemy.exc import OperationalError

    if uri.startswith("sqlite:"):
        return "locked" in str(error)  # a file that cannot be opened or written stays so
    if isinstance(error, MlflowException):
        return error.get_http_status_code() in (408, 425, 429) or error.get_http_status_code() >= 500
    if isinstance(error, (InvalidSchema, InvalidURL, MissingSchema)):
        return False
    return isinstance(error, (RequestException, OperationalError, ConnectionError, TimeoutError))


def reason_of(error: Exception, uri: str) -> str:
    """The few words of an error that say what is wrong, with the proxy that the request went through."""
    text = " ".join(str(error).split())
    system = re.findall(r"\[Errno -?\d+\] ([^'\")]+)", text)
    database = re.match(r"\(([\w.]+)\) (.*?)(?: \[SQL| \(Background|$)", text)
    reason = system[-1] if system else database[2] if database else text
    if isinstance(error, ImportError) and _is_database(uri):
        reason += "; install the database's driver"
    proxy = proxy_of(uri)
    through = f", through the proxy {proxy} of the environment; name the host in no_proxy to reach it directly" if proxy else ""
    return f"{reason.strip().rstrip('.')[:200]}{through}"


def _is_database(uri: str) -> bool:
    return re.match(r"(sqlite|postgresql|mysql|mssql)(\+\w+)?:", uri) is not None


def _open_database(uri: str) -> None:
    from sqlalchemy import create_engine, inspect
    from sqlalchemy.pool import NullPool

    if (database := database_file(uri)) is not None:
        database.parent.mkdir(parents=True, exist_ok=True)  # as MLflow does
    inspect(create_engine(uri, poolclass=NullPool)).get_table_names()


def experiment_id(client: MlflowClient, uri: str) -> str:
    """The suite's experiment, made when it is not there; with SQLite its artifacts lie beside the database."""
    found = client.get_experiment_by_name(EXPERIMENT)
    if found is not None:
        return str(found.experiment_id)
    database = database_file(uri)
    return str(client.create_experiment(EXPERIMENT, artifact_location=artifact_place(database) if database else None))


def quoted(value: str) -> str:
    """``value`` as a string of MLflow's filter language, which has no escape: the quote it does not hold is used.

    Raises:
        ConfigError: the value holds both kinds of quotes.
    """
    if "'" not in value:
        return f"'{value}'"
    if '"' not in value:
        return f'"{value}"'
    raise ConfigError(f"tracking: the name {value!r} holds both kinds of quotes, which MLflow cannot search; rename it.")


@contextmanager
def quiet_mlflow() -> Iterator[None]:
    """MLflow and its database tools say only what went wrong, and leave the other loggers as they are."""
    with quieted(QUIET), kept():
        yield
