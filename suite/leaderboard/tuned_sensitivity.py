"""How much a result hangs on the search: what fewer trials would have found, and how much of the space is nearly as good as the best.

All values are validation scores, as the selection rule reads them. The best of them is chosen for being high: on fresh seeds it is lower by
what the table calls optimism.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import pandas as pd

from suite.leaderboard.tuned import TunedMethod, TunedTrial, Tuning
from suite.metrics.searches import Share, expected_best, share_within

WITHIN = 1.0  # points below the best that count as nearly as good
CURVE = ("benchmark", "method", "trials", "expected best", "low", "high", "estimates")
ROBUST = ("benchmark", "method", "best", "share", "share low", "share high", "random trials", "estimates")


def finished_scores(trials: Sequence[TunedTrial]) -> list[float]:
    """Validation scores of the trials that were learned to their end, by number."""
    return [trial.score for trial in sorted(trials, key=lambda trial: trial.number) if trial.score is not None]


def curve_frame(tuning: Tuning) -> pd.DataFrame:
    """Best validation score expected after k trials, for every method and k: over all sets of k of its finished trials.

    Of trials that were drawn at random this is what a random search of k trials finds on average. Trials that a sampler aimed at good
    regions are better than such, so that the curve of theirs rises too early; ``estimates`` says which of the two it is.
    """
    rows = []
    for one in tuning.methods:
        scores = finished_scores(one.trials)
        if not scores:
            continue
        found = expected_best(scores)
        whose = _whose([trial for trial in one.trials if trial.score is not None])
        for place in range(len(scores)):
            values = (float(part[place]) for part in (found.mean, found.low, found.high))
            rows.append((one.benchmark, one.method, place + 1, *values, whose))
    return pd.DataFrame(rows, columns=list(CURVE))


def robustness_frame(tuning: Tuning) -> pd.DataFrame:
    """Share of every method's space whose validation score lies within a point of its best trial, with a 95 % interval.

    Estimated from the trials that were drawn at random, each counted once: only these are spread over the space as it is declared. One that
    was stopped early or failed counts as outside. NaN where there is none.
    """
    rows = []
    for one in tuning.methods:
        scores = finished_scores(one.trials)
        if not scores:
            continue
        found = robustness(one)
        values = (found.share, found.low, found.high, found.of) if found else (math.nan, math.nan, math.nan, 0)
        estimates = "share of the declared space" if found else "nothing: no trial was drawn at random"
        rows.append((one.benchmark, one.method, max(scores), *values, estimates))
    return pd.DataFrame(rows, columns=list(ROBUST))


def summary_frame(tuning: Tuning) -> pd.DataFrame:
    """One row per method with finished trials: the curve after one, half and all of them, beside the share of the space."""
    curves = curve_frame(tuning)
    shares = robustness_frame(tuning)
    rows = []
    for (benchmark, method), curve in curves.groupby(["benchmark", "method"], sort=False):
        count = len(curve)
        one, half, whole = (curve.iloc[place] for place in (0, max(1, count // 2) - 1, count - 1))
        rows.append(
            {
                **{"benchmark": benchmark, "method": method, "trials": count, "after one": one["expected best"]},
                **{"after half": half["expected best"], "half low": half["low"], "half high": half["high"]},
                "after all": whole["expected best"],
            }
        )
    columns = ["benchmark", "method", "trials", "after one", "after half", "half low", "half high", "after all"]
    return pd.DataFrame(rows, columns=columns).merge(
        shares.rename(columns={"estimates": "share estimates"}), on=["benchmark", "method"]
    )


def robustness(one: TunedMethod) -> Share | None:
    """See ``robustness_frame``; None without a random trial that has ended."""
    scores = finished_scores(one.trials)
    drawn = [trial.score for trial in one.trials if trial.is_random and trial.state != "RUNNING"]
    return share_within(drawn, max(scores), WITHIN) if scores else None


def second_half(trials: Sequence[TunedTrial]) -> float:
    """Points by which the best of all finished trials is expected to be above that of half of them; 0 for fewer than two."""
    scores = finished_scores(trials)
    if len(scores) < 2:
        return 0.0
    found = expected_best(scores).mean
    return float(found[-1] - found[len(scores) // 2 - 1])


def _whose(finished: Sequence[TunedTrial]) -> str:
    """What kind of trials a curve is made from."""
    aimed = sum(not trial.is_random for trial in finished)
    return "a random search" if not aimed else f"these trials; {aimed} of {len(finished)} were not drawn at random"
