"""Hypervolume: hand-made areas, invariances, and a Monte Carlo twin."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from suite.tuning.hypervolume import history, hypervolume, maximised


@pytest.mark.parametrize(
    ("points", "volume"),
    [
        ([[2.0, 3.0]], 6.0),
        ([[2.0, 3.0], [1.0, 1.0]], 6.0),
        ([[2.0, 1.0], [1.0, 2.0]], 3.0),
        ([[3.0, 1.0], [2.0, 2.0], [1.0, 3.0]], 6.0),
        ([[-1.0, 5.0]], 0.0),
        ([[0.0, 5.0]], 0.0),
        ([[1.0, 1.0, 1.0], [2.0, 0.5, 0.5]], 1.25),
    ],
)
def test_areas_by_hand(points: list[list[float]], volume: float) -> None:
    assert hypervolume(points, [0.0] * len(points[0])) == pytest.approx(volume)


@given(arrays(np.float64, (6, 3), elements=st.floats(0, 1, width=32)))
def test_equals_the_share_of_random_points_that_are_dominated(
    points: np.ndarray[tuple[int, int], np.dtype[np.float64]],
) -> None:
    draws = np.random.default_rng(0).random((20_000, 3))
    dominated = (draws[:, None, :] <= points[None, :, :]).all(axis=2).any(axis=1).mean()
    assert hypervolume(points, [0.0] * 3) == pytest.approx(dominated, abs=0.02)


@given(arrays(np.float64, (8, 2), elements=st.floats(-5, 5, width=32)))
def test_more_points_never_dominate_less_and_order_does_not_matter(
    points: np.ndarray[tuple[int, int], np.dtype[np.float64]],
) -> None:
    grown = [hypervolume(points[:n], [-5.0, -5.0]) for n in range(1, 9)]
    assert all(later >= earlier - 1e-9 for earlier, later in pairwise(grown))
    assert hypervolume(points[::-1], [-5.0, -5.0]) == pytest.approx(grown[-1])


def test_history_turns_what_shall_be_small() -> None:
    values = [[1.0, 9.0], [5.0, 5.0], [9.0, 1.0]]
    assert maximised(values, [True, False]).tolist() == [[1.0, -9.0], [5.0, -5.0], [9.0, -1.0]]
    assert history(values, [True, False]) == pytest.approx([0.0, 0.25, 1.0])
