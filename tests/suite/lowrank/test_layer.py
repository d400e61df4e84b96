"""Branches, slots and exact merging."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from suite.lowrank.adapted_linear import AdaptedLinear
from suite.lowrank.layer import Branch, Slot, fresh_branch


def random_branch(slot: Slot, rank: int, seed: int = 0, *, gated: bool = True, scale: float = 1.0) -> Branch:
    g = torch.Generator().manual_seed(seed)
    branch = fresh_branch(slot, rank, g, gate=torch.randn(rank, generator=g) if gated else None, scale=scale)
    branch.b.data.normal_(generator=g)
    return branch


def test_fresh_branch_changes_nothing() -> None:
    layer = AdaptedLinear(nn.Linear(12, 7), "vision.0.q")
    x = torch.randn(3, 5, 12)
    before = layer(x)
    layer.slot.parts["task"] = fresh_branch(layer.slot, 4, torch.Generator().manual_seed(0), gate=torch.ones(4))
    assert torch.equal(layer(x), before)


def test_fresh_a_is_uniform_within_one_over_root_in() -> None:
    slot = AdaptedLinear(nn.Linear(100, 7), "vision.0.q").slot
    a = fresh_branch(slot, 64, torch.Generator().manual_seed(0)).a.detach()
    assert float(a.abs().max()) <= 0.1
    assert float(a.std()) == pytest.approx(0.1 / 3**0.5, rel=0.05)


@pytest.mark.parametrize("scale", [1.0, 0.25])
@pytest.mark.parametrize("gated", [True, False])
def test_merged_equals_unmerged(gated: bool, scale: float) -> None:
    layer = AdaptedLinear(nn.Linear(24, 16), "vision.0.q").requires_grad_(False)
    layer.slot.parts["task"] = random_branch(layer.slot, 4, gated=gated, scale=scale)
    x = torch.randn(3, 5, 24)
    unmerged = layer(x)
    layer.slot.add_to_weight(layer.slot.branch("task").factors())
    del layer.slot.parts["task"]
    assert torch.allclose(layer(x), unmerged, atol=1e-5)


def test_forward_is_the_documented_formula() -> None:
    layer = AdaptedLinear(nn.Linear(6, 5), "vision.0.q")
    branch = random_branch(layer.slot, 3, scale=0.5)
    layer.slot.parts["task"] = branch
    x = torch.randn(4, 6)
    gate = branch.gate
    assert gate is not None
    expected = x @ layer.weight.T + layer.bias + 0.5 * (gate * (x @ branch.a.T)) @ branch.b.T
    assert torch.allclose(layer(x), expected, atol=1e-6)


def test_factors_drop_exactly_the_zero_gates() -> None:
    slot = AdaptedLinear(nn.Linear(8, 6), "vision.0.q").slot
    branch = random_branch(slot, 5)
    assert branch.gate is not None
    branch.gate.data[[1, 3]] = 0.0
    full = (branch.b * branch.gate) @ branch.a
    a, b = branch.factors()
    assert a.shape == (3, 8)
    assert branch.effective_rank() == 3
    assert torch.allclose(b @ a, full, atol=1e-6)


def test_slot_of_a_row_range_changes_only_its_rows() -> None:
    weight = nn.Parameter(torch.randn(9, 4), requires_grad=False)
    before = weight.clone()
    slot = Slot("vision.0.k", weight, slice(3, 6))
    slot.add_to_weight(random_branch(slot, 2).factors())
    assert torch.equal(weight[:3], before[:3])
    assert torch.equal(weight[6:], before[6:])
    assert not torch.equal(weight[3:6], before[3:6])


def test_disabled_branch_is_absent() -> None:
    layer = AdaptedLinear(nn.Linear(6, 5), "vision.0.q")
    x = torch.randn(4, 6)
    plain = layer(x)
    layer.slot.parts["task"] = random_branch(layer.slot, 3)
    layer.slot.branch("task").enabled = False
    assert torch.equal(layer(x), plain)


def test_ten_merges_drift_below_1e5() -> None:
    weight = nn.Parameter(torch.randn(64, 48), requires_grad=False)
    slot, exact = Slot("vision.0.q", weight), weight.double().clone()
    for seed in range(10):
        factors = random_branch(slot, 8, seed, scale=0.01).factors()
        exact += factors.b.double() @ factors.a.double()
        slot.add_to_weight(factors)
    assert float((weight.double() - exact).norm() / exact.norm()) < 1e-5
