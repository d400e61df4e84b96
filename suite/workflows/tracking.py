"""What workflows do and say around MLflow: open it before anything is trained, say what waits, say what could not be read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from suite.proxies import without_password
from suite.tracking.spool import Spool

if TYPE_CHECKING:
    from suite.runs.record import Record
    from suite.tracking.mlflow_sink import MlflowSink
    from suite.workflows.progress import Watcher

SHOWN = 3


def opened_sink(tracking: str | None, out: Path, watcher: Watcher) -> MlflowSink | None:
    """The way into MLflow, tried out; None when tracking is off. A server that does not answer is said at once, not at the end.

    Raises:
        ConfigError: the server or database can never take a record as it is.
    """
    if tracking == "none":
        return None
    from suite.tracking.mlflow_sink import open_sink

    sink = open_sink(tracking, out)
    if sink.is_away:
        watcher.say(
            f"tracking '{without_password(sink.uri)}': does not answer ({sink.trouble}); the command goes on, its records wait in "
            f"{sink.spool.folder} until an MLflow takes them."
        )
    return sink


def track(records: Sequence[Record], sink: MlflowSink | None, watcher: Watcher) -> None:
    """Log records that were made without a study, and say what could not be delivered."""
    if sink is None:
        return
    from suite.workflows.pictures import attach_run_pictures

    for record in records:
        sink.log_run(record)
    attach_run_pictures(sink, records, sink.out)
    say_waiting(sink.out, watcher)


def say_waiting(out: Path, watcher: Watcher) -> None:
    """One line about what MLflow has not taken yet; silent when there is nothing."""
    sentence = Spool(out / "spool").sentence()
    if sentence:
        watcher.say(sentence)


def say_unreadable(sentences: Sequence[str], watcher: Watcher) -> None:
    """The first few runs that are in no table because they cannot be read, and how many there are."""
    for sentence in sentences[:SHOWN]:
        watcher.say(f"left out: {sentence}")
    if len(sentences) > SHOWN:
        watcher.say(f"left out: {len(sentences) - SHOWN} more runs that cannot be read.")
