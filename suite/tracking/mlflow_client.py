"""How the suite speaks to MLflow: which client, which experiment, quietly."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from suite.errors import ConfigError

if TYPE_CHECKING:
    from mlflow import MlflowClient

EXPERIMENT = "codyra-suite"
QUIET = ("mlflow", "alembic", "sqlalchemy", "mlflow.store.db.utils", "alembic.runtime.migration", "urllib3.connectionpool")
# MLflow would wait two minutes for an answer and try seven times; the sink has its own patience.
ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
}


def default_uri() -> str:
    """SQLite file in the working folder."""
    return f"sqlite:///{Path.cwd() / 'mlflow.db'}"


def connect(uri: str) -> MlflowClient:
    """A client for ``uri``.

    Raises:
        ConfigError: not a tracking URI.
    """
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    try:
        return MlflowClient(uri)
    except MlflowException as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(f"tracking '{uri}': is no tracking URI ({reason}); use sqlite:///FILE or http://HOST:PORT.") from None


def experiment_id(client: MlflowClient, uri: str) -> str:
    """The suite's experiment, made when it is not there; with SQLite its artifacts lie beside the database."""
    found = client.get_experiment_by_name(EXPERIMENT)
    if found is not None:
        return str(found.experiment_id)
    local = uri.startswith("sqlite:///")
    place = (Path(uri.removeprefix("sqlite:///")).resolve().parent / "mlartifacts").as_uri() if local else None
    return str(client.create_experiment(EXPERIMENT, artifact_location=place))


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
    """MLflow and its database tools say only what went wrong."""
    before = {name: logging.getLogger(name).level for name in QUIET}
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        yield
    finally:
        for name, level in before.items():
            logging.getLogger(name).setLevel(level)
