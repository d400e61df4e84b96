"""Paired tests: known values, equality of fast and plain paths, false alarms under a simulated null."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom, binomtest

import suite.metrics.statistics as statistics
from suite.errors import SuiteError
from suite.metrics.statistics import holm, mcnemar_p, percentile_bounds, resampled_means

TRIALS = 2000


def generator(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def bootstrap(differences, draws: np.random.Generator, *, tasks=None, resamples: int = 10_000) -> np.ndarray:
    """95 % intervals of rows of differences, (2, rows), one task unless told otherwise."""
    found = np.atleast_2d(np.asarray(differences, dtype=float))
    labels = np.zeros(found.shape[1]) if tasks is None else np.asarray(tasks)
    groups = [found[:, labels == label] for label in np.unique(labels)]
    return np.stack(percentile_bounds(resampled_means(groups, [draws] * len(groups), resamples), 0.95))


def excluding_zero(intervals: np.ndarray) -> float:
    """Their share."""
    return float(((intervals[0] > 0.0) | (intervals[1] < 0.0)).mean())


def outcomes(only_first: int, only_second: int, both: int = 0) -> tuple[np.ndarray, np.ndarray]:
    first = np.array([1] * only_first + [0] * only_second + [1] * both)
    second = np.array([0] * only_first + [1] * only_second + [1] * both)
    return first, second


def test_bootstrap_of_a_known_difference() -> None:
    """Difference of proportions with variance known: the interval's half width is 1.96 standard errors."""
    first, second = outcomes(300, 200, 500)
    low, high = bootstrap(first - second, generator(), resamples=20_000)[:, 0]
    error = float(np.std(first - second) / math.sqrt(1000))
    assert (low, high) == (pytest.approx(0.1 - 1.96 * error, abs=0.002), pytest.approx(0.1 + 1.96 * error, abs=0.002))


def test_rows_are_resampled_together() -> None:
    """Resamples of a difference are the difference of resamples, whatever other rows are there, up to the order of additions."""
    scores = [generator(task).uniform(0, 100, (5, size)) for task, size in enumerate((7, 40))]
    every = resampled_means(scores, [generator(8), generator(9)], 500)
    two = resampled_means([task[[1, 4]] for task in scores], [generator(8), generator(9)], 500)
    one = resampled_means([task[[1]] - task[[4]] for task in scores], [generator(8), generator(9)], 500)
    np.testing.assert_allclose(every[[1, 4]], two, rtol=1e-12)
    np.testing.assert_allclose(every[1] - every[4], one[0], rtol=0, atol=1e-10)


def test_bootstrap_in_chunks_covers_every_resample(monkeypatch) -> None:
    scores = generator(1).uniform(0, 100, 200)
    monkeypatch.setattr(statistics, "CHUNK_CELLS", 1000)
    small = bootstrap(scores, generator(), resamples=1003)
    monkeypatch.setattr(statistics, "CHUNK_CELLS", 10**7)
    np.testing.assert_allclose(small, bootstrap(scores, generator(), resamples=1003), atol=1e-9)


def test_tasks_weigh_equally_however_many_examples_they_have() -> None:
    first = np.array([1.0] * 10 + [0.0] * 990)
    tasks = ["small"] * 10 + ["large"] * 990
    assert bootstrap(first, generator(), resamples=1000).mean() == pytest.approx(0.01, abs=0.002)
    by_task = bootstrap(first, generator(), tasks=tasks, resamples=10)
    assert by_task[:, 0].tolist() == [0.5, 0.5]  # nothing varies within a task


def test_same_seed_same_interval_other_seed_another() -> None:
    scores = generator(1).uniform(0, 100, 50)
    assert (bootstrap(scores, generator(3)) == bootstrap(scores, generator(3))).all()
    assert (bootstrap(scores, generator(3)) != bootstrap(scores, generator(4))).any()


