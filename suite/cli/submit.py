"""Command ``submit``: a sweep as a job on a Ray cluster elsewhere."""

from __future__ import annotations

import re
import secrets
import shlex
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from suite.errors import ConfigError
from suite.signals import CTRL_C_CODE

if TYPE_CHECKING:
    from suite.tuning.study_config import StudyConfig

# All that reaches a job without being asked for; nothing is taken over from the environment here.
VARIABLES = {"COLUMNS": "140", "RAY_USAGE_STATS_ENABLED": "0"}


def submit(
    file: Annotated[Path, typer.Argument(help="Sweep file (YAML).")],
    address: Annotated[str, typer.Option("--address", help="The cluster's dashboard, http://HEAD:8265.")],
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a study that was interrupted.")] = False,
    accept_changes: Annotated[
        bool,
        typer.Option("--accept-changes", help="With --resume: the sweep file may differ from the one the study began with."),
    ] = False,
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
    tracking: Annotated[
        str | None,
        typer.Option("--tracking", help="MLflow URI as the cluster reaches it; default mlflow.db below --out. 'none' = off."),
    ] = None,
    variables: Annotated[
        list[str] | None,
        typer.Option("--env", help="NAME=VALUE for the job's processes; shown on the dashboard, so no secrets; repeatable."),
    ] = None,
    python: Annotated[str, typer.Option("--python", help="Python on the cluster that has the suite's libraries.")] = "python",
    no_env: Annotated[
        bool,
        typer.Option("--no-env", help="Use the cluster's own environment instead of installing requirements.lock for the job."),
    ] = False,
    no_follow: Annotated[bool, typer.Option("--no-follow", help="Return as soon as the job is handed over.")] = False,
) -> None:
    """Hand a sweep to a Ray cluster as a job, follow its log, exit with its exit code.

    The code of this installation and the sweep file travel along; nothing else does. Ctrl-C leaves the job running.

    Examples:

        codyra-suite submit sweep.yaml --address http://127.0.0.1:8265 --out /shared/codyra-runs

        codyra-suite submit sweep.yaml --address http://127.0.0.1:8265 --resume --no-env --no-follow
    """
    from suite.tuning import submission
    from suite.tuning.working_folder import build_working_folder, runtime_environment
    from suite.workflows.sweeping import read_sweep

    study = read_sweep(file)
    _check_places(study, file, tracking)
    environment = {**VARIABLES, **_read_variables(variables or [])}
    given = {"--out": out, "--data-root": data_root, "--tracking": tracking}
    flags = {"--resume": resume, "--accept-changes": accept_changes}
    named = f"{study.name}.yaml"  # a file that names no study is one by its own name, on the cluster too
    entry = [python, "-m", "suite.cli.entry", named, *(f"{key}={value}" for key, value in given.items() if value)]
    entry += [flag for flag, said in flags.items() if said]
    with tempfile.TemporaryDirectory(prefix="codyra-submit-") as scratch:
        working, runtime = Path(scratch) / "job", Path(scratch) / "runtime_env.yaml"
        working.mkdir()
        size = build_working_folder(working, (named, file))
        runtime_environment(runtime, environment, pinned=not no_env)
        job = submission.Job(submission.check_address(address), f"codyra-{study.name}-{secrets.token_hex(4)}")
        command = job.submit_command(working, runtime, entry, wait=not no_follow)
        typer.echo(
            f"working folder {size / 2**20:.1f} MiB, environment {'of the cluster' if no_env else 'from requirements.lock'}"
        )
        typer.echo(f"$ {shlex.join(command)}")
        try:
            code = submission.submit(job, command, lambda text: typer.echo(text, err=True), follow=not no_follow)
        except KeyboardInterrupt:
            code = CTRL_C_CODE
    raise typer.Exit(code)


def _check_places(study: StudyConfig, file: Path, tracking: str | None) -> None:
    """Refuse places that mean something else on the cluster, or vanish there with the job's working folder."""
    if study.warm_start is not None and not study.warm_start.study.is_absolute():
        raise ConfigError(
            f"{file}: warm_start.study: '{study.warm_start.study}' is relative; give the folder's full path on the cluster."
        )
    if tracking is not None and tracking.startswith("sqlite:///") and not tracking.startswith("sqlite:////"):
        raise ConfigError(
            f"--tracking: '{tracking}' is a relative file, lost with the job; write it as sqlite:////FULL/PATH, or http://HOST:PORT."
        )


def _read_variables(pairs: list[str]) -> dict[str, str]:
    found = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
            raise ConfigError(f"--env: '{pair}' is no variable; write it as NAME=VALUE.")
        found[name] = value
    return found
