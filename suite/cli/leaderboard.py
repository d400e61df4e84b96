"""Command ``leaderboard``: what MLflow holds, as a table on screen and as files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from suite.cli.run import OUT, OutOption, TrackingOption

if TYPE_CHECKING:
    import pandas as pd

FileOption = Annotated[Path | None, typer.Option(help="Write the table to this file; - is standard output.")]
BenchmarkOption = Annotated[str | None, typer.Option("--benchmark", help="Only this benchmark.")]
MethodOption = Annotated[str | None, typer.Option("--method", help="Only this method.")]
SettingOption = Annotated[str | None, typer.Option("--setting", help="Only settings that hold this text, e.g. 'order II'.")]
StudyOption = Annotated[str | None, typer.Option("--study", help="Only trials of this study.")]
ConventionOption = Annotated[
    str | None, typer.Option("--convention", help="Recompute every row under this convention: zscl, rail, trace, gem, ...")
]
SelectionOption = Annotated[
    str | None, typer.Option("--selection", help="Choose every study's trial by two-phase, current-task, first-task or oracle.")
]
TrialsOption = Annotated[bool, typer.Option("--all-trials", help="Show every trial of a study, not only the chosen.")]


def leaderboard(
    csv: FileOption = None,
    markdown: FileOption = None,
    latex: FileOption = None,
    json: FileOption = None,
    html: FileOption = None,
    benchmark: BenchmarkOption = None,
    method: MethodOption = None,
    setting: SettingOption = None,
    study: StudyOption = None,
    convention: ConventionOption = None,
    per_task: Annotated[bool, typer.Option("--per-task", help="Add the accuracy on each task after the last one.")] = False,
    pool_orders: Annotated[bool, typer.Option("--pool-orders", help="One row for all orders of a stream.")] = False,
    published: Annotated[
        bool, typer.Option("--published", help="Add published numbers of the benchmarks shown (or of --benchmark), marked.")
    ] = False,
    reproduced: Annotated[
        bool, typer.Option("--reproduced", help="Instead: published numbers with own value, difference, tolerance and verdict.")
    ] = False,
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
    from suite.cli.board import load_board, load_reproduction, print_frame, print_reproduction
    from suite.cli.tracking import say_waiting
    from suite.files import printed_beside
    from suite.leaderboard.export import write_frame

    say_waiting(out)
    filters = {"benchmark": benchmark, "method": method, "setting": setting, "study": study}
    if reproduced:
        frame = load_reproduction(tracking, filters, out)
    else:
        frame = load_board(
            tracking,
            filters,
            convention,
            out,
            all_trials=all_trials,
            published=published,
            per_task=per_task,
            pool_orders=pool_orders,
            selection_rule=selection,
        )
    files = {"csv": csv, "markdown": markdown, "latex": latex, "json": json, "html": html}
    with printed_beside(*files.values()):
        for form, path in files.items():
            if path is not None:
                write_frame(frame, form, path)
                typer.echo(f"{form}: {path}")
        if reproduced:
            print_reproduction(frame)
        else:
            print_frame(frame, convention)


def print_board(tracking: str | None, out: Path) -> pd.DataFrame:
    """The whole leaderboard on screen; the frame is returned."""
    from suite.cli.board import load_board, print_frame

    frame = load_board(tracking, {}, None, out)
    print_frame(frame, None)
    return frame
