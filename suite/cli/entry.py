"""What runs on the cluster's head: the command ``sweep``, with places that outlive the job's own folder.

A job's working folder is a temporary copy that Ray deletes. Relative places therefore count from the home folder, and MLflow's
default database lies below ``--out``.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from suite.cli.main import main as command_line
from suite.files import sqlite_uri
from suite.workflows.places import DATA, OUT


def sweep_arguments(given: Sequence[str], home: Path) -> list[str]:
    """Arguments of ``codyra-suite`` for those of this script; options it does not know go through as they are."""
    parser = argparse.ArgumentParser(prog="entry", description=__doc__, allow_abbrev=False)
    parser.add_argument("file")
    parser.add_argument("--out", default=os.fspath(OUT))
    parser.add_argument("--data-root", default=os.environ.get("CODYRA_DATA", os.fspath(DATA)))
    parser.add_argument("--tracking", default=os.environ.get("MLFLOW_TRACKING_URI"))
    parser.add_argument("--go-on", action="store_true", help="--resume if the study has begun, for starts that nobody watches")
    known, others = parser.parse_known_args([word for word in given if word != "--"])
    out = home / Path(known.out).expanduser()
    options = ["--out", str(out), "--data-root", str(home / Path(known.data_root).expanduser())]
    options += ["--tracking", known.tracking or sqlite_uri(out / "mlflow.db")]
    if "RAY_ADDRESS" not in os.environ:
        options += ["--address", "auto"]
    if known.go_on and _has_begun(Path(known.file), out):
        options.append("--resume")
    return ["sweep", known.file, *options, *others]


def _has_begun(file: Path, out: Path) -> bool:
    from suite.errors import SuiteError
    from suite.workflows.sweeping import read_sweep

    try:
        return (out / "studies" / read_sweep(file).name / "sweep.yaml").is_file()
    except SuiteError:
        return False  # the command says it, in one sentence


def main() -> None:
    """Run the sweep that the command line names; exits as ``codyra-suite sweep`` does."""
    sys.argv[:] = ["codyra-suite", *sweep_arguments(sys.argv[1:], Path.home())]
    command_line()


if __name__ == "__main__":
    main()
