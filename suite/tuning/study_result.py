"""A study as it stands: its trials, the best of them, and both as a table."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from suite.tuning.study_config import StudyConfig

if TYPE_CHECKING:
    import pandas as pd
    from optuna.trial import FrozenTrial

    from suite.tuning.study import StudyQueue


@dataclass(frozen=True)
class Study:
    """A study as it stands.

    Attributes:
        trials: all of them in the order of their numbers, as Optuna has them.
        front: numbers of the best ones by validation; with several objectives those of the Pareto front.
    """

    config: StudyConfig
    trials: list[FrozenTrial]
    front: list[int]

    @property
    def has_failed(self) -> bool:
        """Whether there are trials and every one failed."""
        return {trial.state.name for trial in self.trials} == {"FAIL"}

    def columns(self) -> dict[str, list[Any]]:
        """Number, state, objectives on validation, settings, runs and reason of every trial; NaN where a trial has no such thing."""
        names = dict.fromkeys(name for trial in self.trials for name in trial.params)
        columns: dict[str, list[Any]] = {
            "trial": [trial.number for trial in self.trials],
            "state": [trial.state.name for trial in self.trials],
        }
        for place, objective in enumerate(self.config.objectives):
            columns[objective] = [trial.values[place] if trial.values else math.nan for trial in self.trials]
        columns |= {name: [trial.params.get(name, math.nan) for trial in self.trials] for name in names}
        columns |= {
            name: [trial.user_attrs.get(key, math.nan) for trial in self.trials]
            for name, key in (("runs", "run_id"), ("reason", "reason"))
        }
        return columns

    def table(self) -> pd.DataFrame:
        """``columns`` as a DataFrame, one row per trial."""
        import pandas as pd

        return pd.DataFrame(self.columns())


def study_of(source: StudyQueue) -> Study:
    """What a study's own storage says of it."""
    return Study(source.config, source.store.trials(), source.store.front())
