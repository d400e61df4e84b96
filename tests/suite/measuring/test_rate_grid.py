"""Learning rates to try: neighbours first, then beyond the end that is best, up to a limit."""

from __future__ import annotations

import math

import pytest

from suite.measuring.rate_grid import RateGrid


def test_learning_rates_go_on_beyond_the_end_that_is_best() -> None:
    grid = RateGrid(factor=3.0, largest=5)
    assert grid.next_rates({3e-4: 50.0}) == [1e-4, 9e-4]
    assert grid.next_rates({1e-4: 40.0, 3e-4: 50.0, 9e-4: 45.0}) == []
    assert not grid.is_open({1e-4: 40.0, 3e-4: 50.0, 9e-4: 45.0})
    assert grid.next_rates({1e-4: 60.0, 3e-4: 50.0, 9e-4: -math.inf}) == [pytest.approx(3.33e-5)]


def test_a_grid_without_an_inner_best_ends_at_its_limit() -> None:
    grid, rates = RateGrid(factor=2.0, largest=7), {1e-3: 1e-3}
    while wanted := grid.next_rates(rates):
        rates |= {rate: rate for rate in wanted}  # larger is better without end
    assert grid.is_open(rates)
    assert len(rates) == 7 and max(rates) == pytest.approx(3.2e-2)
