"""What a run prints: its accuracy matrix, metrics and where the record is."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import typer
from rich.text import Text

from suite.cli.tables import Column, Sheet, duration_text, print_line, print_sheet
from suite.counting import counted
from suite.errors import UndefinedMetric
from suite.leaderboard.selection import metric_value
from suite.metrics.conventions import metric
from suite.metrics.matrix import AccuracyMatrix
from suite.runs.costs import run_costs
from suite.runs.finding import run_name
from suite.runs.labels import Labels
from suite.runs.record import Cells, Record, setting_text


def print_run(record: Record, folder: Path, *, found: bool = False) -> None:
    """Accuracy matrix on the test split, the stream's metrics and the folder, on standard output.

    Args:
        found: the run had been finished before the command, which therefore trained nothing.
    """
    kind = "score" if record.protocol == "generation" else "accuracy in %"
    limit = record.config["benchmark"].get("limit")
    cut = "" if limit is None else f", at most {counted(limit, 'row')} per split and task"
    who = f"{record.method}, seed {record.config['seed']}{cut}, run {record.run_id}"
    print_sheet(matrix_sheet(record.test, record.tasks, f"{record.benchmark}, {who}: test {kind}"))
    if found:
        ended = f" on {record.ended_at:%Y-%m-%d %H:%M} UTC" if record.ended_at else ""
        print_line(f"found, not trained: this run was finished{ended}, with this config, data and code")
    for note in dict.fromkeys(note for result in record.results for note in result.facts.get("notes", [])):
        print_line(note)
    if record.status == "finished":
        _print_metrics(record)
    else:
        reason = f" ({record.reason})" if record.reason else ""
        print_line(f"{record.status} after {record.tasks_done} of {counted(len(record.tasks), 'task')}{reason}")
    typer.echo(f"record: {folder / 'record.json'}")


def run_fields(record: Record, folder: Path, *, found: bool | None = None) -> dict[str, Any]:
    """A run for ``--json``: its metrics, null where the stream leaves one undefined, and the record as it is stored."""
    values = {name: metric_value(record, name) for name in record.metrics}
    was_found = {} if found is None else {"was_found": found}
    return {
        "run_id": record.run_id,
        "status": record.status,
        **was_found,
        "folder": folder,
        "metrics": values,
        "record": record,
    }


def print_facts(record: Record, labels: Labels) -> None:
    """Settings, studies, costs, origin and labels of a run, one line each, on standard output."""
    costs = run_costs(record.results)
    method = {key: value for key, value in record.config["method"].items() if key != "name"}
    shown = {
        "name": run_name(record),
        "setting": setting_text(record.setting),
        "method": _pairs(method),
        "training": _pairs(record.config["training"]),
        "studies": ", ".join(f"{name} trial {trial}" for name, trial in record.trials.items()),
        "begun": f"{record.started_at:%Y-%m-%d %H:%M} UTC",
        "costs": f"{duration_text(costs.wall_seconds)}, {costs.peak_bytes / 2**30:.2f} GiB, "
        f"{counted(costs.trainable_parameters, 'trainable parameter')}",
        "commit": (record.commit or "unknown") + (", with changed files" if record.dirty else ""),
        "tags": ", ".join(labels.tags),
        "note": labels.note,
    }
    for name, text in shown.items():
        if text:
            print_line(f"{name + ':':10}{text}")


def _pairs(fields: Mapping[str, Any]) -> str:
    return ", ".join(f"{key} {value}" for key, value in fields.items() if value is not None)


def _print_metrics(record: Record) -> None:
    """One line of values, and which metrics the stream leaves without one for what reason."""
    matrix = AccuracyMatrix.from_lists(record.test, tuple(record.tasks))
    shown: list[str] = []
    undefined: dict[str, list[str]] = {}
    for name in record.metrics:
        try:
            shown.append(f"{name} {metric(name).function(matrix):.1f}")
        except UndefinedMetric as reason:
            shown.append(f"{name} -")
            undefined.setdefault(str(reason), []).append(name)
    print_line(", ".join(shown))
    for why, names in undefined.items():
        print_line(f"undefined: {', '.join(names)} ({why.partition(';')[0].rstrip('.')})")


def matrix_sheet(cells: Cells, tasks: list[str], title: str) -> Sheet:
    """The matrix with the just-learned cells in bold; the columns are numbered as the rows where their names do not fit."""
    columns = [Column("after", wraps=True), *(Column(name, brief=str(number)) for number, name in enumerate(tasks, start=1))]
    rows: list[list[str | Text]] = []
    for row, values in enumerate(cells):
        shown = [Text(_cell(value), style="bold" if column + 1 == row else "") for column, value in enumerate(values)]
        rows.append(["nothing" if row == 0 else f"{row} {tasks[row - 1]}", *shown])
    return Sheet(title, columns, rows)


def _cell(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"
