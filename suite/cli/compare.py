"""Command ``compare``: methods x benchmarks x seeds."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from suite.cli.options import (
    BenchmarksOption,
    DataOption,
    DeviceOption,
    DryRunOption,
    JsonOption,
    LimitOption,
    MethodsOption,
    OutOption,
    SetOption,
    TrackingOption,
    seed_list,
)
from suite.workflows.places import DATA, OUT


def compare(
    benchmarks: BenchmarksOption = None,
    methods: MethodsOption = None,
    seeds: Annotated[str, typer.Option("--seeds", help="Seeds, e.g. 0-2 or 0,1,5.")] = "0",
    settings: SetOption = None,
    limit: LimitOption = None,
    concurrency: Annotated[
        int | None, typer.Option("--concurrency", min=1, help="Runs at a time; default one per core or GPU.")
    ] = None,
    dry_run: DryRunOption = False,
    json: JsonOption = False,
    out: OutOption = OUT,
    data_root: DataOption = DATA,
    device: DeviceOption = "auto",
    tracking: TrackingOption = None,
) -> None:
    """Run every method on every benchmark with every seed, on Ray, and show the leaderboard.

    Runs that are already finished are reused. Without options: all methods on mini-mtil and mini-xtail. A setting that begins
    with a method's name holds for that method alone.

    Examples:

        codyra-suite compare -b mini-xtail -m codyra -m lora --seeds 0-2

        codyra-suite compare -b mini-mtil --set training.steps=120 --set codyra.kappa_max=0.02
    """
    from suite.cli.board import print_frame
    from suite.cli.json_output import print_json
    from suite.cli.progress import TerminalWatcher
    from suite.cli.summary import run_fields
    from suite.cli.tables import print_pages

    watcher = TerminalWatcher()
    with watcher.begin("loading libraries", None):
        from suite.workflows import comparing, tables
        from suite.workflows.tracking import pages

    named = (benchmarks or comparing.BENCHMARKS, methods or None, seed_list(seeds), settings or [])
    asked: dict[str, Any] = {"limit": limit, "concurrency": concurrency, "out": out, "data_root": data_root, "device": device}
    if dry_run:
        from suite.cli.foresight import foresight_fields, print_foresight
        from suite.workflows import foreseeing

        found = foreseeing.plan_compare(*named, **asked, watcher=watcher)
        print_json(foresight_fields(found)) if json else print_foresight(found)
        return
    done = comparing.compare(*named, **asked, tracking=tracking, watcher=watcher)
    for sentence in done.failures:
        typer.echo(f"failed: {sentence}", err=True)
    if json:
        print_json({"runs": [run_fields(found.record, found.folder) for found in done.runs], "failures": done.failures})
    elif any(found.record.status != "failed" for found in done.runs):
        print_frame(tables.leaderboard(out=out, tracking=tracking, watcher=watcher), None)
        print_pages(pages(tracking, out))
    if done.failures:
        raise typer.Exit(1)
