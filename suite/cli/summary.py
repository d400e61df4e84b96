"""What a finished run prints: its accuracy matrix, metrics and where the record is."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.table import Table

from suite.metrics.conventions import compute
from suite.metrics.matrix import AccuracyMatrix
from suite.runs.record import Cells, Record


def print_run(record: Record, folder: Path) -> None:
    """Accuracy matrix on the test split, the stream's metrics and the folder, on standard output."""
    console = Console()
    kind = "score" if record.protocol == "generation" else "accuracy in %"
    console.print(matrix_table(record.test, record.tasks, f"{record.benchmark}: test {kind}, row = after that task"))
    for note in dict.fromkeys(note for result in record.results for note in result.facts.get("notes", [])):
        console.print(note, soft_wrap=True)
    if record.status == "finished":
        matrix = AccuracyMatrix.from_lists(record.test, tuple(record.tasks))
        shown = ", ".join(f"{name} {compute(name, matrix):.1f}" for name in record.metrics)
        console.print(shown)
    else:
        reason = f" ({record.reason})" if record.reason else ""
        console.print(f"{record.status} after {record.tasks_done} of {len(record.tasks)} tasks{reason}")
    console.print(f"record: {folder / 'record.json'}", soft_wrap=True)


def matrix_table(cells: Cells, tasks: list[str], title: str) -> Table:
    """The matrix with the just-learned cells in bold."""
    table = Table(title=title, title_justify="left")
    table.add_column("after")
    for name in tasks:
        table.add_column(name, justify="right")
    for row, values in enumerate(cells):
        shown = [_cell(value, bold=column + 1 == row) for column, value in enumerate(values)]
        table.add_row("nothing" if row == 0 else tasks[row - 1], *shown)
    return table


def _cell(value: float | None, *, bold: bool) -> str:
    if value is None:
        return "-"
    return f"[bold]{value:.1f}[/bold]" if bold else f"{value:.1f}"
