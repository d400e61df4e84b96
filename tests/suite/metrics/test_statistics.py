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
from suite.metrics.statistics import Interval, holm, mcnemar, paired_bootstrap

TRIALS = 2000
BITS = st.lists(st.tuples(st.integers(0, 1), st.integers(0, 1)), min_size=1, max_size=60)


def generator(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def bootstrap(first, second, draws: np.random.Generator, *, tasks=None, resamples: int = 10_000) -> Interval:
    """95 %, one task unless told otherwise."""
    labels = np.zeros(len(first)) if tasks is None else tasks
    return paired_bootstrap(first, second, draws, tasks=labels, resamples=resamples, confidence=0.95)


def excludes_zero(interval: Interval) -> bool:
    return interval.low > 0.0 or interval.high < 0.0


def outcomes(only_first: int, only_second: int, both: int = 0) -> tuple[np.ndarray, np.ndarray]:
    first = np.array([1] * only_first + [0] * only_second + [1] * both)
    second = np.array([0] * only_first + [1] * only_second + [1] * both)
    return first, second


def test_bootstrap_of_a_known_difference() -> None:
    """Difference of proportions with variance known: the interval's half width is 1.96 standard errors."""
    first, second = outcomes(300, 200, 500)
    interval = bootstrap(first, second, generator(), resamples=20_000)
    error = float(np.std(first - second) / math.sqrt(1000))
    assert interval.mean == pytest.approx(0.1)
    assert interval.low == pytest.approx(0.1 - 1.96 * error, abs=0.002)
    assert interval.high == pytest.approx(0.1 + 1.96 * error, abs=0.002)
    assert excludes_zero(interval)


def test_bootstrap_by_counts_equals_bootstrap_by_examples(monkeypatch) -> None:
    first, second = outcomes(70, 50, 200)
    fast = bootstrap(first, second, generator(), resamples=40_000)
    monkeypatch.setattr(statistics, "FEW_VALUES", 0)
    plain = bootstrap(first, second, generator(), resamples=40_000)
    assert fast.mean == plain.mean
    assert (fast.low, fast.high) == pytest.approx((plain.low, plain.high), abs=0.004)


def test_bootstrap_in_chunks_covers_every_resample(monkeypatch) -> None:
    scores = generator(1).uniform(0, 100, 200)
    monkeypatch.setattr(statistics, "CHUNK_CELLS", 1000)
    small = bootstrap(scores, np.zeros(200), generator(), resamples=1003)
    monkeypatch.setattr(statistics, "CHUNK_CELLS", 10**7)
    whole = bootstrap(scores, np.zeros(200), generator(), resamples=1003)
    assert (small.low, small.high) == pytest.approx((whole.low, whole.high), abs=1e-9)


def test_tasks_weigh_equally_however_many_examples_they_have() -> None:
    first = np.array([1.0] * 10 + [0.0] * 990)
    tasks = ["small"] * 10 + ["large"] * 990
    second = np.zeros(1000)
    assert bootstrap(first, second, generator()).mean == pytest.approx(0.01)
    by_task = bootstrap(first, second, generator(), tasks=tasks)
    assert (by_task.mean, by_task.low, by_task.high) == (0.5, 0.5, 0.5)  # nothing varies within a task


def test_same_seed_same_interval_other_seed_another() -> None:
    scores = generator(1).uniform(0, 100, 50), generator(2).uniform(0, 100, 50)
    assert bootstrap(*scores, generator(3)) == bootstrap(*scores, generator(3))
    assert bootstrap(*scores, generator(3)) != bootstrap(*scores, generator(4))


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
    first, second = outcomes(only_first, only_second, both=4)
    result = mcnemar(first, second)
    assert result.p == pytest.approx(mid)
    assert (result.only_first, result.only_second) == (only_first, only_second)


@given(BITS)
def test_mcnemar_against_scipy_and_symmetry(pairs) -> None:
    first, second = (np.array(column) for column in zip(*pairs, strict=True))
    found = mcnemar(first, second)
    discordant = found.only_first + found.only_second
    if discordant:
        half = 0.5 if found.only_first == found.only_second else 1.0  # of the observed outcome, which lies in both tails then
        expected = binomtest(found.only_first, discordant).pvalue - half * binom.pmf(found.only_first, discordant, 0.5)
        assert found.p == pytest.approx(expected)
    assert mcnemar(second, first).p == found.p


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
    draws = generator(10)
    rate = np.mean([mcnemar(*null_outcomes(draws)).p < 0.05 for _ in range(TRIALS)])
    assert float(rate) == pytest.approx(0.05, abs=0.015)


def test_false_alarms_of_the_bootstrap_on_outcomes() -> None:
    draws = generator(11)
    intervals = (bootstrap(*null_outcomes(draws), draws, resamples=2000) for _ in range(TRIALS))
    assert float(np.mean([excludes_zero(interval) for interval in intervals])) == pytest.approx(0.05, abs=0.015)


def test_false_alarms_of_the_bootstrap_on_scores() -> None:
    draws = generator(12)
    intervals = (bootstrap(*null_scores(draws), draws, resamples=1000) for _ in range(TRIALS))
    assert float(np.mean([excludes_zero(interval) for interval in intervals])) == pytest.approx(0.05, abs=0.015)


def test_false_alarms_by_task() -> None:
    draws = generator(14)
    tasks = np.repeat(np.arange(5), [20, 30, 150, 300, 500])
    intervals = (bootstrap(*null_outcomes(draws), draws, tasks=tasks, resamples=1000) for _ in range(TRIALS))
    assert float(np.mean([excludes_zero(interval) for interval in intervals])) == pytest.approx(0.05, abs=0.015)


def test_the_interval_sees_a_real_difference() -> None:
    draws = generator(15)
    first, second = null_scores(draws)
    assert excludes_zero(bootstrap(first + 5.0, second, draws))


def test_one_example_has_no_interval() -> None:
    interval = bootstrap([100.0, 100.0, 0.0], [0.0, 0.0, 0.0], generator(), tasks=["lonely", "two", "two"])
    assert interval.mean == 75.0
    assert math.isnan(interval.low)
    assert math.isnan(interval.high)


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
    with pytest.raises(SuiteError, match=r"shapes \(2,\) and \(3,\)"):
        mcnemar([0, 1], [0, 1, 1])
    with pytest.raises(SuiteError, match="non-empty"):
        mcnemar([], [])
    with pytest.raises(SuiteError, match="NaN"):
        bootstrap([1.0, np.nan], [0.0, 0.0], generator())
    with pytest.raises(SuiteError, match="graded scores are compared by their differences"):
        mcnemar([0.5, 1], [1, 1])
    with pytest.raises(SuiteError, match="confidence 95"):
        paired_bootstrap([1.0], [0.0], generator(), tasks=["a"], resamples=1, confidence=95)
    with pytest.raises(SuiteError, match="resamples 0"):
        bootstrap([1.0], [0.0], generator(), resamples=0)
    with pytest.raises(SuiteError, match="1 task labels for 2 examples"):
        bootstrap([1, 2], [0, 0], generator(), tasks=["a"])
    with pytest.raises(SuiteError, match="from 0 to 1"):
        holm([0.1, np.nan])
