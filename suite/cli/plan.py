"""Command ``plan``: the bill of a sweep before it is run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from suite.cli.options import DataOption, DeviceOption, LimitOption, OutOption
from suite.workflows.places import DATA, OUT, output_file

if TYPE_CHECKING:
    from suite.workflows.planning import Plan


def plan(
    file: Annotated[Path, typer.Argument(help="Sweep file (YAML).")],
    address: Annotated[
        str | None, typer.Option("--address", help="Ray whose CPUs and GPUs count; default this machine's.")
    ] = None,
    json: Annotated[
        Path | None,
        typer.Option(
            "--json", metavar="FILE", parser=output_file, help="Write the numbers to this file; - is standard output."
        ),
    ] = None,
    limit: LimitOption = None,
    out: OutOption = OUT,
    data_root: DataOption = DATA,
    device: DeviceOption = "auto",
) -> None:
    """Trials, time, memory and disk of a sweep, from a short measured probe of real steps and evaluations on this machine.

    Three points of the space are probed, a cheap, a middle and a costly one. Trials are taken as learned to the end: stopping
    can only shorten the sweep. What is impossible is refused with the numbers.

    Examples:

        codyra-suite plan sweep.yaml

        codyra-suite plan sweep.yaml --json plan.json
    """
    import json as text

    from suite.cli.progress import TerminalWatcher
    from suite.files import printed_beside, write_output
    from suite.tuning.forecast import as_json
    from suite.workflows import planning

    found = planning.plan(
        file, address=address, limit=limit, out=out, data_root=data_root, device=device, watcher=TerminalWatcher()
    )
    with printed_beside(json):
        _show(found)
        if json is not None:
            write_output(json, (text.dumps(as_json(found.forecast), indent=1) + "\n").encode())
            typer.echo(f"json: {json}")


def _show(plan: Plan) -> None:
    from suite.cli.tables import duration_text
    from suite.tuning.forecast import packing

    config, found = plan.config, plan.forecast
    least, mean, most = found.run_seconds
    low, high = found.trainable_parameters
    seeds = len(config.seeds or (0,))
    where = "GPU" if config.resources.gpus else "machine"
    rows = {
        "trials": f"{found.trials}" + (f" x {seeds} seeds" if seeds > 1 else ""),
        "tasks per run": str(found.tasks),
        "trainable parameters": f"{low:,} to {high:,}" if low != high else f"{low:,}",
        "one run": f"{duration_text(mean)} ({duration_text(least)} to {duration_text(most)} over the space)",
        "runs at a time": str(found.at_a_time),
        "wall clock": duration_text(found.wall_seconds),
        "CPU-hours": f"{found.cpu_hours:.2f}",
        "GPU-hours": f"{found.gpu_hours:.2f}" if config.resources.gpus else "none",
        "peak memory of a run": f"{found.peak_bytes / 2**30:.2f} GiB",
        f"runs that fit one {where}": str(found.per_device),
        "disk, at most": f"{found.disk_bytes / 2**30:.2f} GiB",
    }
    for name, value in rows.items():
        typer.echo(f"{name:26}{value}")
    fields = ", ".join(f"{key}: {value:g}" for key, value in packing(config, found).items())
    typer.echo(f"{'packing':26}resources: {{{fields}}}")
