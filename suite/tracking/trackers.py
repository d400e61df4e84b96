"""The table of trackers, and which one a tracking URI means."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path

from suite.errors import ConfigError
from suite.files import sqlite_uri
from suite.registration import Entry, Registry
from suite.tracking.tracker import Tracker

MLFLOW = "suite.tracking.mlflow_tracker:MlflowTracker"

TRACKERS: Registry[type[Tracker]] = Registry(  # by the scheme of a tracking URI
    "tracker",
    "codyra_suite.trackers",
    "suite.tracking.tracker:Tracker",
    {
        "sqlite": Entry(MLFLOW, "MLflow in a file, sqlite:///FILE; the default is sqlite:///mlflow.db"),
        "http": Entry(MLFLOW, "a server of MLflow, http://HOST:PORT"),
        "https": Entry(MLFLOW, "a server of MLflow, https://HOST"),
        "postgresql": Entry(MLFLOW, "MLflow in PostgreSQL, postgresql://USER@HOST/DATABASE"),
        "mysql": Entry(MLFLOW, "MLflow in MySQL, mysql://USER@HOST/DATABASE"),
        "mssql": Entry(MLFLOW, "MLflow in SQL Server, mssql://USER@HOST/DATABASE"),
        "databricks": Entry(MLFLOW, "MLflow at Databricks"),
        "tensorboard": Entry(
            "suite.tracking.tensorboard_events:TensorBoardTracker", "event files of TensorBoard, tensorboard:FOLDER"
        ),
        "none": Entry("suite.tracking.tracker:RunFolders", "nothing is logged; tables are made from the run folders"),
    },
    are_named=True,  # what waits for a tracker lies in a folder of its name
    owes=("name", "usable"),
)


def default_uri() -> str:
    """MLflow in a SQLite file in the working folder."""
    return sqlite_uri(Path.cwd() / "mlflow.db")


def tracker_entry(uri: str) -> Entry | None:
    """The row that the scheme of ``uri`` chooses, None without one; what stands behind a plus (``postgresql+psycopg``) is the tracker's own."""
    return TRACKERS.entries.get(_scheme(uri))


def tracker_class(uri: str) -> type[Tracker]:
    """The class that the scheme of ``uri`` chooses.

    Raises:
        ConfigError: no tracker has this scheme, or that of an outside package cannot be used.
    """
    return TRACKERS.find(_scheme(uri), where="--tracking")


def tracker_for(uri: str | None, out: Path) -> Tracker:
    """The tracker of a URI, None = the default one; nothing is opened yet.

    Raises:
        ConfigError: as ``tracker_class`` says, or the URI names no place.
    """
    if uri == "":
        raise ConfigError("tracking '': names no tracker; leave it out for sqlite:///mlflow.db, or write none to log nothing.")
    uri = default_uri() if uri is None else uri
    return tracker_class(uri)(uri, out)


def tracker_faults(uri: str | None) -> AbstractContextManager[None]:
    """Around calls that must succeed: what the tracker of an outside package raises becomes one sentence with the package."""
    return TRACKERS.named_faults(_scheme(uri or default_uri()))


def _scheme(uri: str) -> str:
    return uri.partition(":")[0].partition("+")[0]
