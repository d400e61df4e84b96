"""Command ``sweep``: a study over a search space, on the Ray there is or a local one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from suite.cli.run import DATA, OUT, DataOption, DeviceOption, OutOption, TrackingOption


def sweep(
    file: Annotated[Path, typer.Argument(help="Sweep file (YAML).")],
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a study that was interrupted.")] = False,
    accept_changes: Annotated[
        bool, typer.Option("--accept-changes", help="With --resume: the sweep file may differ from the one the study began with.")
    ] = False,
    address: Annotated[str | None, typer.Option("--address", help="Ray address; default RAY_ADDRESS, else a local Ray.")] = None,
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
    from suite.cli.sweeping import read_sweep, run_study
    from suite.tuning.carriage import Carriage

    config = read_sweep(file)
    carriage = Carriage(
        out,
        data_root,
        device,
        address,
        config.resources,
        config.concurrency,
        carrier=config.carrier,
        storage=config.storage,
        selection=config.selection,
    )
    source = run_study(config, carriage, tracking, resume=resume, accept_changes=accept_changes)
    if {trial.state.name for trial in source.store.trials()} == {"FAIL"}:
        raise typer.Exit(1)
