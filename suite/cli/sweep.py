"""Command ``sweep``: a study over a search space, on the Ray there is or a local one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from suite.cli.options import ChangesOption, DataOption, DeviceOption, JsonOption, OutOption, ResumeOption, TrackingOption
from suite.workflows.places import DATA, OUT


def sweep(
    file: Annotated[Path, typer.Argument(help="Sweep file (YAML).")],
    resume: ResumeOption = False,
    accept_changes: ChangesOption = False,
    address: Annotated[
        str | None, typer.Option("--address", help="Ray address; default RAY_ADDRESS, else a local Ray.")
    ] = None,
    json: JsonOption = False,
    out: OutOption = OUT,
    data_root: DataOption = DATA,
    device: DeviceOption = "auto",
    tracking: TrackingOption = None,
) -> None:
    """Search a space with Optuna on Ray Tune; objectives see validation numbers only.

    Ctrl-C keeps what is finished; '--resume' goes on, running trials from their last finished task.

    Examples:

        codyra-suite sweep sweep.yaml

        codyra-suite sweep sweep.yaml --resume --address auto
    """
    from suite.cli.front import printed_when_interrupted, show_study
    from suite.cli.progress import TerminalWatcher
    from suite.cli.tables import print_pages

    watcher = TerminalWatcher()
    with watcher.begin("loading libraries", None):
        from suite.workflows import sweeping
        from suite.workflows.tracking import pages

    with printed_when_interrupted(as_json=json):
        study = sweeping.sweep(
            file,
            resume=resume,
            accept_changes=accept_changes,
            address=address,
            out=out,
            data_root=data_root,
            device=device,
            tracking=tracking,
            watcher=watcher,
        )
    show_study(study, as_json=json)
    if not json:
        print_pages(pages(tracking, out))
    if study.has_failed:
        raise typer.Exit(1)
