"""The leaderboard on a terminal."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from pathlib import Path

import pandas as pd
import typer
from rich import box
from rich.console import Console
from rich.table import Table

from suite.errors import ConfigError
from suite.leaderboard.ledger import LEDGERS, with_published
from suite.leaderboard.run_set import RunSet, load_runs
from suite.leaderboard.standing import board
from suite.leaderboard.table import leaderboard_frame, metric_columns, number_text, task_columns, with_spread

PAGE = 132  # columns at least when the output is a file or a pipe
MARKS = {"best": " ◆", "not separable": " ◇"}
LEGEND = "◆ best after the last task, ◇ not separable from it (paired over examples and shared seeds, Holm, 5 %)"

# Runs outside studies are shown whatever became of them, so that only trials can leave a frame empty.
NOTHING_SHOWN = (
    "leaderboard: there is no finished run to show, only trials of studies that failed or were stopped; "
    "'codyra-suite leaderboard --all-trials' shows them."
)


def load_board(
    tracking: str | None,
    filters: Mapping[str, str | None],
    convention: str | None,
    *,
    out: Path | None = None,
    all_trials: bool = False,
    published: bool = False,
    per_task: bool = False,
    pool_orders: bool = False,
    selection_rule: str | None = None,
) -> pd.DataFrame:
    """The frame of what MLflow holds; with tracking off, of the records below ``out``.

    Raises:
        ConfigError: nothing is stored, or the filters leave nothing.
    """
    asked = filters.get("benchmark")
    try:
        runs = load_runs(tracking, filters, out)
    except ConfigError:
        if not (published and asked in LEDGERS):
            raise
        runs = RunSet([])  # published numbers can be read without any own run
    frame = board(
        runs,
        convention,
        all_trials=all_trials,
        per_task=per_task,
        pool_orders=pool_orders,
        selection_rule=selection_rule,
    )
    if published:
        return with_published(frame, [asked] if asked else [str(name) for name in frame["benchmark"]])
    return frame


def print_frame(frame: pd.DataFrame, convention: str | None) -> None:
    """One table per benchmark and setting on standard output; wide enough for a file when that is no terminal."""
    if frame.empty:
        typer.echo(NOTHING_SHOWN)
    for (benchmark, setting, data), part in frame.groupby(["benchmark", "setting", "data_fingerprint"], sort=False):
        title = f"{benchmark} ({setting}), data {data}, test results in %"
        print_table(board_table(part, title + (f", convention {convention}" if convention else "")))


def print_table(table: Table) -> None:
    """Print at the terminal's width; into a file or a pipe as wide as the table needs, so that nothing is cut off."""
    console = Console()
    if not sys.stdout.isatty():
        console = Console(width=10_000)
        console = Console(width=max(PAGE, console.measure(table).maximum))
    console.print(table)


def board_table(part: pd.DataFrame, title: str) -> Table:
    """Metrics as mean ± standard deviation, n, rank beside its no-signal value, parameters, time, memory, budget."""
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False, caption_justify="left")
    names = [name for name in metric_columns(part) if part[name].notna().any()]
    tasks = [name for name in task_columns(part) if part[name].notna().any()]
    table.add_column("method", no_wrap=True)
    heads = [name.replace(".", "\n", 1) for name in names] + [name.replace(": ", "\n", 1) for name in tasks]
    for head in (*heads, "n", "effective\nrank", "no-signal\nrank", "trainable", "seconds", "GiB"):
        table.add_column(head, justify="right", no_wrap=True)
    budgets = sorted(set(part["budget"]))
    if len(budgets) > 1:
        table.add_column("budget", no_wrap=True)
    table.caption = "\n".join(_notes(part, budgets))
    for _, row in part.iterrows():
        table.add_row(
            _method(row),
            *(with_spread(row[name], row[f"{name} std"]) for name in names),
            *(number_text(row[name]) for name in tasks),
            f"{row['n']:.0f}" if row["n"] else "-",
            number_text(row["effective_rank"]),
            number_text(row["no_signal_rank"]),
            "-" if math.isnan(row["trainable_parameters"]) else f"{row['trainable_parameters']:,.0f}",
            "-" if math.isnan(row["wall_seconds"]) else f"{row['wall_seconds']:.0f}",
            "-" if math.isnan(row["peak_gib"]) else f"{row['peak_gib']:.2f}",
            *([str(row["budget"])] if len(budgets) > 1 else []),
        )
    return table


