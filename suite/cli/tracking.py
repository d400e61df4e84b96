"""What commands do and say around MLflow: open it before anything is trained, say what waits, say what could not be read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from suite.proxies import without_password
from suite.tracking.spool import Spool

if TYPE_CHECKING:
    from suite.tracking.mlflow_sink import MlflowSink

SHOWN = 3


def opened_sink(tracking: str | None, out: Path) -> MlflowSink | None:
    """The way into MLflow, tried out; None when tracking is off. A server that does not answer is said at once, not at the end.

    Raises:
        ConfigError: the server or database can never take a record as it is.
    """
    if tracking == "none":
        return None
    from suite.tracking.mlflow_sink import open_sink

    sink = open_sink(tracking, out)
    if sink.is_away:
        typer.echo(
            f"tracking '{without_password(sink.uri)}': does not answer ({sink.trouble}); the command goes on, its records wait in "
            f"{sink.spool.folder} until an MLflow takes them.",
            err=True,
        )
    return sink


def say_waiting(out: Path) -> None:
    """One line about what MLflow has not taken yet; silent when there is nothing."""
    sentence = Spool(out / "spool").sentence()
    if sentence:
        typer.echo(sentence, err=True)


def say_unreadable(sentences: Sequence[str]) -> None:
    """The first few runs that are in no table because they cannot be read, and how many there are."""
    for sentence in sentences[:SHOWN]:
        typer.echo(f"left out: {sentence}", err=True)
    if len(sentences) > SHOWN:
        typer.echo(f"left out: {len(sentences) - SHOWN} more runs that cannot be read.", err=True)
