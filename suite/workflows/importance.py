"""Which varied settings of a study matter for its metrics."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from suite.leaderboard.study_figures import parameters_of, study_frame
from suite.runs.record import Record
from suite.tuning.importance import LEAST_TRIALS, importance_frame


def importances(records: Sequence[Record]) -> dict[str, pd.DataFrame]:
    """Study -> importance of its varied settings; studies that do not allow it are left out."""
    names = dict.fromkeys(study for record in records for study in record.trials)
    found = {name: importance(study_frame(records, name)) for name in names}
    return {name: frame for name, frame in found.items() if frame is not None}


def importance(table: pd.DataFrame) -> pd.DataFrame | None:
    """Importance of a ``study_frame``'s varied settings for its metrics on validation; None with few trials or none varied."""
    varied = parameters_of(table)
    metrics = [column for column in table.columns if column.startswith("validation ") and table[column].notna().all()]
    if len(table) < LEAST_TRIALS or not metrics or not varied:
        return None
    trials = [{str(key): value for key, value in row.items()} for row in table[varied].to_dict("records")]
    return importance_frame(trials, {column.removeprefix("validation "): table[column].tolist() for column in metrics})
