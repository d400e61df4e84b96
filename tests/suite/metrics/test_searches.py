"""What trials say beyond their best one: golden values worked out by hand."""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import pytest

from suite.errors import SuiteError
from suite.metrics.searches import expected_best, order_agreement, share_within


def test_expected_best_by_hand() -> None:
    """Of 1, 2, 4 the sets of two are 12, 14, 24: their best is 2, 4, 4."""
    found = expected_best([4.0, 1.0, 2.0])
    assert found.mean.tolist() == pytest.approx([7 / 3, 10 / 3, 4.0])
    assert found.low.tolist() == [1.0, 2.0, 4.0]
    assert found.high.tolist() == [4.0, 4.0, 4.0]


def test_expected_best_is_the_mean_over_all_sets() -> None:
    values = np.random.default_rng(0).normal(50, 5, 9)
    values[3] = values[4]  # a tie
    found = expected_best(values)
    for k in range(1, 10):
        bests = [max(some) for some in combinations(values, k)]
        assert found.mean[k - 1] == pytest.approx(np.mean(bests))
        inside = np.mean([found.low[k - 1] <= best <= found.high[k - 1] for best in bests])
        assert inside >= 0.8


def test_a_hundred_and_more_trials_neither_overflow_nor_lose_the_order() -> None:
    found = expected_best(np.arange(1200.0))
    assert found.mean[0] == pytest.approx(599.5)
    assert found.mean[-1] == 1199.0
    assert (np.diff(found.mean) > 0).all()


@pytest.mark.parametrize("values", [[], [1.0, math.nan], [[1.0]]])
def test_trials_without_values_have_no_expected_best(values: list[float]) -> None:
    with pytest.raises(SuiteError, match="at least one trial"):
        expected_best(values)


def test_trials_that_were_not_learned_to_the_end_are_part_of_the_space() -> None:
    found = share_within([60.0, 59.0, 58.9, None], best=60.0, points=1.0)
    assert found is not None
    assert (found.share, found.of) == (0.5, 4)
    assert (found.low, found.high) == pytest.approx((0.150, 0.850), abs=1e-3)  # Wilson's interval of 2 in 4
    assert share_within([], best=60.0, points=1.0) is None


def test_kendalls_tau_by_hand() -> None:
    """a > b > c > d becomes b > a > d > c: two of six pairs change, tau = (4 - 2) / 6."""
    found = order_agreement([4.0, 3.0, 2.0, 1.0], [3.0, 4.0, 1.0, 2.0])
    assert (found.kept, found.changed, found.tied, found.pairs) == (4, 2, 0, 6)
    assert found.tau == pytest.approx(1 / 3)
    assert order_agreement([1.0, 2.0], [5.0, 3.0]).tau == -1.0


def test_ties_are_neither_kept_nor_changed() -> None:
    """Tau-b: 2 kept of 3 pairs, one tie in the first: 2 / sqrt(2 * 3)."""
    found = order_agreement([1.0, 1.0, 2.0], [1.0, 2.0, 3.0])
    assert (found.kept, found.changed, found.tied) == (2, 0, 1)
    assert found.tau == pytest.approx(2 / math.sqrt(6))
    assert math.isnan(order_agreement([1.0, 1.0], [1.0, 2.0]).tau)


@pytest.mark.parametrize(("one", "other"), [([1.0], [1.0]), ([1.0, 2.0], [1.0]), ([1.0, math.nan], [1.0, 2.0])])
def test_orders_that_cannot_be_compared_are_refused(one: list[float], other: list[float]) -> None:
    with pytest.raises(SuiteError, match="at least two methods"):
        order_agreement(one, other)