def _notes(part: pd.DataFrame, budgets: list[str]) -> list[str]:
    notes = [f"budget per task: {budgets[0]}"] if len(budgets) == 1 and budgets[0] else []
    notes += [LEGEND] if (part["standing"] == "best").any() else []
    chosen = part[part["trials"] > 1]
    notes += [
        f"* chosen among {row['trials']} trials of study '{row['study']}' by {row['selection']}; the oracle has "
        f"{row['optimism']:.1f} points more"
        for _, row in chosen.iterrows()
    ]
    return notes + [f"source: {text}" for text in sorted({str(text) for text in part.get("source", ()) if text})]


def _method(row: pd.Series) -> str:
    mark = MARKS.get(str(row["standing"]), "")
    chosen = " *" if row["trials"] > 1 else ""
    return str(row["method"]) + chosen + mark + (f" ({row['unfinished']})" if row["unfinished"] else "")


def load_reproduction(tracking: str | None, filters: Mapping[str, str | None]) -> pd.DataFrame:
    """Published means of the benchmark asked for (or of all that have some) with the verdict on own rows.

    Raises:
        ConfigError: nothing is published for the benchmark.
    """
    from suite.leaderboard.reproduction import RECOMPUTED, reproduction_frame

    asked = filters.get("benchmark")
    if asked is not None and asked not in LEDGERS:
        raise ConfigError(f"leaderboard: no published numbers for '{asked}'; there are some for {', '.join(LEDGERS)}.")
    try:
        runs = load_runs(tracking, filters)
    except ConfigError:
        runs = RunSet([])  # then nothing was attempted, and the table says so
    frames = [leaderboard_frame(runs.records, name) for name in RECOMPUTED]
    return reproduction_frame(pd.concat(frames, ignore_index=True), runs.records, [asked] if asked else list(LEDGERS))


def print_reproduction(frame: pd.DataFrame) -> None:
    """One table per benchmark; values without an own row in few words."""
    for benchmark, part in frame.groupby("benchmark", sort=False):
        counts = ", ".join(f"{count} {verdict}" for verdict, count in part["verdict"].value_counts().items())
        table = Table(title=f"{benchmark}: published means, {counts}", title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
        for name in ("setting", "method", "metric"):
            table.add_column(name)
        for name in ("published", "own", "n", "difference", "tolerance"):
            table.add_column(name, justify="right")
        table.add_column("verdict")
        for _, row in part.iterrows():
            setting = f"{row['setting']}{', order ' + row['order'] if row['order'] else ''}, {row['backbone']}"
            numbers = [number_text(row[name]) for name in ("published", "own")]
            runs = "-" if math.isnan(row["n"]) else f"{row['n']:.0f}"
            rest = [number_text(row[name]) for name in ("difference", "tolerance")]
            table.add_row(setting, row["published method"], row["metric"], *numbers, runs, *rest, row["verdict"])
        print_table(table)


def show_frame(frame: pd.DataFrame, title: str) -> None:
    """Any frame as a table on standard output, numbers with four digits."""
    table = Table(title=title, title_justify="left")
    for column in frame.columns:
        table.add_column(str(column), justify="right" if frame[column].dtype.kind in "fi" else "left")
    for row in frame.itertuples(index=False):
        table.add_row(*(_cell(value) for value in row))
    print_table(table)


def _cell(value: object) -> str:
    if isinstance(value, float):
        return "-" if value != value else f"{value:.4g}"
    return str(value)
