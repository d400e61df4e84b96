"""Command ``paper``: the runs behind a published table, each value beside the printed one."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from suite.cli.options import (
    DataOption,
    DeviceOption,
    FileOption,
    JsonOption,
    MethodsOption,
    OutOption,
    SetOption,
    TrackingOption,
    seed_list,
)
from suite.workflows.places import DATA, OUT

OrdersOption = Annotated[list[str] | None, typer.Option("--order", help="Only rows of this order; repeatable.")]
BackbonesOption = Annotated[
    list[str] | None, typer.Option("--backbone", help="Only rows of this backbone, as it is printed; repeatable.")
]
SmokeOption = Annotated[
    int | None,
    typer.Option("--limit", metavar="N", help="A smoke test: at most N rows per split and task, 4 steps, no verdict."),
]
PlanOption = Annotated[bool, typer.Option("--plan", help="Instead: what it will cost, from short probes on this machine.")]
ConcurrencyOption = Annotated[
    int | None, typer.Option("--concurrency", min=1, help="Runs at a time; default one per core or GPU.")
]


def paper(
    table: Annotated[str, typer.Argument(help="xtail, mtil-5shot, trace or trace-500.")],
    methods: MethodsOption = None,
    orders: OrdersOption = None,
    backbones: BackbonesOption = None,
    seeds: Annotated[str, typer.Option("--seeds", help="Seeds, e.g. 0-2 or 0,1,5.")] = "0",
    settings: SetOption = None,
    limit: SmokeOption = None,
    plan: PlanOption = False,
    concurrency: ConcurrencyOption = None,
    csv: FileOption = None,
    markdown: FileOption = None,
    latex: FileOption = None,
    json: JsonOption = False,
    out: OutOption = OUT,
    data_root: DataOption = DATA,
    device: DeviceOption = "auto",
    tracking: TrackingOption = None,
) -> None:
    """Run the recipe of every row of a published table and show own values beside the printed ones, with a verdict or why not.

    Runs that are already finished are reused; the same command goes on after an interruption. A setting that begins with a
    method's name holds for that method alone.

    Examples:

        codyra-suite paper xtail --data-root data --plan

        codyra-suite paper trace-500 --data-root data --backbone LLaMA-3-1B-Instruct --seeds 0-2 --csv trace.csv
    """
    from suite.cli.json_output import plain, print_json, require_free_output
    from suite.cli.paper_board import print_paper, print_paper_plan
    from suite.cli.progress import TerminalWatcher

    files = {"csv": csv, "markdown": markdown, "latex": latex}
    require_free_output(json, **files)
    watcher = TerminalWatcher()
    with watcher.begin("loading libraries", None):
        from suite.cli.board import written
        from suite.workflows import papers

    chosen: dict[str, Any] = {"orders": orders or None, "backbones": backbones or None, "limit": limit}
    place: dict[str, Any] = {"concurrency": concurrency, "out": out, "data_root": data_root, "device": device}
    asked: dict[str, Any] = {**chosen, **place, "settings": settings or [], "watcher": watcher}
    if plan:
        planned = papers.plan_paper(table, methods or None, seed_list(seeds), **asked)
        print_json({"kinds": planned.names, **plain(planned.bill)}) if json else print_paper_plan(table, planned)
        return
    done = papers.paper(table, methods or None, seed_list(seeds), **asked, tracking=tracking)
    for sentence in done.failures:
        typer.echo(f"failed: {sentence}", err=True)
    with written(done.table, files, as_json=json):
        print_json({"table": done.table, "failures": done.failures}) if json else print_paper(table, done.table, limit)
    if done.failures:
        raise typer.Exit(1)