@pytest.mark.parametrize(
    ("only_first", "only_second", "mid"),
    [
        # by hand: 2 * sum of binomial terms / 2^n - point probability
        (1, 5, 8 / 64),
        (0, 6, 1 / 64),
        (3, 3, 1 - 0.5 * 20 / 64),
        (0, 0, 1.0),
    ],
)
def test_mcnemar_by_hand(only_first, only_second, mid) -> None:
    assert mcnemar_p(only_first, only_second) == pytest.approx(mid)


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)), min_size=1, max_size=9))
def test_mcnemar_against_scipy_and_symmetry(pairs) -> None:
    first, second = np.array(pairs).T
    for one, other, found in zip(first, second, mcnemar_p(first, second), strict=True):
        if one + other:
            half = 0.5 if one == other else 1.0  # of the observed outcome, which lies in both tails then
            expected = binomtest(int(one), int(one + other)).pvalue - half * binom.pmf(one, one + other, 0.5)
            assert found == pytest.approx(expected)
    assert (mcnemar_p(second, first) == mcnemar_p(first, second)).all()


def null_outcomes(draws: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Two equally good runs on 1000 shared examples: same difficulty per example, independent luck."""
    difficulty = draws.beta(1.0, 0.6, size=1000)
    return (draws.random(1000) < difficulty).astype(float), (draws.random(1000) < difficulty).astype(float)


def null_scores(draws: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Two equally good runs with graded, skewed scores on 200 shared examples."""
    difficulty = draws.normal(50, 15, size=200)
    noise = draws.gamma(2.0, 6.0, size=(2, 200))
    first, second = np.clip(difficulty + noise, 0, 100)
    return first, second


# The simulated rate has a standard error of 0.5 points; a bound of 1.5 points is 3 of them. Seeds are fixed.
def test_false_alarms_of_mcnemar() -> None:
    draws = generator(13)
    differences = np.array([first - second for first, second in (null_outcomes(draws) for _ in range(TRIALS))])
    rate = np.mean(mcnemar_p((differences > 0).sum(axis=1), (differences < 0).sum(axis=1)) < 0.05)
    assert float(rate) == pytest.approx(0.05, abs=0.015)


def false_alarms(kind, draws: np.random.Generator, tasks=None) -> float:
    """Of so many null differences, all resampled together as the pairs of a table are."""
    pairs = (kind(draws) for _ in range(TRIALS))
    return excluding_zero(bootstrap([first - second for first, second in pairs], draws, tasks=tasks, resamples=2000))


def test_false_alarms_of_the_bootstrap() -> None:
    assert false_alarms(null_outcomes, generator(11)) == pytest.approx(0.05, abs=0.015)
    assert false_alarms(null_scores, generator(12)) == pytest.approx(0.05, abs=0.015)
    tasks = np.repeat(np.arange(5), [20, 30, 150, 300, 500])
    assert false_alarms(null_outcomes, generator(14), tasks) == pytest.approx(0.05, abs=0.015)


def test_the_interval_sees_a_real_difference() -> None:
    first, second = null_scores(generator(15))
    assert excluding_zero(bootstrap(first + 5.0 - second, generator())) == 1.0


def test_one_example_has_no_interval() -> None:
    assert np.isnan(bootstrap([100.0, 100.0, 0.0], generator(), tasks=["lonely", "two", "two"])).all()


def test_holm_by_hand() -> None:
    np.testing.assert_allclose(holm([0.01, 0.04, 0.03, 0.005]), [0.03, 0.06, 0.06, 0.02])
    np.testing.assert_allclose(holm([0.5, 0.9]), [1.0, 1.0])
    assert holm([]).size == 0


@given(st.lists(st.floats(0.0, 1.0), min_size=1, max_size=20))
def test_holm_keeps_order_and_never_lowers(p_values) -> None:
    adjusted = holm(p_values)
    order = np.argsort(p_values, kind="stable")
    assert (np.diff(adjusted[order]) >= 0).all()
    assert (adjusted >= np.array(p_values)).all()
    assert (adjusted <= np.minimum(1.0, len(p_values) * np.array(p_values)) + 1e-12).all()


def test_bad_input_is_refused() -> None:
    with pytest.raises(SuiteError, match="from 0 to 1"):
        holm([0.1, np.nan])
