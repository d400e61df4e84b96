"""Command ``submit``: a sweep or a tuning as a job on a Ray cluster elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from suite.cli.options import ChangesOption, JsonOption, ResumeOption

TrackingOption = Annotated[
    str | None,
    typer.Option("--tracking", help="Tracker as the cluster reaches it; default mlflow.db below --out (MLflow). 'none' = off."),
]
VariablesOption = Annotated[
    list[str] | None,
    typer.Option("--env", help="NAME=VALUE for the job's processes; shown on the dashboard, so no secrets; repeatable."),
]


def submit(
    file: Annotated[Path, typer.Argument(help="File of a sweep or of a tuning (YAML).")],
    address: Annotated[str, typer.Option("--address", help="The cluster's dashboard, http://HEAD:8265.")],
    resume: ResumeOption = False,
    accept_changes: ChangesOption = False,
    out: Annotated[
        str | None,
        typer.Option(
            "--out", help="Folder on the cluster that every node sees; relative = below the home folder; default codyra-runs."
        ),
    ] = None,
    data_root: Annotated[
        str | None,
        typer.Option("--data-root", help="Folder with the data sets on the cluster; relative = below the home folder."),
    ] = None,
    tracking: TrackingOption = None,
    variables: VariablesOption = None,
    python: Annotated[str, typer.Option("--python", help="Python on the cluster that has the suite's libraries.")] = "python",
    no_env: Annotated[
        bool,
        typer.Option("--no-env", help="Use the cluster's own environment instead of installing requirements.lock for the job."),
    ] = False,
    no_follow: Annotated[bool, typer.Option("--no-follow", help="Return as soon as the job is handed over.")] = False,
    json: JsonOption = False,
) -> None:
    """Hand a sweep or a tuning to a Ray cluster as a job, follow its log, exit with its exit code.

    The code of this installation, the outside packages that it uses and its file travel along; nothing else does. Ctrl-C leaves the job running.

    Examples:

        codyra-suite submit sweep.yaml --address http://127.0.0.1:8265 --out /shared/codyra-runs

        codyra-suite submit fair.yaml --address http://127.0.0.1:8265 --resume --no-env --no-follow
    """
    from suite.cli.json_output import print_json
    from suite.cli.progress import TerminalWatcher
    from suite.workflows import submitting

    code = submitting.submit(
        file,
        address,
        resume=resume,
        accept_changes=accept_changes,
        out=out,
        data_root=data_root,
        tracking=tracking,
        variables=variables or (),
        python=python,
        own_environment=no_env,
        follow=not no_follow,
        watcher=TerminalWatcher(),
    )
    if json:
        print_json({"file": file, "address": address, "followed": not no_follow, "exit_code": code})
    raise typer.Exit(code)
