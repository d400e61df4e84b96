"""Command ``perf``: ratios of fast paths to their plain twins, measured side by side in one run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import typer

perf_app = typer.Typer(no_args_is_help=True, help="Measure speed and memory as ratios, side by side on this machine.")


@perf_app.command()
def step(
    backbone: Annotated[str, typer.Option("--backbone", help="mini-clip, or an open_clip architecture name.")] = "mini-clip",
    batch_size: Annotated[int, typer.Option("--batch-size", min=1)] = 32,
    repeats: Annotated[int, typer.Option("--repeats", min=3)] = 15,
    device: Annotated[str, typer.Option("--device")] = "auto",
    threads: Annotated[int, typer.Option("--threads", min=1)] = 1,
) -> None:
    """Training step and evaluation: every token through every block against the fast forward.

    Examples:

        codyra-suite perf step

        codyra-suite perf step --backbone ViT-B-16-quickgelu --batch-size 4
    """
    from trainables.perf_step import measure_step

    print_rows(measure_step(backbone, batch_size, repeats, device, threads))


def print_rows(rows: Sequence[Any]) -> None:
    """A table of comparison rows."""
    from rich.console import Console
    from rich.table import Table

    table = Table("what", "plain", "fast", "unit", "ratio", "note")
    for row in rows:
        table.add_row(row.name, f"{row.plain:.4g}", f"{row.fast:.4g}", row.unit, f"{row.ratio:.2f}", row.note)
    Console().print(table)
