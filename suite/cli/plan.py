"""Command ``plan``: the bill of a sweep or of a tuning before it is run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from suite.cli.options import DataOption, DeviceOption, JsonOption, LimitOption, OutOption
from suite.workflows.places import DATA, OUT

if TYPE_CHECKING:
    from suite.workflows.planning import Plan, TuningPlan


def plan(
    file: Annotated[Path, typer.Argument(help="File of a sweep or of a tuning (YAML).")],
    address: Annotated[
        str | None, typer.Option("--address", help="Ray whose CPUs and GPUs count; default this machine's.")
    ] = None,
    json: JsonOption = False,
    limit: LimitOption = None,
    out: OutOption = OUT,
    data_root: DataOption = DATA,
    device: DeviceOption = "auto",
) -> None:
    """Trials, time, memory and disk of a sweep or a tuning, from a short measured probe of real steps and evaluations on this machine.

    Three points of every space are probed, a cheap, a middle and a costly one. Trials are taken as learned to the end: stopping
    can only shorten it. What is impossible is refused with the numbers.

    Examples:

        codyra-suite plan sweep.yaml

        codyra-suite plan fair.yaml

        codyra-suite plan sweep.yaml --json
    """
    from suite.cli.json_output import print_json
    from suite.cli.progress import TerminalWatcher
    from suite.tuning.forecast import as_json
    from suite.workflows import planning

    found = planning.plan(
        file, address=address, limit=limit, out=out, data_root=data_root, device=device, watcher=TerminalWatcher()
    )
    if isinstance(found, planning.TuningPlan):
        print_json(planning.tuning_as_json(found)) if json else _show_tuning(found)
    else:
        print_json(as_json(found.forecast)) if json else _show(found)


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


def _show_tuning(plan: TuningPlan) -> None:
    from suite.cli.tables import Column, Sheet, duration_text, print_sheet
    from suite.workflows.tune_files import outline

    config = plan.config
    columns = [
        *(Column(name, wraps=True) for name in ("benchmark", "method")),
        *(Column(name) for name in ("trials", "judging\nruns", "one run")),
        Column("over the space", optional=1),
    ]
    rows = []
    for one in config.entrants:
        found = plan.studies.get(one.name)
        least, mean, most = found.run_seconds if found else (0.0, 0.0, 0.0)
        trials = (
            f"{found.trials}" + (f" x {len(config.search_seeds)}" if len(config.search_seeds) > 1 else "") if found else "-"
        )
        over = f"{duration_text(least)} to {duration_text(most)}" if found else "-"
        rows.append(
            [one.benchmark, one.method, trials, str(plan.judged[one.name]), duration_text(mean) if found else "-", over]
        )
    print_sheet(Sheet(outline(config), columns, rows, labels=2))
    totals = {
        "runs": str(sum(found.runs for found in plan.studies.values()) + sum(plan.judged.values())),
        "runs at a time": str(plan.at_a_time),
        "wall clock": duration_text(plan.wall_seconds),
        "of it judging": f"{plan.judging_seconds / (plan.at_a_time * plan.wall_seconds):.0%}" if plan.wall_seconds else "-",
        "CPU-hours": f"{plan.cpu_hours:.2f}",
        "GPU-hours": f"{plan.gpu_hours:.2f}" if config.resources.gpus else "none",
        "peak memory of a run": f"{plan.peak_bytes / 2**30:.2f} GiB",
        "disk, at most": f"{plan.disk_bytes / 2**30:.2f} GiB",
    }
    for name, value in totals.items():
        typer.echo(f"{name:26}{value}")
