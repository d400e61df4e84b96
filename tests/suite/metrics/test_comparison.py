"""Friedman ranks, Nemenyi difference, variance split."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scikit_posthocs import posthoc_nemenyi_friedman
from scipy.stats import chi2

from suite.errors import SuiteError
from suite.metrics.comparison import friedman, nemenyi_difference, split_variance

LEVEL = 0.05

# AUC of four C4.5 variants on 14 data sets, Demsar 2006, JMLR 7, Table 6; the paper gives mean ranks 3.143, 2.000,
# 2.893, 1.964, chi-square 9.28 (without correction for ties) and a critical difference of 1.25. Its ranks come from
# unrounded values: in the last row but one the third variant is ahead of the fourth, hence 0.97501 for 0.975.
DEMSAR = np.array(
    [
        [0.763, 0.768, 0.771, 0.798],
        [0.599, 0.591, 0.590, 0.569],
        [0.954, 0.971, 0.968, 0.967],
        [0.628, 0.661, 0.654, 0.657],
        [0.882, 0.888, 0.886, 0.898],
        [0.936, 0.931, 0.916, 0.931],
        [0.661, 0.668, 0.609, 0.685],
        [0.583, 0.583, 0.563, 0.625],
        [0.775, 0.838, 0.866, 0.875],
        [1.000, 1.000, 1.000, 1.000],
        [0.940, 0.962, 0.965, 0.962],
        [0.619, 0.666, 0.614, 0.669],
        [0.972, 0.981, 0.97501, 0.975],
        [0.957, 0.978, 0.946, 0.970],
    ]
)


@pytest.mark.parametrize(
    ("methods", "q"),
    # Demsar 2006, JMLR 7, Table 5(a), alpha = 0.05
    [(2, 1.960), (3, 2.343), (4, 2.569), (5, 2.728), (6, 2.850), (7, 2.949), (8, 3.031), (9, 3.102), (10, 3.164)],
)
def test_nemenyi_quantiles(methods, q) -> None:
    tasks = 11
    expected = q * np.sqrt(methods * (methods + 1) / (6 * tasks))
    # the printed q have three decimals
    assert nemenyi_difference(methods, tasks, LEVEL) == pytest.approx(expected, rel=4e-4)


def test_friedman_on_the_example_of_the_source() -> None:
    ranks = friedman(DEMSAR, LEVEL)
    np.testing.assert_allclose(ranks.mean_ranks, [3.143, 2.000, 2.893, 1.964], atol=5e-4)
    assert ranks.critical_difference == pytest.approx(1.25, abs=0.005)
    centred = ((ranks.mean_ranks - 2.5) ** 2).sum()
    assert 12 * 14 / (4 * 5) * centred == pytest.approx(9.28, abs=0.01)
    assert 0.0 < ranks.p < chi2.sf(9.28, 3) < 0.05  # SciPy corrects for ties, which only raises the statistic


def test_p_values_against_the_first_and_critical_difference_agree() -> None:
    scores = np.random.default_rng(0).normal([0, 1, 2, 0.2], 0.5, size=(11, 4))
    ranks = friedman(scores, LEVEL)
    first = int(ranks.mean_ranks.argmin())
    pairwise = np.asarray(posthoc_nemenyi_friedman(scores))
    np.testing.assert_allclose(ranks.p_against_first, pairwise[first], rtol=1e-12)
    apart = ranks.mean_ranks - ranks.mean_ranks[first] > ranks.critical_difference
    assert (apart == (ranks.p_against_first < LEVEL)).all()
    assert 0 < apart.sum() < 3


def test_the_largest_score_ranks_first() -> None:
    assert friedman([[1.0, 2.0, 3.0], [1.0, 2.0, 3.0]], LEVEL).mean_ranks.tolist() == [3.0, 2.0, 1.0]


def test_ties_everywhere_mean_no_difference() -> None:
    ranks = friedman(np.full((4, 3), 70.0), LEVEL)
    assert ranks.p == 1.0
    assert ranks.mean_ranks.tolist() == [2.0, 2.0, 2.0]
    assert (ranks.p_against_first == 1.0).all()


def test_scores_equal_but_for_rounding_are_ties() -> None:
    """Means of equal outcomes differ in the last bit when they are added up in another order."""
    scores = np.array([[70.0 + 1e-14 * draw, 70.0, 60.0] for draw in (-1, 1, 1, 1)])
    assert len(set(scores[:, 0])) == 2
    assert friedman(scores, LEVEL).mean_ranks.tolist() == [1.5, 1.5, 3.0]


def test_friedman_refuses_what_it_cannot_rank() -> None:
    with pytest.raises(SuiteError, match="compare two methods with a paired test"):
        friedman(np.zeros((5, 2)), LEVEL)
    with pytest.raises(SuiteError, match="method 1 has no score on task 2"):
        friedman([[1, 2, 3], [1, 2, 3], [1, np.nan, 3]], LEVEL)


def crossing(seed_effect, order_effect, rest) -> tuple[list[float], list[int], list[str]]:
    values, seeds, orders = [], [], []
    for s, by_seed in enumerate(seed_effect):
        for o, by_order in enumerate(order_effect):
            values.append(70 + by_seed + by_order + rest[s][o])
            seeds.append(s)
            orders.append("I" * (o + 1))
    return values, seeds, orders


def test_variance_split_by_hand() -> None:
    # additive table: no rest; variances of (-1, 0, 1) and (-3, 3) with n - 1
    split = split_variance(*crossing([-1, 0, 1], [-3, 3], np.zeros((3, 2))))
    assert split.seed == pytest.approx(1.0)
    assert split.order == pytest.approx(18.0)
    assert split.rest == pytest.approx(0.0, abs=1e-12)
    # MS_rest = 4 / 2; seed = 9 - 2 / 2 orders, order = 2 - 2 / 3 seeds
    split = split_variance(*crossing([-3, 0, 3], [-1, 1], [[1, -1], [0, 0], [-1, 1]]))
    assert (split.seed, split.order, split.rest) == (pytest.approx(8.0), pytest.approx(4 / 3), pytest.approx(2.0))
    # pure interaction +-1 in a 2 x 2 table: MS_rest = 4, the effects estimate to below 0
    split = split_variance(*crossing([0, 0], [0, 0], [[1, -1], [-1, 1]]))
    assert (split.seed, split.order) == (0.0, 0.0)
    assert split.rest == pytest.approx(4.0)


def test_variance_split_recovers_known_components() -> None:
    """Means over 400 simulated 6 x 4 studies; tolerance above 4 standard errors of these means."""
    draws = np.random.default_rng(1)
    splits = [
        split_variance(*crossing(draws.normal(0, 3, 6), draws.normal(0, 2, 4), draws.normal(0, 1, (6, 4)))) for _ in range(400)
    ]
    assert np.mean([split.seed for split in splits]) == pytest.approx(9.0, abs=1.3)
    assert np.mean([split.order for split in splits]) == pytest.approx(4.0, abs=0.8)
    assert np.mean([split.rest for split in splits]) == pytest.approx(1.0, abs=0.08)


def test_one_order_or_one_seed() -> None:
    split = split_variance([70, 72, 74], [0, 1, 2], ["I"] * 3)
    assert (split.seed, split.order, split.rest) == (4.0, None, None)
    split = split_variance([70, 72], [0, 0], ["I", "II"])
    assert (split.seed, split.order, split.rest) == (None, 2.0, None)


@given(st.permutations(range(6)))
def test_the_order_of_the_runs_does_not_matter(order) -> None:
    values, seeds, orders = crossing([-1, 0, 2], [-3, 3], np.random.default_rng(2).normal(size=(3, 2)))
    split = split_variance(values, seeds, orders)
    mixed = split_variance([values[i] for i in order], [seeds[i] for i in order], [orders[i] for i in order])
    for part in ("seed", "order", "rest"):
        assert getattr(mixed, part) == pytest.approx(getattr(split, part), abs=1e-9)


@pytest.mark.parametrize(
    ("values", "seeds", "orders", "message"),
    [
        ([70], [0], ["I"], "at least two runs"),
        ([70, 71], [0], ["I", "I"], "2 values, 1 seeds"),
        ([70, np.nan], [0, 1], ["I", "I"], "NaN"),
        ([70, 71], [0, 0], ["I", "I"], "two runs have seed 0 and order 'I'"),
        ([70, 71, 72], [0, 0, 1], ["I", "II", "I"], "no run has seed 1 and order 'II'"),
    ],
)
def test_incomplete_studies_are_refused(values, seeds, orders, message) -> None:
    with pytest.raises(SuiteError, match=message):
        split_variance(values, seeds, orders)
