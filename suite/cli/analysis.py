"""Commands ``ranks`` (what kept rank, what moved) and ``significance`` (is a difference real)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from suite.cli.run import OUT, OutOption

if TYPE_CHECKING:
    import pandas as pd

RunsArgument = Annotated[list[str], typer.Argument(help="Run ids (or unique beginnings), or run folders.")]


def ranks(names: RunsArgument, out: OutOption = OUT) -> None:
    """Effective rank per weight, layer and task beside its no-signal value; size of updates and cumulative shift.

    Examples:

        codyra-suite ranks 0123abcd

        codyra-suite ranks 0123abcd 89ef0123
    """
    from suite.leaderboard.ranks import rank_frame, rank_summary, shift_frame
    from suite.record import read_record
    from trainables.restore import find_run

    records = [read_record(find_run(name, out)) for name in names]
    for record in records:
        frame = rank_frame(record)
        for by in ("encoder", "weight", "layer", "task"):
            _show(rank_summary(frame, by), f"run {record.run_id}: mean rank by {by}")
    _show(shift_frame(records), "Frobenius norm over all adapted layers: task's update, cumulative shift")


def significance(names: RunsArgument, out: OutOption = OUT) -> None:
    """Paired tests between runs on the same examples after the last task, Holm-corrected over all pairs.

    Examples:

        codyra-suite significance 0123abcd 89ef0123

        codyra-suite significance 0123 4567 89ef
    """
    from suite.leaderboard.significance import Contestant, significance_frame
    from suite.outcomes import read_outcomes
    from suite.record import read_record
    from trainables.restore import find_run

    folders = [find_run(name, out) for name in names]
    contestants = [Contestant(read_record(folder), read_outcomes(folder)) for folder in folders]
    _show(significance_frame(contestants), "difference in points after the last task, 95 % interval")


def _show(frame: pd.DataFrame, title: str) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title, title_justify="left")
    for column in frame.columns:
        table.add_column(str(column), justify="left" if frame[column].dtype == object else "right")
    for row in frame.itertuples(index=False):
        table.add_row(*(f"{value:.4g}" if isinstance(value, float) else str(value) for value in row))
    Console().print(table)
