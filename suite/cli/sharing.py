"""What commands print around published folders: what was published or merged, and which runs of a folder can be believed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from suite.cli.tables import Column, Sheet, print_sheet
from suite.counting import counted
from suite.errors import ConfigError

if TYPE_CHECKING:
    import pandas as pd

    from suite.workflows.publishing import Verified


def require_publication(group: str | None, folder: Path | None) -> None:
    """Refuse, before a table is made, what cannot be published.

    Raises:
        ConfigError: there is a ``group`` but no ``folder`` to publish into, or one of the two cannot be used.
    """
    if folder is None:
        if group is not None:
            raise ConfigError("leaderboard: --group says who publishes; give --publish FOLDER with it, or leave it out.")
        return
    from suite.runs.publication import group_named
    from suite.workflows.publishing import publishable

    publishable(folder)
    if group is not None:
        group_named(group)


def say_of_table_alone(given: Mapping[str, object]) -> None:
    """Say which of the options that have a value change the printed table and not the site; nothing where none does."""
    if names := [f"--{name.replace('_', '-')}" for name, value in given.items() if value]:
        told = f"{', '.join(names)} {'is' if len(names) == 1 else 'are'} for the printed table"
        typer.echo(f"leaderboard: {told}; the site has a row for each setting, in the metrics of its benchmark.", err=True)


def publish_runs(folder: Path, group: str | None, asked: Mapping[str, Any], table: Mapping[str, object]) -> None:
    """Publish what the table shows; said on standard error, so that a table or JSON on standard output stays alone.

    Args:
        table: options that change the printed table and not the site.
    """
    from suite.workflows import publishing

    done = publishing.publish(folder, group=publishing.user() if group is None else group, **asked)
    for remark in done.remarks:
        typer.echo(f"leaderboard: {remark}.", err=True)
    rows = f"{counted(done.runs, 'run')} in {counted(done.rows, 'row')}"
    typer.echo(f"published: {done.folder / 'index.html'} ({rows}); any web server shows this folder", err=True)
    say_of_table_alone(table)


def merged_frame(folders: Sequence[Path], to: Path | None, given: Mapping[str, object], how: Mapping[str, Any]) -> pd.DataFrame:
    """The board of published folders, which are published together too where ``to`` names a folder.

    Args:
        given: options that merging has no use for: published folders are merged as they are.

    Raises:
        ConfigError: naming those of them that have a value.
    """
    if useless := [f"--{name}" for name, value in given.items() if value]:
        raise ConfigError(f"leaderboard: --merge takes the folders as they are, without {', '.join(useless)}; leave that out.")
    from suite.cli.progress import TerminalWatcher
    from suite.workflows import merging

    frame = merging.merge([str(folder) for folder in folders], to=to, **how, watcher=TerminalWatcher()).frame
    if to is not None:
        typer.echo(f"published: {to / 'index.html'}", err=True)
        say_of_table_alone(how)
    return frame


def print_verified(found: Sequence[Verified]) -> None:
    """A row for each run with a fault, and how many there are of both kinds."""
    faulty = [one for one in found if one.faults]
    columns = [Column("run", wraps=True), Column("name", wraps=True), Column("what is wrong", wraps=True)]
    if faulty:
        print_sheet(Sheet("", columns, [[one.run_id, one.name or "-", "; ".join(one.faults)] for one in faulty]))
    typer.echo(f"{counted(len(found) - len(faulty), 'run')} verified, {len(faulty)} with faults")
