"""Where a person looks at the runs in MLflow's own pages: the address, and the command that serves them."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from suite.proxies import without_password
from suite.tracking.mlflow_place import database_file

# Tag of the experiment: its pages begin with runs, not with traces of language models.
KIND = ("mlflow.experimentKind", "custom_model_development")
LOOPBACK = ("127.0.0.1", 5000)  # where ``mlflow ui`` listens, unless it is told otherwise


def runs_pages(uri: str, experiment: str) -> Sequence[str]:
    """The lines to show: of a server its address, of a database the command that serves it and the address then.

    Args:
        experiment: MLflow's number of it.
    """
    place = f"/#/experiments/{experiment}/runs?workflowType=machine_learning"
    if uri.startswith(("http://", "https://")):
        return (f"{without_password(uri).rstrip('/')}{place}",)
    if "://" not in uri:
        return ()  # a service with pages of its own
    host, port = LOOPBACK
    command = f"mlflow ui --host {host} --port {port} --backend-store-uri {shlex.quote(without_password(_typed(uri)))}"
    return (command, f"http://{host}:{port}{place}")


def _typed(uri: str) -> str:
    """The URI as one types it in the working folder."""
    database = database_file(uri)
    return uri if database is None or database.parent != Path.cwd().resolve() else f"sqlite:///{database.name}"
