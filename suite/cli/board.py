"""The leaderboard on a terminal."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
import typer

from suite.cli.tables import Column, Sheet, print_sheet
from suite.counting import counted
from suite.files import printed_beside
from suite.leaderboard.export import write_frame
from suite.leaderboard.ledger import format_notes, source_notes
from suite.leaderboard.table import number_text, shown_metrics, task_columns, undefined_metrics, with_spread
from suite.leaderboard.winners import row_names, winner_sentence

MARKS = {"best": " ◆", "not separable": " ◇"}
MEGABYTE = 1e6
# Columns that tell methods apart, with their heads; shown where the rows differ.
TRAITS = {"decision": "decision", "task_id_at_test": "task id\nat test", "extra_data": "extra\ndata", "mergeable": "mergeable"}
EXACT = 1e15  # below it a float that holds a count holds every digit of it
LEGEND = "◆ best after the last task, ◇ not separable from it (paired over examples and shared seeds, Holm, 5 %)"

ELSEWHERE = "a wider terminal or 'codyra-suite leaderboard --csv FILE' shows them"
# Runs outside studies are shown whatever became of them, so that only trials can leave a frame empty.
NOTHING_SHOWN = (
    "leaderboard: there is no finished run to show, only trials of studies that failed or were stopped; "
    "'codyra-suite leaderboard --all-trials' shows them."
)


def print_frame(frame: pd.DataFrame, convention: str | None) -> None:
    """One table per benchmark, setting and data on standard output."""
    if frame.empty:
        typer.echo(NOTHING_SHOWN)
    for (benchmark, setting, data), part in frame.groupby(["benchmark", "setting", "data_fingerprint"], sort=False):
        title = f"{benchmark} ({setting}), data {data}, test results in %" + (
            f", convention {convention}" if convention else ""
        )
        print_sheet(board_sheet(part, title))


def board_sheet(part: pd.DataFrame, title: str) -> Sheet:
    """Metrics as mean ± standard deviation, n, rank beside its no-signal value, parameters, time, memory, budget.

    Method, metrics, n and the accuracies that were asked for by task are always shown; the effective rank never without its
    no-signal value.
    """
    names, tasks = shown_metrics(part), [name for name in task_columns(part) if part[name].notna().any()]
    budgets = sorted(set(part["budget"]) - {""})
    traits = [name for name in TRAITS if len(set(part[name]) - {""}) > 1]
    tagged = bool(set(part["tags"]) - {""})
    called = row_names(part)  # as the sentence below the table calls them
    columns = [
        Column("method", wraps=True),
        *(Column(name.replace(".", "\n", 1)) for name in names),
        *(Column(name.replace(": ", "\n", 1)) for name in tasks),
        Column("n"),
        Column("effective\nrank", optional=2),
        Column("no-signal\nrank", optional=2),
        Column("trainable", optional=3),
        Column("seconds", optional=4),
        Column("GiB", optional=5),
        *([Column("budget", wraps=True, optional=1)] if len(budgets) > 1 else []),
        Column("carried\nMB", optional=6),
        *(Column(TRAITS[name], wraps=True, optional=7) for name in traits),
        *([Column("tags", wraps=True, optional=1)] if tagged else []),
    ]
    rows = [
        [
            _method(row, called[index]),
            *(with_spread(row[name], row[f"{name} std"]) for name in names),
            *(number_text(row[name]) for name in tasks),
            f"{row['n']:.0f}" if row["n"] else "-",
            number_text(row["effective_rank"]),
            number_text(row["no_signal_rank"]),
            "-" if math.isnan(row["trainable_parameters"]) else f"{row['trainable_parameters']:,.0f}",
            "-" if math.isnan(row["wall_seconds"]) else f"{row['wall_seconds']:.0f}",
            "-" if math.isnan(row["peak_gib"]) else f"{row['peak_gib']:.2f}",
            *([str(row["budget"]) or "-"] if len(budgets) > 1 else []),
            "-" if math.isnan(row["carried_bytes"]) else f"{row['carried_bytes'] / MEGABYTE:.2f}",
            *(str(row[name]) or "-" for name in traits),
            *([str(row["tags"]) or "-"] if tagged else []),
        ]
        for index, row in part.iterrows()
    ]
    streams = "\n".join(str(text) for text in dict.fromkeys(part["tasks"]) if text)
    return Sheet("\n".join(filter(None, [title, streams])), columns, rows, _notes(part, budgets), elsewhere=ELSEWHERE)


def _notes(part: pd.DataFrame, budgets: list[str]) -> list[str]:
    notes = [f"budget per task: {budgets[0]}"] if len(budgets) == 1 and budgets[0] else []
    undefined = undefined_metrics(part)
    notes += [f"undefined for these tasks: {', '.join(undefined)}"] if undefined else []
    notes += [LEGEND, winner_sentence(part)] if (part["standing"] == "best").any() else []
    chosen = part[[_is_chosen(row) for _, row in part.iterrows()]]
    notes += [
        f"* chosen {_by_study(row)} by {row['selection']}; the oracle has {_up_to(row)}{row['oracle_gap']:.1f} points more"
        f"{_left_out(row['left_out'])}"
        for _, row in chosen.iterrows()
    ]
    return notes + format_notes(part) + source_notes(part)


def _is_chosen(row: pd.Series) -> bool:
    return bool(row["trials"] > 1 or row["left_out"])


def _by_study(row: pd.Series) -> str:
    """Among how many trials of which study; several may have made the same choice, each among its own trials."""
    studies = [f"'{name}'" for name in str(row["study"]).split(",")]
    trials = counted(row["trials"], "trial")
    if len(studies) == 1:
        return f"among {trials} of study {studies[0]}"
    return f"in each of the studies {', '.join(studies)}, among {_up_to(row)}{trials},"


def _up_to(row: pd.Series) -> str:
    return "up to " if "," in str(row["study"]) else ""


def _left_out(runs: str) -> str:
    """That a row's mean is without the runs by which its configuration was chosen."""
    return f"; {counted(len(runs.split(',')), 'run')} by which it was chosen left out" if runs else ""


