"""What commands print around published folders: what was published or merged, and which runs of a folder can be believed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import typer

from suite.cli.tables import Column, Sheet, print_sheet
from suite.counting import counted
from suite.errors import ConfigError

if TYPE_CHECKING:
    from suite.workflows.publishing import Published, Verified


def print_published(done: Published) -> None:
    """One line on standard error, so that a table or JSON on standard output stays alone, and the remarks before it."""
    for remark in done.remarks:
        typer.echo(f"leaderboard: {remark}.", err=True)
    rows = f"{counted(done.runs, 'run')} in {counted(done.rows, 'row')}"
    typer.echo(f"published: {done.folder / 'index.html'} ({rows}); any web server shows this folder", err=True)


def print_verified(found: Sequence[Verified]) -> None:
    """A row for each run with a fault, and how many there are of both kinds."""
    faulty = [one for one in found if one.faults]
    columns = [Column("run", wraps=True), Column("name", wraps=True), Column("what is wrong", wraps=True)]
    if faulty:
        print_sheet(Sheet("", columns, [[one.run_id, one.name or "-", "; ".join(one.faults)] for one in faulty]))
    typer.echo(f"{counted(len(found) - len(faulty), 'run')} verified, {len(faulty)} with faults")


def require_whole(given: Mapping[str, object]) -> None:
    """Refuse options that --merge has no use for: published folders are merged as they are.

    Raises:
        ConfigError: naming the options.
    """
    useless = [f"--{name}" for name, value in given.items() if value]
    if useless:
        raise ConfigError(f"leaderboard: --merge takes the folders as they are, without {', '.join(useless)}; leave that out.")
