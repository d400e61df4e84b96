"""Three ways to one result: branch by branch, effective weight, fused."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from suite.backbones.clip_forward import QUICK, QuickGelu
from suite.lowrank.adapted_linear import AdaptedLinear
from suite.lowrank.frozen_map import FrozenMap, compute_plainly
from suite.lowrank.fused import FusedPart, fused_map
from suite.lowrank.inject import AdaptedMlp
from suite.lowrank.layer import Slot, fresh_branch


def slots_of(weight: nn.Parameter, ranks: list[list[int]], seed: int, *, gated: bool, scale: float) -> list[Slot]:
    """One slot for every entry of ``ranks`` over equal parts of the rows, one branch for every number in it."""
    g = torch.Generator().manual_seed(seed)
    size = weight.shape[0] // len(ranks)
    slots = [Slot(f"vision.0.{'qkvo'[place]}", weight, slice(place * size, (place + 1) * size)) for place in range(len(ranks))]
    for slot, its in zip(slots, ranks, strict=True):
        for place, rank in enumerate(its):
            gate = torch.randn(rank, generator=g) if gated else None
            branch = fresh_branch(slot, rank, g, gate=gate, scale=scale)
            branch.b.data.normal_(generator=g)
            slot.parts[str(place)] = branch
    return slots


def gradients(y: Tensor, x: Tensor, slots: list[Slot], towards: Tensor) -> list[Tensor]:
    learned = [parameter for slot in slots for parameter in slot.parts.parameters()]
    return list(torch.autograd.grad(y, [x, *learned], towards))


@given(
    inputs=st.integers(1, 9),
    size=st.integers(1, 6),
    ranks=st.lists(st.lists(st.integers(1, 5), max_size=2), min_size=1, max_size=3),
    gated=st.booleans(),
    scale=st.sampled_from([1.0, 0.25]),
    seed=st.integers(0, 99),
)
@settings(max_examples=60)
def test_values_and_gradients_agree(
    inputs: int, size: int, ranks: list[list[int]], gated: bool, scale: float, seed: int
) -> None:
    g = torch.Generator().manual_seed(seed)
    weight = nn.Parameter(torch.randn(size * len(ranks), inputs, generator=g), requires_grad=False)
    bias = torch.randn(weight.shape[0], generator=g)
    slots = slots_of(weight, [[min(rank, inputs) for rank in each] for each in ranks], seed, gated=gated, scale=scale)
    x = torch.randn(2, 3, inputs, generator=g, requires_grad=True)
    towards = torch.randn(2, 3, weight.shape[0], generator=g)
    frozen = FrozenMap(slots)
    quick = frozen(x, weight, bias)
    frozen.plain = True
    plain = frozen(x, weight, bias)
    assert torch.allclose(quick, plain, atol=1e-4)
    parts = [
        FusedPart(slot.rows, branch.a, branch.b, branch.gate, branch.scale)
        for slot in slots
        for branch in map(slot.branch, slot.parts)
    ]
    ways = [quick, fused_map(x, weight, bias, parts)] if parts else [quick]
    expected = gradients(plain, x, slots, towards)
    for way in ways:
        assert torch.allclose(way, plain, atol=1e-4)
        for mine, reference in zip(gradients(way, x, slots, towards), expected, strict=True):
            assert torch.allclose(mine, reference, atol=1e-3), (mine - reference).abs().max()


@pytest.mark.parametrize("small", [True, False])
def test_some_rows_are_the_rows_of_all(small: bool) -> None:
    width = 8 if small else 400  # two branches of rank 2 make 8 x 8 small and 400 x 400 large
    weight = nn.Parameter(torch.randn(3 * width, width) / width**0.5, requires_grad=False)
    slots = slots_of(weight, [[2], [], [2]], 0, gated=True, scale=1.0)
    frozen, x = FrozenMap(slots), torch.randn(5, width)
    some = frozen(x, weight, None, slice(width, 3 * width))
    assert torch.allclose(some, frozen(x, weight, None)[:, width:], atol=1e-4)


def test_bf16_products_of_a_large_weight_see_updates_smaller_than_its_rounding() -> None:
    """An update of 1e-4 of the weight vanishes in a bf16 sum and does not as a branch of its own."""
    torch.manual_seed(0)
    layer = AdaptedLinear(nn.Linear(256, 256, bias=False), "vision.0.q").requires_grad_(False)
    layer.weight.data = torch.ones(256, 256)
    branch = fresh_branch(layer.slot, 1, torch.Generator().manual_seed(0))
    branch.a.data.fill_(1e-4)
    branch.b.data.fill_(1.0)
    layer.slot.parts["task"] = branch
    x = torch.zeros(4, 256)
    x[:, 0], x[:, 1] = 1.0, -1.0  # the frozen map gives exactly 0
    branch.a.data[:, 1] = 0.0
    with torch.autocast("cpu", torch.bfloat16):
        y = layer(x)
    assert torch.allclose(y.float(), torch.full_like(y, 1e-4, dtype=torch.float32), rtol=0.01)


def test_the_rounded_copy_follows_the_merges() -> None:
    layer = AdaptedLinear(nn.Linear(64, 64), "vision.0.q").requires_grad_(False)
    x = torch.randn(3, 64)
    with torch.autocast("cpu", torch.bfloat16):
        before = layer(x)
        kept = layer.map.rounded_weight()
        layer(x)
        assert layer.map.rounded_weight() is kept
        slot, old = layer.slot, layer.weight.detach().clone()
        branch = slots_of(layer.weight, [[4]], 0, gated=False, scale=1.0)[0].branch("0")
        slot.add_to_weight(branch.factors())
        after = layer(x)
        compute_plainly(layer, True)
        assert torch.equal(after, layer(x))
        compute_plainly(layer, False)
        new, kept = layer.weight.data, layer.map.rounded_weight()
        layer.weight.data = old  # as a teacher has it, which writes nothing
        assert torch.equal(layer(x), before)
        layer.weight.data = new
        assert torch.equal(layer(x), after)
        assert layer.map.rounded_weight() is kept
    assert not torch.equal(before, after)


def test_dropout_and_middles_go_branch_by_branch() -> None:
    layer = AdaptedLinear(nn.Linear(16, 16), "vision.0.q").requires_grad_(False)
    branch = slots_of(layer.weight, [[3]], 0, gated=True, scale=1.0)[0].branch("0")
    layer.slot.parts["task"] = branch
    x = torch.randn(4, 16)
    branch.middle = lambda x, low: torch.zeros_like(low)
    assert torch.equal(layer(x), torch.nn.functional.linear(x, layer.weight, layer.bias))
    branch.middle, branch.dropout = None, 0.999999
    layer.train()
    assert torch.allclose(layer(x), torch.nn.functional.linear(x, layer.weight, layer.bias))
    layer.eval()
    assert not torch.allclose(layer(x), torch.nn.functional.linear(x, layer.weight, layer.bias))


@pytest.mark.parametrize("width", [6, 96])  # small and large beside factors of rank 2
@pytest.mark.parametrize("branches", [0, 1])
def test_scales_of_an_activation_inside_the_products(width: int, branches: int) -> None:
    """QuickGELU between two maps: values and all gradients of the plain way, in fp32."""
    torch.manual_seed(0)
    mlp = nn.Module()
    mlp.c_fc, mlp.c_proj, mlp.gelu = nn.Linear(width, 4 * width), nn.Linear(4 * width, width), QuickGelu()
    mlp.requires_grad_(False)
    adapted = AdaptedMlp(mlp, "vision.0")
    slots = [adapted.c_fc.slot, adapted.c_proj.slot]
    g = torch.Generator().manual_seed(1)
    for slot in slots[: 2 * branches]:
        slot.parts["task"] = fresh_branch(slot, 2, g, gate=torch.randn(2, generator=g), scale=0.5)
        slot.branch("task").b.data.normal_(generator=g)
    x, towards = torch.randn(2, 3, width, requires_grad=True), torch.randn(2, 3, width)
    expected = adapted(x)
    reference = gradients(expected, x, slots, towards)
    adapted.quick = QUICK
    found = adapted(x)
    assert adapted.c_fc.map.is_product
    assert not torch.equal(found, expected)
    assert torch.allclose(found, expected, atol=1e-5)
    assert all(torch.allclose(a, b, atol=1e-4) for a, b in zip(gradients(found, x, slots, towards), reference, strict=True))
    if branches:
        adapted.c_fc.slot.branch("task").middle = lambda x, low: low
        assert not adapted.c_fc.map.is_product
        assert torch.allclose(adapted(x), expected, atol=1e-5)
