"""Progress of long work: on a terminal a bar with tasks done, steps per second, time left and best so far, elsewhere a line per finished run."""

from __future__ import annotations

import sys
import time
from contextlib import AbstractContextManager
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Column

from suite.workflows.progress import QUIET, Watcher, Work


def terminal() -> Console | None:
    """A console on standard error when that is a terminal, else None."""
    return Console(stderr=True) if sys.stderr.isatty() else None


class TerminalWatcher:
    """Shows what a workflow tells: progress as bars, sentences as lines on standard error, each of them once."""

    def __init__(self) -> None:
        self._said: set[str] = set()

    def begin(self, title: str, total: int | None) -> AbstractContextManager[Work]:
        return WorkProgress(title, total)

    def say(self, sentence: str) -> None:
        if sentence not in self._said:
            self._said.add(sentence)
            sys.stderr.write(f"{sentence}\n")  # a bar that is shown takes its place; typer.echo would write into the bar


def watcher(quiet: bool) -> Watcher:
    """The watcher of a command that may have been told to say nothing."""
    return Silent() if quiet else TerminalWatcher()


class Silent(TerminalWatcher):
    """Shows no progress; sentences, which tell of something wrong, are said."""

    def begin(self, title: str, total: int | None) -> AbstractContextManager[Work]:
        return QUIET.begin(title, total)


class WorkProgress:
    """One bar over units of work (tasks of a stream, trials of a study) with a free note behind it."""

    def __init__(self, title: str, total: int | None) -> None:
        self.title = title
        self.total = total
        self._bar: Progress | None = None
        self._line: TaskID | None = None
        self._steps = 0
        self._done = 0.0
        self._since = time.perf_counter()

    def __enter__(self) -> WorkProgress:
        console = terminal()
        if console is not None:
            # Where the width is short the bar gives way, then the title takes a second line; numbers are never cut.
            columns = (
                TextColumn("{task.description}", table_column=Column(overflow="fold")),
                BarColumn(bar_width=None, table_column=Column(ratio=1)),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
                TimeRemainingColumn(),
                TextColumn("{task.fields[note]}"),
            )
            self._bar = Progress(*columns, console=console, transient=True, expand=True)
            self._bar.start()
            self._line = self._bar.add_task(self.title, total=self.total, note="")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._bar is not None:
            self._bar.stop()

    def expect(self, total: int) -> None:
        """Set how many units there will be."""
        if self._bar is not None and self._line is not None:
            self._bar.update(self._line, total=total)

    def done(self, units: float, note: str = "") -> None:
        """Set the number of finished units (fractions allowed) and the note; without a terminal a finished unit that has a note is a line."""
        if self._bar is None and note and units > self._done:
            self._done = units
            of = "" if self.total is None else f" of {self.total}"
            sys.stderr.write(f"{self.title}: {units:g}{of}: {note}\n")
        if self._bar is not None and self._line is not None:
            self._bar.update(self._line, completed=units, note=note)

    def step(self, task: int, step: int, steps: int, loss: float) -> None:
        """Listener for the trainer's steps: moves the bar inside a task and shows steps per second and loss."""
        if self._bar is None:
            return
        now = time.perf_counter()
        rate = (step - self._steps if step > self._steps else step) / max(now - self._since, 1e-9)
        self._steps, self._since = step, now
        self.done(task + step / steps, f"{rate:.0f} steps/s, loss {loss:.3f}")
