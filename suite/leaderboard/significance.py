"""Is the difference between two configurations real? Paired tests on stored outcomes, example by example."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from suite.errors import DataError
from suite.metrics.statistics import holm, mcnemar, paired_bootstrap, sign_flip
from suite.outcomes import Key, Scores
from suite.randomness import numpy_generator
from suite.record import Record


@dataclass(frozen=True)
class Contestant:
    """One finished run with its outcomes."""

    record: Record
    outcomes: Mapping[Key, Scores]

    @property
    def label(self) -> str:
        return f"{self.record.config['method']['name']} {self.record.run_id[:6]}"


def significance_frame(contestants: Sequence[Contestant], *, resamples: int = 2000) -> pd.DataFrame:
    """Every pair's difference after the last task: mean over tasks of the mean over examples, bootstrap interval, p values.

    ``p`` is McNemar's mid-p for right/wrong outcomes, a sign-flip permutation test for graded scores; ``p holm`` is corrected
    over all pairs. A positive difference speaks for the first run.

    Raises:
        DataError: fewer than two runs, or runs that were not judged on the same examples.
    """
    if len(contestants) < 2:
        raise DataError("significance: needs at least two finished runs; name more, or run another seed or method.")
    rows = []
    for one, other in combinations(contestants, 2):
        _require_paired(one.record, other.record)
        first, tasks = _last_row(one)
        second, _ = _last_row(other)
        draws = numpy_generator("significance", one.record.run_id, other.record.run_id)
        interval = paired_bootstrap(first, second, draws, tasks=tasks, resamples=resamples)
        graded = not (np.isin(first, (0, 100)).all() and np.isin(second, (0, 100)).all())
        p = sign_flip(first, second, draws, tasks=tasks) if graded else mcnemar(first / 100, second / 100).p
        rows.append(
            {
                "first": one.label,
                "second": other.label,
                "difference": interval.mean,
                "low": interval.low,
                "high": interval.high,
                "test": "sign flip" if graded else "McNemar",
                "p": p,
                "examples": len(first),
            }
        )
    frame = pd.DataFrame(rows)
    frame.insert(7, "p holm", holm(frame["p"].to_numpy()))
    return frame


def _last_row(contestant: Contestant) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    row = contestant.record.tasks_done
    parts = [contestant.outcomes[("test", row, task)] for task in range(len(contestant.record.tasks))]
    owners = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
    return np.concatenate(parts).astype(np.float64), owners


def _require_paired(one: Record, other: Record) -> None:
    if one.item_digests.get("test") != other.item_digests.get("test") or one.scoring != other.scoring:
        raise DataError(
            f"significance: runs {one.run_id[:6]} and {other.run_id[:6]} were not judged on the same examples by the same rule; "
            "compare runs of one benchmark, order and scoring."
        )
