"""Where the next run comes from and who is told how it went: a list for comparisons, a sampler for studies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
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
        study: that it is a trial of; None for a run of its own.
        lane: which queue of several that share a cluster it came from.
    """

    trial: int
    config: RunConfig
    seed_index: int = 0
    study: str | None = None
    lane: int = 0

    @property
    def key(self) -> tuple[int, str | None, int, int]:
        """What tells it from every other run that a queue gives out."""
        return self.lane, self.study, self.trial, self.seed_index


class RunQueue(Protocol):
    """Gives runs out and hears of them. Every run given out ends in exactly one call of ``ended``."""

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


@dataclass
class JointQueue:
    """Several queues that share a cluster: each in turn is asked for its next run, so that none waits for another to end."""

    lanes: Sequence[RunQueue]
    _turn: int = 0

    def suggest(self) -> Suggestion | Literal["finished", "wait"]:
        """The next run of the first queue in turn that has one; ``wait`` while any of them waits."""
        waits = False
        for _ in self.lanes:
            lane, self._turn = self._turn, (self._turn + 1) % len(self.lanes)
            found = self.lanes[lane].suggest()
            if isinstance(found, Suggestion):
                return replace(found, lane=lane)
            waits = waits or found == "wait"
        return "wait" if waits else "finished"

    def may_go_on(self, run: Suggestion, view: ValidationView) -> bool:
        return self.lanes[run.lane].may_go_on(run, view)

    def ended(self, run: Suggestion, view: ValidationView | None, reason: str | None) -> None:
        self.lanes[run.lane].ended(run, view, reason)


def left_behind(store: RunStore, attempt: str) -> ValidationView | None:
    """What there is of the run that a worker was at when it died without a word: rows of an earlier attempt at the same run.

    The worker left its attempt's name in the folder of exactly that run. A finished record is nobody's failure.
    """
    try:
        found = store.attempted(attempt)
    except DamagedRun:
        return None
    return None if found is None or found.record.status == "finished" else validation_view(found.record)
