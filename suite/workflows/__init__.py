"""What commands do, as functions that return values: the Python API, and what is done with a finished run.

A workflow raises ``SuiteError`` for a user's mistake, tells a ``Watcher`` how it goes, and never prints or ends the process.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from types import MappingProxyType

# Function of ``suite`` -> the module here that has it. The modules have other names, or loading one would hide the function.
API: Mapping[str, str] = MappingProxyType(
    {
        "run": "running",
        "compare": "comparing",
        "sweep": "sweeping",
        "tune": "tuning",
        "plan": "planning",
        "plan_run": "foreseeing",
        "plan_compare": "foreseeing",
        "paper": "papers",
        "plan_paper": "papers",
        "init": "starting_files",
        "doctor": "doctoring",
        "runs": "tables",
        "run_table": "run_rows",
        "studies": "stored_studies",
        "study": "stored_studies",
        "tag": "labelling",
        "note": "labelling",
        "delete": "deleting",
        "leaderboard": "tables",
        "reproduction": "tables",
        "report": "reporting",
        "publish": "publishing",
        "merge": "merging",
        "verify": "publishing",
        "repeat": "repeating",
        "export": "exporting",
        "rescore": "rescoring",
    }
)


def __getattr__(name: str) -> object:
    if name not in API:
        raise AttributeError(f"module 'suite' has no attribute {name!r}; its functions are {', '.join(API)}")
    return getattr(import_module(f"suite.workflows.{API[name]}"), name)
