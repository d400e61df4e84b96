"""Where the next run comes from and who is told how it went: a list for comparisons, a sampler for studies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from suite.config import RunConfig
from suite.errors import DamagedRun
from suite.runs.store import RunStore
from suite.runs.validation_view import ValidationView, validation_view


@dataclass(frozen=True)
class Suggestion:
    """A run to carry out.

    Attributes:
        trial: its number within the study or list.
        seed_index: which of the trial's seeds, from 0.
    """

    trial: int
    config: RunConfig
    seed_index: int = 0


class RunQueue(Protocol):
    """Gives runs out and hears of them. Every run given out ends in exactly one call of ``ended``."""

    study: str | None

    def suggest(self) -> Suggestion | Literal["finished", "wait"]:
        """The next run, ``wait`` while others must end first, or ``finished``."""

    def may_go_on(self, run: Suggestion, view: ValidationView) -> bool:
        """Told after every task; False stops the run there."""

    def ended(self, run: Suggestion, view: ValidationView | None, reason: str | None) -> None:
        """The run finished, was stopped or diverged (see ``view.status``), or died (``view`` None, ``reason`` why)."""


@dataclass
class ListQueue:
    """A fixed list of runs, none of them ever stopped."""

    configs: Sequence[RunConfig]
    study: str | None = None
    failures: dict[int, str] = field(default_factory=dict)
    _next: int = 0

    def suggest(self) -> Suggestion | Literal["finished", "wait"]:
        if self._next == len(self.configs):
            return "finished"
        self._next += 1
        return Suggestion(self._next - 1, self.configs[self._next - 1])

    def may_go_on(self, run: Suggestion, view: ValidationView) -> bool:
        return True

    def ended(self, run: Suggestion, view: ValidationView | None, reason: str | None) -> None:
        if view is None or view.status == "failed":
            self.failures[run.trial] = reason or (view.reason if view else None) or "unknown"


def left_behind(store: RunStore, attempt: str) -> ValidationView | None:
    """What there is of the run that a worker was at when it died without a word: rows of an earlier attempt at the same run.

    The worker left its attempt's name in the folder of exactly that run. A finished record is nobody's failure.
    """
    try:
        found = store.attempted(attempt)
    except DamagedRun:
        return None
    return None if found is None or found.record.status == "finished" else validation_view(found.record)
