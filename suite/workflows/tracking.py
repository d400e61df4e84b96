"""What workflows do and say around a tracker: open it before anything is trained, say what waits, say what could not be read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from suite.files import make_folder
from suite.proxies import without_password
from suite.runs.store import RunStore
from suite.tracking.spool import PLACE as SPOOL
from suite.tracking.spool import Spool
from suite.tracking.trackers import tracker_for

if TYPE_CHECKING:
    from suite.runs.record import Record
    from suite.tracking.delivery import Delivery
    from suite.tracking.tracker import Tracker
    from suite.workflows.progress import Watcher

SHOWN = 3


@contextmanager
def opened_tracking(tracking: str | None, out: Path, watcher: Watcher) -> Iterator[Delivery]:
    """The way to the tracker, tried out. A server that does not answer is said at once, not at the end.

    The output folder is made first: what is wrong with it is no fault of a tracker that keeps its notes there. What was made for
    nothing, because the command was refused, is removed again: this folder, and the one for notes in it.

    Raises:
        DataError: ``out`` cannot hold results.
        ConfigError: there is no such tracker, or it can never take a record as it is.
    """
    notes = out / SPOOL
    made = [place for place in (notes, RunStore(out).place, out, *out.parents) if not place.exists()]
    make_folder(out, "name a folder that you may write with --out")
    try:
        with _opened(tracking, out, watcher) as delivery:
            yield delivery
    finally:
        for place in (*(sorted(notes.rglob("*"), reverse=True) if notes in made else ()), *made):
            with suppress(OSError):  # it is not there, or something is in it
                place.rmdir()


def _opened(tracking: str | None, out: Path, watcher: Watcher) -> Delivery:
    with watcher.begin("opening the tracker", None):
        from suite.tracking.delivery import open_delivery

        delivery = open_delivery(tracking, out)
    if delivery.is_away:
        watcher.say(
            f"tracking '{without_password(delivery.tracker.uri)}': does not answer ({delivery.trouble}); the command goes on, its records "
            f"wait in {delivery.spool.folder} until they are taken."
        )
    return delivery


def track(records: Sequence[Record], delivery: Delivery, watcher: Watcher) -> None:
    """Log records that were made without a study, and say what could not be delivered."""
    from suite.workflows.pictures import attach_run_pictures

    out = delivery.tracker.out
    for record in records:
        delivery.log_run(record)
    attach_run_pictures(delivery, records, out)
    say_waiting(delivery.tracker, watcher)


def pages(tracking: str | None, out: Path) -> Sequence[str]:
    """Where a person looks at what was logged, a line each; empty where there is no such place or it does not answer.

    Nothing that a tracker raises here is worth more than the lines that are missing.
    """
    try:
        with closing(tracker_for(tracking, out)) as tracker:
            return tracker.pages()
    except Exception:  # of a library or a server that the suite knows nothing of
        return ()


def say_waiting(tracker: Tracker, watcher: Watcher) -> None:
    """One line about what ``tracker`` has not taken yet, silent when there is nothing; no other could take it."""
    if (sentence := Spool.of(tracker.out, tracker.name).sentence()) is not None:
        watcher.say(sentence)


def say_unreadable(sentences: Sequence[str], watcher: Watcher) -> None:
    """The first few runs that are in no table because they cannot be read, and how many there are."""
    for sentence in sentences[:SHOWN]:
        watcher.say(f"left out: {sentence}")
    if len(sentences) > SHOWN:
        watcher.say(f"left out: {len(sentences) - SHOWN} more, which cannot be read either.")
