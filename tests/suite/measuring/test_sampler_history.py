"""Known functions and their optima; what a search of them lacks."""

from __future__ import annotations

import math

import pytest

from suite.measuring.sampler_history import HARTMANN_MINIMUM, hartmann, measure_history, zdt1


def test_the_functions_have_their_optima() -> None:
    (lowest,) = hartmann([0.20169, 0.150011, 0.476874, 0.275332, 0.311652, 0.6573])
    assert lowest == pytest.approx(HARTMANN_MINIMUM, abs=1e-4)
    assert zdt1([0.25, 0, 0, 0, 0, 0]) == [0.25, 0.5]
    assert zdt1([0.25, 1, 1, 1, 1, 1]) == [0.25, 10 * (1 - math.sqrt(0.025))]


@pytest.mark.slow
def test_both_functions_are_searched_both_ways() -> None:
    found = list(measure_history(40, 1, 20))
    assert [(one.function, one.shown) for one in found] == [
        (name, shown) for name in ("Hartmann 6", "ZDT1") for shown in ("all", "20")
    ]
    assert all(one.regret > 0 for one in found)