def _method(row: pd.Series, name: str) -> str:
    mark = MARKS.get(str(row["standing"]), "")
    chosen = " *" if _is_chosen(row) else ""
    return name + chosen + mark + (f" ({row['unfinished']})" if row["unfinished"] else "")


@contextmanager
def written(
    frame: pd.DataFrame, files: Mapping[str, Path | None], *, rounded: pd.DataFrame | None = None, as_json: bool = False
) -> Iterator[None]:
    """Write a frame to the files that were asked for, by form; what is printed inside the context goes beside them, not into them.

    Args:
        rounded: what stands in the forms for readers, which are all but CSV; None = the frame.
        as_json: JSON is printed inside the context.
    """
    with printed_beside(*files.values()):
        for form, path in files.items():
            if path is not None:
                write_frame(frame if rounded is None or form == "csv" else rounded, form, path)
                typer.echo(f"{form}: {path}", err=as_json)
        yield


def print_reproduction(frame: pd.DataFrame) -> None:
    """One table per benchmark, below it why own runs got no verdict."""
    from suite.leaderboard.reproduction import reproduction_notes

    columns = [
        *(Column(name, wraps=True) for name in ("setting", "method", "metric")),
        Column("source", wraps=True, optional=2),
        *(Column(name) for name in ("published", "own")),
        Column("n", optional=4),
        Column("difference", optional=1),
        Column("tolerance", optional=3),
        Column("verdict", wraps=True),
    ]
    for benchmark, part in frame.groupby("benchmark", sort=False):
        counts = ", ".join(f"{count} {verdict}" for verdict, count in part["verdict"].value_counts().items())
        rows = []
        for _, row in part.iterrows():
            setting = f"{row['setting']}{', order ' + row['order'] if row['order'] else ''}, {row['backbone']}"
            numbers = [number_text(row[name]) for name in ("published", "own")]
            runs = "-" if math.isnan(row["n"]) else f"{row['n']:.0f}"
            rest = [number_text(row[name]) for name in ("difference", "tolerance")]
            rows.append([setting, row["published method"], row["metric"], row["grade"], *numbers, runs, *rest, row["verdict"]])
        notes = reproduction_notes(str(benchmark), part)
        title, elsewhere = (
            f"{benchmark}: published means, {counts}",
            "a wider terminal or --reproduced with --csv FILE shows them",
        )
        print_sheet(Sheet(title, columns, rows, notes, labels=3, elsewhere=elsewhere))


def show_frame(frame: pd.DataFrame, title: str) -> None:
    """Any frame as a table on standard output, whole numbers whole and others with four digits; its leading columns of words say what a row is."""
    numeric = [frame[column].dtype.kind in "fi" for column in frame.columns]
    columns = [Column(str(name), wraps=not number) for name, number in zip(frame.columns, numeric, strict=True)]
    rows = [[_cell(value) for value in row] for row in frame.itertuples(index=False)]
    print_sheet(Sheet(title, columns, rows, labels=numeric.index(True) if True in numeric else 1))


def _cell(value: object) -> str:
    if isinstance(value, float):
        return "-" if value != value else f"{value:.0f}" if value.is_integer() and abs(value) < EXACT else f"{value:.4g}"
    return str(value)
