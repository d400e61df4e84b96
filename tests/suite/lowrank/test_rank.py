"""No-signal rank and update size."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from suite.errors import SuiteError
from suite.lowrank.rank import core, least_surviving_weight, no_signal_rank, update_size


def factors(seed: int, rank: int = 5, columns: int = 12, rows: int = 9) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    a = torch.randn(rank, columns, generator=generator, dtype=torch.float64)
    b = torch.randn(rows, rank, generator=generator, dtype=torch.float64)
    return a, b


def released_thresholds(steps: int, kappa_max: float, levels: int = 50, dense: float = 0.5) -> list[float]:
    """Kappa of every application of the released CoDyRA schedule, Artificer-AI-Lab/CoDyRA models/codyra.py."""
    start, wait = dense * steps, math.floor((steps - dense * steps) / levels)
    level, applied = 0, []
    for step in range(steps):
        if step >= start and step % wait == 0:
            level += 1
        if step > start:
            applied.append(min(level, levels - 1) * kappa_max / (levels - 1))
    return applied


def survivors(weights: np.ndarray, thresholds: list[float], operator: str) -> float:
    """Share of ``weights`` left after applying the operator step by step, as it is coded."""
    w = weights.copy()
    for kappa in thresholds:
        if operator == "soft":
            w = np.sign(w) * np.maximum(np.abs(w) - kappa, 0.0)
        else:
            w = np.where(w > kappa, w - kappa, w)
            w = np.where(w < -kappa, w + kappa, w)
            w[np.abs(w) < kappa] = 0.0
    return float((w != 0).mean())


@pytest.mark.parametrize("shape", [{}, {"rank": 20, "columns": 7, "rows": 4}])
def test_the_core_has_the_singular_values_of_the_full_product(shape: dict[str, int]) -> None:
    a, b = factors(0, **shape)
    full = torch.linalg.svdvals(b @ a)
    small = torch.linalg.svdvals(core(a, b))
    torch.testing.assert_close(small, full[: len(small)], rtol=1e-12, atol=1e-12)


def test_zero_update() -> None:
    a, b = factors(2)
    assert update_size([(a, torch.zeros_like(b))]) == 0.0


def test_update_size_is_the_joint_norm_of_all_layers() -> None:
    layers = [factors(seed, rank=seed + 1, columns=10 + seed, rows=8) for seed in range(4)]
    whole = torch.cat([(b @ a).flatten() for a, b in layers])
    assert update_size(layers) == pytest.approx(float(whole.norm()), rel=1e-12)
    assert update_size([]) == 0.0


def test_cumulative_shift_from_stacked_factors() -> None:
    (a1, b1), (a2, b2) = factors(4), factors(5)
    stacked = (torch.cat([a1, a2]), torch.cat([b1, b2], dim=1))
    assert update_size([stacked]) == pytest.approx(float((b1 @ a1 + b2 @ a2).norm()), rel=1e-12)
    back = (torch.cat([a1, a1]), torch.cat([b1, -b1], dim=1))
    assert update_size([back]) == pytest.approx(0.0, abs=1e-12)


def test_inputs_stay_as_they_are() -> None:
    a, b = factors(6)
    before = a.clone(), b.clone()
    update_size([(a.requires_grad_(), b)])
    assert torch.equal(a.detach(), before[0])
    assert torch.equal(b, before[1])
    assert a.grad is None


def test_bad_factors_are_refused() -> None:
    a, b = factors(7)
    with pytest.raises(SuiteError, match=r"b \(9, 4\).* do not fit"):
        update_size([(a, b[:, :4])])
    b[0, 0] = torch.nan
    with pytest.raises(SuiteError, match="NaN or infinite"):
        update_size([(a, b)])


# Expected: simulated values of the reference description of the method (2304 gates or so, hence the tolerance of 0.03);
# exact: 16 erfc(bound / sqrt 2), worked out by hand from the sums of thresholds 0.649898, 0.181986, 1.299898.
@pytest.mark.parametrize(
    ("steps", "kappa_max", "operator", "simulated", "exact"),
    [
        (500, 0.005, "soft", 8.27, 8.2521),
        (500, 0.005, "codyra_release", 8.22, 8.2005),
        (1000, 7e-4, "soft", 13.69, 13.6895),
        (1000, 7e-4, "codyra_release", 13.69, 13.6807),
        (1000, 0.005, "soft", 3.08, 3.0982),
        (1000, 0.005, "codyra_release", 3.08, 3.0708),
    ],
)
def test_no_signal_rank_of_released_schedules(steps, kappa_max, operator, simulated, exact) -> None:
    value = no_signal_rank(16, released_thresholds(steps, kappa_max), operator, "normal")
    assert value == pytest.approx(exact, abs=1e-4)
    assert value == pytest.approx(simulated, abs=0.03)


def test_released_schedule() -> None:
    applied = released_thresholds(500, 0.005)
    assert len(applied) == 249
    assert sum(applied) == pytest.approx(0.6498980, abs=1e-7)


@pytest.mark.parametrize("operator", ["soft", "codyra_release"])
@pytest.mark.parametrize("thresholds", [released_thresholds(500, 0.005), [0.3, 0.1, 0.05], [0.0, 0.2, 0.0]])
def test_no_signal_rank_against_simulation(operator, thresholds) -> None:
    """400,000 gates: standard error of the share at most 0.0008, bound at 4 of them (false alarms below 1e-4)."""
    weights = np.random.default_rng(0).standard_normal(400_000)
    assert no_signal_rank(1, thresholds, operator, "normal") == pytest.approx(
        survivors(weights, thresholds, operator), abs=0.0032
    )


@given(st.lists(st.floats(0.0, 1.0), max_size=12), st.sampled_from(["soft", "codyra_release"]))
def test_bound_separates_survivors_exactly(thresholds, operator) -> None:
    bound = least_surviving_weight(thresholds, operator)
    weights = np.array([bound * 0.999 - 1e-9, bound * 1.001 + 1e-9])
    lonely = operator == "codyra_release" and any(abs(abs(weights[0]) - kappa) < 1e-9 for kappa in thresholds)
    if weights[0] > 0 and not lonely:
        assert survivors(weights[:1], thresholds, operator) == 0.0
    assert survivors(weights[1:], thresholds, operator) == 1.0


@given(st.lists(st.floats(0.0, 0.5), max_size=12))
def test_release_operator_never_keeps_more(thresholds) -> None:
    soft, release = (no_signal_rank(16, thresholds, operator, "normal") for operator in ("soft", "codyra_release"))
    assert 0.0 <= release <= soft + 1e-12
    assert soft <= 16.0


def test_without_thresholds_everything_survives() -> None:
    for operator in ("soft", "codyra_release"):
        assert no_signal_rank(16, [], operator, "normal") == no_signal_rank(16, [0.0], operator, "normal") == 16.0


def test_gates_that_start_at_one() -> None:
    assert no_signal_rank(16, [0.65], "soft", "ones") == 16.0
    assert no_signal_rank(16, [0.5, 0.6], "soft", "ones") == 0.0
    assert no_signal_rank(16, [0.5], "codyra_release", "ones") == 16.0
    assert no_signal_rank(16, [0.51], "codyra_release", "ones") == 0.0


def test_bad_schedules_are_refused() -> None:
    with pytest.raises(SuiteError, match="nearest: 'codyra_release'"):
        no_signal_rank(16, [0.1], "release", "normal")  # type: ignore[arg-type]
    with pytest.raises(SuiteError, match="nearest: 'ones'"):
        no_signal_rank(16, [0.1], "soft", "one")  # type: ignore[arg-type]
    with pytest.raises(SuiteError, match=r"threshold -0.1"):
        no_signal_rank(16, [0.2, -0.1], "soft", "normal")
    with pytest.raises(SuiteError, match="rank -1"):
        no_signal_rank(-1, [], "soft", "normal")
