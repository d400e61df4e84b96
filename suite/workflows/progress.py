"""How a workflow says what goes on: to whoever called it, never to a terminal."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Protocol, TypeVar

Opened = TypeVar("Opened")


class Work(Protocol):
    """One long piece of work in units, such as the tasks of a stream or the trials of a study."""

    def expect(self, total: int) -> None:
        """There will be ``total`` units."""

    def done(self, units: float, note: str = "") -> None:
        """So many units are finished, fractions allowed; ``note`` is a few words on how it goes."""

    def step(self, task: int, step: int, steps: int, loss: float) -> None:
        """Optimizer step ``step`` of ``steps`` was made in the unit with this number, from 0."""


class Watcher(Protocol):
    """Is told what a workflow does; every call comes from the thread that called the workflow."""

    def begin(self, title: str, total: int | None) -> AbstractContextManager[Work]:
        """A piece of work begins, and ends with the context; ``total`` is None while nobody knows the number of units."""

    def say(self, sentence: str) -> None:
        """Something that the caller should know and that is no error, such as a stored run that cannot be read."""


@contextmanager
def opened(context: AbstractContextManager[Opened], watcher: Watcher, title: str) -> Iterator[Opened]:
    """``context`` entered while the watcher shows under ``title`` that something is being done."""
    with ExitStack() as stack:
        with watcher.begin(title, None):
            found = stack.enter_context(context)
        yield found


class Quiet:
    """The watcher of those who pass none: progress goes nowhere, sentences go to the logger ``suite`` as warnings."""

    @contextmanager
    def begin(self, title: str, total: int | None) -> Iterator[Work]:
        yield _Unseen()

    def say(self, sentence: str) -> None:
        logging.getLogger("suite").warning(sentence)


class _Unseen:
    def expect(self, total: int) -> None:
        pass

    def done(self, units: float, note: str = "") -> None:
        pass

    def step(self, task: int, step: int, steps: int, loss: float) -> None:
        pass


QUIET = Quiet()
