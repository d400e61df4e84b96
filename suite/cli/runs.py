"""Commands ``runs``: list, show, tag, annotate, verify and delete stored runs."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from suite.cli import completion
from suite.cli.app import App
from suite.cli.options import (
    BenchmarkOption,
    JsonOption,
    MethodOption,
    OutOption,
    QuietOption,
    RunArgument,
    RunsArgument,
    SettingOption,
    StudyOption,
    TagOption,
    TrackingOption,
)
from suite.counting import counted
from suite.workflows.places import OUT, folder_named

if TYPE_CHECKING:
    from suite.cli.tables import Sheet
    from suite.workflows.progress import Watcher
    from suite.workflows.tables import StoredRun

runs_app = App(help="List, show, tag, annotate, verify and delete the runs of a folder.")
SHORT = 8  # hex digits of an id in a table; more where two runs begin alike


@runs_app.command(name="list")
def list_runs(
    benchmark: BenchmarkOption = None,
    method: MethodOption = None,
    setting: SettingOption = None,
    study: StudyOption = None,
    tag: TagOption = None,
    json: JsonOption = False,
    out: OutOption = OUT,
) -> None:
    """Every run below --out, the newest first: its id, status, last result, tags. The beginning of an id names a run everywhere.

    Examples:

        codyra-suite runs list --benchmark mini-xtail --method codyra

        codyra-suite runs list --tag paper --json
    """
    from suite.cli.json_output import print_json
    from suite.cli.progress import TerminalWatcher
    from suite.cli.tables import print_sheet
    from suite.workflows import tables
    from suite.workflows.run_rows import run_row

    found = tables.runs(
        benchmark=benchmark, method=method, setting=setting, study=study, tag=tag, out=out, watcher=TerminalWatcher()
    )
    found.sort(key=lambda run: run.record.started_at, reverse=True)
    if json:
        print_json([run_row(run) for run in found])
    else:
        print_sheet(_sheet(found))


@runs_app.command()
def show(name: RunArgument, json: JsonOption = False, out: OutOption = OUT) -> None:
    """One run: accuracy matrix, metrics, settings, costs, where it ran, its tags and its note.

    Examples:

        codyra-suite runs show 0123abcd

        codyra-suite runs show "mini-mtil lora seed 0" --json
    """
    from suite.cli.json_output import print_json
    from suite.cli.summary import print_facts, print_run, run_fields
    from suite.workflows.tables import stored_run

    run = stored_run(name, out)
    if json:
        print_json({**run_fields(run.record, run.folder), "tags": run.labels.tags, "note": run.labels.note})
        return
    print_run(run.record, run.folder)
    print_facts(run.record, run.labels)


@runs_app.command()
def tag(
    name: RunArgument,
    tags: Annotated[list[str], typer.Argument(metavar="TAG...", autocompletion=completion.tags, help="Words without commas.")],
    remove: Annotated[bool, typer.Option("--remove", help="Take these tags away.")] = False,
    json: JsonOption = False,
    quiet: QuietOption = False,
    out: OutOption = OUT,
    tracking: TrackingOption = None,
) -> None:
    """Give tags to a run: tables and MLflow show them, --tag filters by them, one that a run alone has names it.

    Tags lie beside the record, which never changes.

    Examples:

        codyra-suite runs tag 0123abcd paper "table 2"

        codyra-suite runs tag 0123abcd paper --remove
    """
    from suite.workflows import labelling

    (run,) = labelling.tag([name], tags, remove=remove, out=out, tracking=tracking, watcher=_watcher(quiet))
    if json:
        _print_labels(run)
    elif not quiet:
        typer.echo(f"{run.record.run_id}: {', '.join(run.labels.tags) or 'no tags'}")


@runs_app.command()
def note(
    name: RunArgument,
    text: Annotated[
        str | None, typer.Argument(metavar="TEXT", help="The note; '' removes it; without it the note is shown.")
    ] = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
    out: OutOption = OUT,
    tracking: TrackingOption = None,
) -> None:
    """Write a note beside a run in the place of the one it has, or show it: plain text, in the report and in MLflow too.

    Examples:

        codyra-suite runs note 0123abcd "the one with the old templates"

        codyra-suite runs note 0123abcd
    """
    from suite.workflows import labelling
    from suite.workflows.tables import stored_run

    if text is None:
        run = stored_run(name, out)
    else:
        run = labelling.note(name, text, out=out, tracking=tracking, watcher=_watcher(quiet))
    if json:
        _print_labels(run)
    elif text is None:
        typer.echo(run.labels.note)
    elif not quiet:
        typer.echo(f"{run.record.run_id}: {run.labels.note or 'no note'}")


@runs_app.command()
def delete(
    names: RunsArgument,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    json: JsonOption = False,
    quiet: QuietOption = False,
    out: OutOption = OUT,
    tracking: TrackingOption = None,
) -> None:
    """Delete runs with all their files, in MLflow too; asks first, and refuses what a living process works on.

    Examples:

        codyra-suite runs delete 0123abcd

        codyra-suite runs delete 0123abcd 89ef0123 --yes
    """
    from suite.cli.json_output import print_json
    from suite.errors import ConfigError
    from suite.runs.finding import run_name
    from suite.workflows import deleting

    records = deleting.deletable(names, out)
    if not yes:
        shown = [f"  {record.run_id}  {run_name(record)}, {record.status}" for record in records]
        if not sys.stdin.isatty():
            raise ConfigError(
                f"runs delete: nothing is deleted without being asked; add --yes to delete {counted(len(records), 'run')}."
            )
        typer.echo("\n".join(shown), err=True)
        if not typer.confirm(f"Delete {counted(len(records), 'run')} with all files?", err=True):
            typer.echo("nothing was deleted", err=True)
            raise typer.Exit(1)
    deleted = deleting.delete([record.run_id for record in records], out=out, tracking=tracking)
    if json:
        print_json({"deleted": list(deleted)})
        return
    for run_id in deleted:
        if not quiet:
            typer.echo(f"deleted {run_id}")


@runs_app.command()
def verify(
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="FOLDER", parser=folder_named, help="A folder that 'leaderboard --publish' wrote, or the --out of runs."
        ),
    ],
    json: JsonOption = False,
) -> None:
    """Check every run of a folder: files and checksums, numbers against the outcomes of the examples, tags, identity. Exit code 1: faults.

    Checksums find mistakes, not fraud: only 'codyra-suite repeat RUN --out FOLDER' shows that a number can be had again.

    Examples:

        codyra-suite runs verify site

        codyra-suite runs verify codyra-runs --json
    """
    from suite.cli.json_output import print_json
    from suite.cli.sharing import print_verified
    from suite.workflows import publishing

    found = publishing.verify(folder)
    if json:
        print_json(found)
    else:
        print_verified(found)
    if any(one.faults for one in found):
        raise typer.Exit(1)


def _print_labels(run: StoredRun) -> None:
    """What people wrote beside a run, as JSON."""
    from suite.cli.json_output import print_json

    print_json({"run_id": run.record.run_id, "tags": run.labels.tags, "note": run.labels.note})


def _sheet(found: list[StoredRun]) -> Sheet:
    """One line per run; settings, studies, tags and notes where there is something to tell."""
    from suite.cli.tables import Column, Sheet
    from suite.leaderboard.table import number_text
    from suite.workflows.run_rows import run_row

    rows = [run_row(run) for run in found]
    digits = distinct_length([row["run_id"] for row in rows])
    shown: list[tuple[Column, Callable[[Mapping[str, Any]], str]]] = [
        (Column("run", wraps=True), lambda row: row["run_id"][:digits]),
        (Column("benchmark", wraps=True), itemgetter("benchmark")),
        (Column("method", wraps=True), itemgetter("method")),
        (Column("seed"), lambda row: str(row["seed"])),
        (Column("status", wraps=True), _status),
        (Column("last"), lambda row: "-" if row["value"] is None else number_text(row["value"])),
        (Column("begun, UTC", optional=2), lambda row: f"{row['started_at']:%Y-%m-%d %H:%M}"),
    ]
    if len({row["setting"] for row in rows}) > 1:
        shown.insert(2, (Column("setting", wraps=True, optional=3), itemgetter("setting")))
    if any(row["studies"] for row in rows):
        shown.append((Column("study", wraps=True, optional=1), _trials))
    if any(row["tags"] for row in rows):
        shown.append((Column("tags", wraps=True), lambda row: ", ".join(row["tags"])))
    if any(row["note"] for row in rows):
        shown.append((Column("note", wraps=True, optional=4), lambda row: row["note"].partition("\n")[0]))
    cells = [[text(row) or "-" for _, text in shown] for row in rows]
    metrics = ", ".join(dict.fromkeys(row["metric"] for row in rows))
    notes = [f"{counted(len(rows), 'run')}; last: {metrics} in %"]
    return Sheet("", [column for column, _ in shown], cells, notes, elsewhere="--json shows them")


def _trials(row: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} trial {trial}" for name, trial in row["studies"].items())


def _status(row: Mapping[str, Any]) -> str:
    return str(row["status"]) if row["status"] == "finished" else f"{row['status']}, {row['tasks_done']} of {row['tasks']}"


def distinct_length(ids: list[str]) -> int:
    """How many characters of each id tell all of them apart, ``SHORT`` at least."""
    longest = max(map(len, ids), default=SHORT)
    return next((length for length in range(SHORT, longest) if len({one[:length] for one in ids}) == len(set(ids))), longest)


def _watcher(quiet: bool) -> Watcher:
    from suite.cli.progress import watcher

    return watcher(quiet)
