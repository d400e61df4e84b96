"""Where the next run comes from and who is told how it went: a list for comparisons, a sampler for studies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

from suite.config import RunConfig
from suite.runs.record import read_record
from suite.tuning.objectives import ValidationView, validation_view


@dataclass(frozen=True)
class Suggestion:
    """A run to carry out.

    Attributes:
        trial: its number within the study or list.
        part: which of the trial's seeds, from 0.
    """

    trial: int
    config: RunConfig
    part: int = 0


class RunSource(Protocol):
    """Gives runs out and hears of them. Every run given out ends in exactly one call of ``ended``."""

    study: str | None

    def suggest(self) -> Suggestion | Literal["finished", "wait"]:
        """The next run, ``wait`` while others must end first, or ``finished``."""

    def may_go_on(self, run: Suggestion, view: ValidationView) -> bool:
        """Told after every task; False stops the run there."""

    def ended(self, run: Suggestion, view: ValidationView | None, reason: str | None) -> None:
        """The run finished, was stopped or diverged (see ``view.status``), or died (``view`` None, ``reason`` why)."""


@dataclass
class ListSource:
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


def left_behind(out: Path, run: Suggestion, study: str | None) -> ValidationView | None:
    """What an earlier driver's attempt at a run stored, when none of this driver's got that far."""
    for path in out.glob("runs/*/record.json"):
        record = read_record(path)
        number = record.trial if study is None else record.trials.get(study)
        if number == run.trial and record.config_hash == run.config.config_hash():
            return validation_view(record)
    return None
