"""The leaderboard on a terminal."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from pathlib import Path

import pandas as pd
from rich import box
from rich.console import Console
from rich.table import Table

from suite.errors import ConfigError
from suite.leaderboard.ledger import LEDGERS, with_published
from suite.leaderboard.table import leaderboard_frame, metric_columns
from suite.record import read_record

DECIMALS = 1
PAGE = 132  # columns when the output is a file or a pipe


def load_board(
    tracking: str | None,
    filters: Mapping[str, str],
    convention: str | None,
    *,
    out: Path | None = None,
    all_trials: bool = False,
    published: bool = False,
) -> pd.DataFrame:
    """The frame of what MLflow holds; with tracking off, of the records below ``out``.

    Raises:
        ConfigError: nothing is stored, or the filters leave nothing.
    """
    if tracking == "none" and out is not None:
        records = [read_record(path) for path in sorted((out / "runs").glob("*/record.json"))]
    else:
        from suite.tracking.mlflow_reader import read_runs

        records = [stored.record for stored in read_runs(tracking, filters=filters)]
    asked = filters.get("benchmark")
    if published and (records or asked in LEDGERS):
        frame = leaderboard_frame(records, convention, all_trials=all_trials)
        return with_published(frame, [asked] if asked else [str(name) for name in frame["benchmark"]])
    if not records and filters:
        shown = ", ".join(f"{key} = '{value}'" for key, value in filters.items())
        raise ConfigError(f"leaderboard: no run matches {shown}; leave a filter out, or see 'codyra-suite leaderboard' for all.")
    if not records:
        raise ConfigError("leaderboard: MLflow holds no run here; run 'codyra-suite demo' first, or name another --tracking.")
    return leaderboard_frame(records, convention, all_trials=all_trials)


def print_frame(frame: pd.DataFrame, convention: str | None) -> None:
    """One table per benchmark and setting on standard output; wide enough for a file when that is no terminal."""
    console = Console() if sys.stdout.isatty() else Console(width=PAGE)
    for (benchmark, setting, data), part in frame.groupby(["benchmark", "setting", "data_fingerprint"], sort=False):
        title = f"{benchmark} ({setting}), data {data}, test results in %"
        console.print(board_table(part, title + (f", convention {convention}" if convention else "")))


def board_table(part: pd.DataFrame, title: str) -> Table:
    """Metrics as mean ± standard deviation, n, rank beside its no-signal value, parameters, time, memory, budget."""
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False, caption_justify="left")
    names = [name for name in metric_columns(part) if part[name].notna().any()]
    table.add_column("method", no_wrap=True)
    heads = [name.replace(".", "\n", 1) for name in names]
    for head in (*heads, "n", "effective\nrank", "no-signal\nrank", "trainable", "seconds", "GiB"):
        table.add_column(head, justify="right", no_wrap=True)
    budgets = sorted(set(part["budget"]))
    if len(budgets) > 1:
        table.add_column("budget", no_wrap=True)
    chosen = part[part["trials"] > 1]
    notes = [f"* best of {row['trials']} trials of study '{row['study']}' by {row['selection']}" for _, row in chosen.iterrows()]
    same = [f"budget per task: {budgets[0]}"] if len(budgets) == 1 and budgets[0] else []
    sources = sorted({str(text) for text in part.get("source", ()) if text})
    table.caption = "\n".join([*same, *notes, *(f"source: {text}" for text in sources)])
    for _, row in part.iterrows():
        table.add_row(
            _method(row),
            *(_with_spread(row[name], row[f"{name} std"]) for name in names),
            f"{row['n']:.0f}" if row["n"] else "-",
            _number(row["effective_rank"]),
            _number(row["no_signal_rank"]),
            "-" if math.isnan(row["trainable_parameters"]) else f"{row['trainable_parameters']:,.0f}",
            "-" if math.isnan(row["wall_seconds"]) else f"{row['wall_seconds']:.0f}",
            "-" if math.isnan(row["peak_gib"]) else f"{row['peak_gib']:.2f}",
            *([str(row["budget"])] if len(budgets) > 1 else []),
        )
    return table


def _method(row: pd.Series) -> str:
    return str(row["method"]) + (" *" if row["trials"] > 1 else "") + (f" ({row['unfinished']})" if row["unfinished"] else "")


def _with_spread(mean: float, spread: float) -> str:
    if math.isnan(mean):
        return "-"
    return _number(mean) if math.isnan(spread) else f"{_number(mean)} ± {_number(spread)}"


def _number(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.{DECIMALS}f}"
