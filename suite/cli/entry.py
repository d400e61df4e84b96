"""What runs on the cluster's head: the command ``sweep``, or ``tune`` for the file of a tuning, with places that outlive the job's own folder.

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


def command_arguments(given: Sequence[str], home: Path) -> list[str]:
    """Arguments of ``codyra-suite`` for those of this script; options it does not know go through as they are."""
    parser = argparse.ArgumentParser(prog="entry", description=__doc__, allow_abbrev=False)
    parser.add_argument("file")
    parser.add_argument("--out", default=os.fspath(OUT))
    parser.add_argument("--data-root", default=os.environ.get("CODYRA_DATA", os.fspath(DATA)))
    parser.add_argument("--tracking", default=os.environ.get("MLFLOW_TRACKING_URI"))
    parser.add_argument(
        "--go-on", action="store_true", help="--resume if the study or tuning has begun, for starts that nobody watches"
    )
    known, others = parser.parse_known_args([word for word in given if word != "--"])
    out = home / Path(known.out).expanduser()
    options = ["--out", str(out), "--data-root", str(home / Path(known.data_root).expanduser())]
    options += ["--tracking", known.tracking or sqlite_uri(out / "mlflow.db")]
    if "RAY_ADDRESS" not in os.environ:
        options += ["--address", "auto"]
    command, has_begun = _asked(Path(known.file), out)
    return [command, known.file, *options, *(["--resume"] if known.go_on and has_begun else []), *others]


def _asked(file: Path, out: Path) -> tuple[str, bool]:
    """The command that the file is for, and whether what it describes has begun below ``out``."""
    from suite.errors import SuiteError
    from suite.tuning.tuning_folder import TuningFolder
    from suite.workflows.sweeping import FILE, read_sweep
    from suite.workflows.tune_files import is_tuning, tune_config

    command = "sweep"
    try:
        if is_tuning(file):
            command = "tune"
            return command, TuningFolder(out, tune_config(file).name).exists
        return command, (out / "studies" / read_sweep(file).name / FILE).is_file()
    except SuiteError:
        return command, False  # the command says it, in one sentence


def main() -> None:
    """Run the sweep or the tuning that the command line names; exits as ``codyra-suite sweep`` or ``tune`` does."""
    sys.argv[:] = ["codyra-suite", *command_arguments(sys.argv[1:], Path.home())]
    command_line()


if __name__ == "__main__":
    main()
