"""Which trials TPE looks at once they are many: its own work grows with every one of them.

TPE draws where the best tenth of the trials is dense (25 trials at most with one objective) and all others are not. Up to ``MOST``
ended trials it sees all of them; of more, the best fifth of ``MOST``, those that fewest others beat, and as many of the others as are
left, evenly from the first to the last.
What is shown depends on the ended trials alone and not on the order in which they ended, so that a resumed study draws the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager

import numpy as np
from numpy.typing import NDArray
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from suite.tuning.study_storage import StudyStorage

MOST = 300  # trials
LEADING = 5  # one in so many of those shown is there because it is good


class History:
    """The ended trials that a sampler learns from, and how many others are better than each.

    Args:
        storage: that the sampler asks for trials.
        directions: of the study's objectives.
        most: trials up to which all are shown.
    """

    def __init__(self, storage: StudyStorage, directions: Sequence[StudyDirection], most: int = MOST) -> None:
        self._storage, self._most = storage, most
        self._signs = np.array([1.0 if direction is StudyDirection.MINIMIZE else -1.0 for direction in directions])
        self._numbers: list[int] = []
        self._values = np.empty((0, len(directions)))  # smaller is better; infinite of a trial without values
        self._violations = np.empty(0)
        self._beaten_by = np.empty(0, dtype=np.int64)
        self._chosen: set[int] | None = None  # what ``numbers`` gives; None when it is to be found

    def add(self, trial: FrozenTrial) -> None:
        """Count a trial as it ended; one that failed, or has not ended, teaches nothing."""
        if trial.state not in (TrialState.COMPLETE, TrialState.PRUNED):
            return
        is_complete = trial.state is TrialState.COMPLETE
        values = self._signs * np.array(trial.values) if is_complete else np.full(len(self._signs), np.inf)
        violation = sum(max(0.0, value) for value in (trial.constraints or {}).values())
        better, worse = self._better(values, violation)
        self._beaten_by += worse
        self._numbers.append(trial.number)
        self._values = np.vstack([self._values, values])
        self._violations = np.append(self._violations, violation)
        self._beaten_by = np.append(self._beaten_by, better.sum())
        self._chosen = None

    def _better(self, values: NDArray[np.float64], violation: float) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Which trials are better than one with these values, and which are worse.

        Better is who violates less of the constraints, or equally much and is as good in every objective and better in one.
        """
        equal = self._violations == violation
        as_good, as_bad = (self._values <= values).all(axis=1), (self._values >= values).all(axis=1)
        return (
            (self._violations < violation) | equal & as_good & ~as_bad,
            (self._violations > violation) | equal & as_bad & ~as_good,
        )

    def shown(self) -> AbstractContextManager[None]:
        """The study's storage shows the trials to look at, and all that are running."""
        return self._storage.showing(self.numbers())

    def numbers(self) -> set[int] | None:
        """Of the ended trials to look at; None = all of them."""
        if len(self._numbers) <= self._most:
            return None
        if self._chosen is None:
            self._chosen = self._choose()
        return self._chosen

    def _choose(self) -> set[int]:
        leading = self._most // LEADING
        numbers = np.array(self._numbers)
        order = np.lexsort((numbers, self._beaten_by))
        others = np.sort(numbers[order[leading:]])
        evenly = np.linspace(0, len(others) - 1, self._most - leading).round().astype(int)
        return {*numbers[order[:leading]].tolist(), *others[evenly].tolist()}
