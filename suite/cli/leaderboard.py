"""Command ``leaderboard``: what MLflow holds, as a table on screen and as files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from suite.cli.run import TrackingOption

if TYPE_CHECKING:
    import pandas as pd

FileOption = Annotated[Path | None, typer.Option(help="Write the table to this file.")]


def leaderboard(
    csv: FileOption = None,
    markdown: FileOption = None,
    latex: FileOption = None,
    json: FileOption = None,
    html: FileOption = None,
    benchmark: Annotated[str | None, typer.Option("--benchmark", help="Only this benchmark.")] = None,
    method: Annotated[str | None, typer.Option("--method", help="Only this method.")] = None,
    study: Annotated[str | None, typer.Option("--study", help="Only trials of this study.")] = None,
    convention: Annotated[
        str | None, typer.Option("--convention", help="Recompute every row under this convention: zscl, rail, trace, gem, ...")
    ] = None,
    published: Annotated[
        bool, typer.Option("--published", help="Add published numbers of the benchmarks shown (or of --benchmark), marked.")
    ] = False,
    all_trials: Annotated[bool, typer.Option("--all-trials", help="Show every trial of a study, not only the chosen.")] = False,
    tracking: TrackingOption = None,
) -> None:
    """Mean and spread per benchmark, method and setting, from MLflow alone.

    Examples:

        codyra-suite leaderboard --csv leaderboard.csv

        codyra-suite leaderboard --benchmark mini-xtail --convention gem --markdown board.md
    """
    from suite.cli.board import load_board, print_frame
    from suite.leaderboard.export import write_frame

    filters = {"benchmark": benchmark, "method": method, "codyra.study.name": study}
    given = {key: value for key, value in filters.items() if value is not None}
    frame = load_board(tracking, given, convention, all_trials=all_trials, published=published)
    for form, path in {"csv": csv, "markdown": markdown, "latex": latex, "json": json, "html": html}.items():
        if path is not None:
            write_frame(frame, form, path)
            typer.echo(f"{form}: {path}")
    print_frame(frame, convention)


def print_board(tracking: str | None, out: Path) -> pd.DataFrame:
    """The whole leaderboard on screen; the frame is returned."""
    from suite.cli.board import load_board, print_frame

    frame = load_board(tracking, {}, None, out=out)
    print_frame(frame, None)
    return frame
