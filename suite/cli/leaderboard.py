"""Command ``leaderboard``: what MLflow holds, as a table on screen and as files."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from suite.cli.options import (
    BenchmarkOption,
    ConventionOption,
    FileOption,
    JsonOption,
    MethodOption,
    OutOption,
    SelectionOption,
    SettingOption,
    StudyOption,
    TagOption,
    TrackingOption,
    TrialsOption,
)
from suite.workflows.places import OUT

PublishedOption = Annotated[
    bool, typer.Option("--published", help="Add published numbers of the benchmarks shown (or of --benchmark), marked.")
]
ReproducedOption = Annotated[
    bool, typer.Option("--reproduced", help="Instead: published numbers with own value, difference, tolerance and verdict.")
]


def leaderboard(
    csv: FileOption = None,
    markdown: FileOption = None,
    latex: FileOption = None,
    json: JsonOption = False,
    html: FileOption = None,
    benchmark: BenchmarkOption = None,
    method: MethodOption = None,
    setting: SettingOption = None,
    study: StudyOption = None,
    tag: TagOption = None,
    convention: ConventionOption = None,
    per_task: Annotated[bool, typer.Option("--per-task", help="Add the accuracy on each task after the last one.")] = False,
    pool_orders: Annotated[bool, typer.Option("--pool-orders", help="One row for all orders of a stream.")] = False,
    published: PublishedOption = False,
    reproduced: ReproducedOption = False,
    all_trials: TrialsOption = False,
    selection: SelectionOption = None,
    out: OutOption = OUT,
    tracking: TrackingOption = None,
) -> None:
    """Mean and spread per benchmark, method and setting, out of MLflow; the best is marked with all it cannot be told from.

    With '--tracking none' the runs are read from the folder --out.

    Examples:

        codyra-suite leaderboard --csv leaderboard.csv

        codyra-suite leaderboard --benchmark mini-xtail --convention gem --markdown board.md
    """
    from suite.cli.board import print_frame, print_reproduction, written
    from suite.cli.json_output import print_json, require_free_output
    from suite.cli.progress import TerminalWatcher
    from suite.workflows import tables

    files = {"csv": csv, "markdown": markdown, "latex": latex, "html": html}
    require_free_output(json, **files)
    asked: dict[str, Any] = {"benchmark": benchmark, "method": method, "setting": setting, "study": study, "tag": tag}
    asked |= {"out": out, "tracking": tracking, "watcher": TerminalWatcher()}
    if reproduced:
        frame = tables.reproduction(**asked)
    else:
        frame = tables.leaderboard(
            **asked,
            convention=convention,
            per_task=per_task,
            pool_orders=pool_orders,
            published=published,
            all_trials=all_trials,
            selection=selection,
        )
    with written(frame, files, as_json=json):
        if json:
            print_json(frame)
        elif reproduced:
            print_reproduction(frame)
        else:
            print_frame(frame, convention)
