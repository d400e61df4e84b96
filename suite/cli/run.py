"""Command ``run``: one stream with one method."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from suite.cli import completion
from suite.cli.options import (
    DataOption,
    DeviceOption,
    DryRunOption,
    JsonOption,
    LimitOption,
    OutOption,
    SetOption,
    TrackingOption,
)
from suite.workflows.places import DATA, OUT


def run(
    what: Annotated[
        str,
        typer.Argument(
            metavar="WHAT", autocompletion=completion.benchmarks, help="A benchmark's name, or the path of a run's YAML config."
        ),
    ],
    method: Annotated[
        str | None,
        typer.Option(
            "--method", "-m", metavar="NAME", autocompletion=completion.methods, help="Method; see 'codyra-suite list methods'."
        ),
    ] = None,
    seed: Annotated[int | None, typer.Option("--seed", help="Root seed of the run.")] = None,
    settings: SetOption = None,
    limit: LimitOption = None,
    out: OutOption = OUT,
    data_root: DataOption = DATA,
    device: DeviceOption = "auto",
    accept_zero_shot: Annotated[
        bool, typer.Option("--accept-zero-shot", help="Train although zero-shot accuracy is not the published one.")
    ] = False,
    dry_run: DryRunOption = False,
    json: JsonOption = False,
    tracking: TrackingOption = None,
) -> None:
    """Learn one stream with one method and store its record.

    A run that was interrupted goes on from its last finished task; one that is finished is shown, not trained again.

    Examples:

        codyra-suite run mini-xtail --method codyra --set method.rank=8

        codyra-suite run codyra-runs/runs/0123456789abcdef/config.yaml --seed 1
    """
    from suite.cli.json_output import print_json
    from suite.cli.progress import TerminalWatcher
    from suite.cli.summary import print_run, run_fields

    watcher = TerminalWatcher()
    with watcher.begin("loading libraries", None):
        from suite.workflows import running

    asked: dict[str, Any] = {"method": method, "seed": seed, "settings": settings or [], "limit": limit}
    asked |= {"out": out, "data_root": data_root, "device": device, "watcher": watcher}
    if dry_run:
        from suite.cli.foresight import foresight_fields, print_foresight
        from suite.workflows import foreseeing

        found = foreseeing.plan_run(what, **asked)
        print_json(foresight_fields(found)) if json else print_foresight(found)
        return
    done = running.run(what, **asked, accept_zero_shot=accept_zero_shot, tracking=tracking)
    if json:
        print_json(run_fields(done.record, done.folder, found=done.was_found))
    else:
        print_run(done.record, done.folder, found=done.was_found)
    if done.record.status == "failed":
        raise typer.Exit(1)
