"""A frozen map with A below its weight: in fp32 the results and gradients of each branch by itself, whoever takes them apart."""

from __future__ import annotations

import gc
import weakref

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from suite.backbones.clip_forward import QUICK, QuickGelu
from suite.lowrank.effective_weights import EffectiveWeights
from suite.lowrank.frozen_map import compute_plainly
from suite.lowrank.inject import AdaptedAttention, AdaptedMlp
from suite.lowrank.joined_map import Wide, joined_map, joined_weights, late_factor, silu, split_columns
from suite.lowrank.layer import Slot, fresh_branch
from suite.lowrank.rounded_factors import Places, RoundedParts, rounded_parts
from tests.suite.lowrank.test_effective_weights import WIDTH, Layer, Stack


def through(layer: Layer, x: Tensor, scale: float, *, spare: bool, late: bool) -> Wide:
    (parts,) = rounded_parts([layer.map.parts_to_round()], [len(layer.weight)], torch.float32)
    (joined,) = joined_weights([layer.weight.detach()], [parts])
    bias = F.pad(layer.bias, (0, len(parts.a)))
    factor = late_factor(parts, len(layer.weight), len(layer.weight)) if late else None
    assert (factor is not None) == (late and len(layer.map.slots) == len(layer.map.slots[0].parts) == 1)
    return Wide(joined_map(x, joined, bias, parts, scale, spare=spare, late=factor is not None), factor)


@pytest.mark.parametrize("branches", [[1, 1, 1], [1], [1, 0, 1], [2]])
@pytest.mark.parametrize("scale", [1.0, 1.7])
@pytest.mark.parametrize("taken", ["whole", "split", "silu", "late silu", "late"])
def test_in_fp32_values_and_gradients_are_those_of_each_branch_by_itself(branches: list[int], scale: float, taken: str) -> None:
    """A branch that is left to whoever takes the result is the only one of its map."""
    stack, g = Stack([branches], scale=0.5), torch.Generator().manual_seed(0)
    layer = stack.layers[0]
    assert isinstance(layer, Layer)
    x, towards = torch.randn(2, 5, WIDTH, generator=g, requires_grad=True), torch.randn(2, 5, len(layer.weight), generator=g)
    wide, rows = through(layer, x, scale, spare=taken != "whole", late="late" in taken), len(layer.weight)
    if taken == "split":
        found = torch.cat(split_columns(wide.whole, [WIDTH] * len(branches)), dim=-1)
    elif taken == "late":
        found = wide.taken(rows)
    else:
        found = silu(wide, rows) if "silu" in taken else wide.whole
    compute_plainly(stack, True)
    expected = layer.map(scale * x, layer.weight, layer.bias)
    expected = F.silu(expected) if "silu" in taken else expected
    assert torch.allclose(found, expected, rtol=1e-4, atol=1e-4)
    ours, theirs = (torch.autograd.grad(y, [x, *stack.learned()], towards) for y in (found, expected))
    for mine, reference in zip(ours, theirs, strict=True):
        assert torch.allclose(mine, reference, rtol=1e-3, atol=1e-4 * float(reference.abs().max()))


def test_a_branch_that_fills_a_program_of_the_kernel_is_added_by_its_own_product() -> None:
    """1,024 rows of rank 32 are 64 KB of B'; of rank 64 they would not fit beside the rest."""

    def parts(rank: int) -> RoundedParts:
        places = Places((slice(0, 1024),), (slice(0, rank),), is_even=False)
        return RoundedParts(places, torch.zeros(rank, 8), (torch.zeros(1024, rank),))

    assert late_factor(parts(32), 1024, 1024) is not None
    assert late_factor(parts(64), 1024, 1024) is None
    assert late_factor(parts(64), 1024, 128) is not None


class Block(nn.Module):
    """Attention and MLP of a block, with a branch on every map."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        mlp = nn.Module()
        mlp.c_fc, mlp.c_proj, mlp.gelu = nn.Linear(32, 128), nn.Linear(128, 32), QuickGelu()
        self.attention = AdaptedAttention(nn.MultiheadAttention(32, 2, batch_first=True), "vision.0", causal=False)
        self.mlp = AdaptedMlp(mlp, "vision.0")
        self.mlp.quick = QUICK
        self.requires_grad_(False)
        g = torch.Generator().manual_seed(1)
        for slot in [module for module in self.modules() if isinstance(module, Slot)]:
            slot.parts["task"] = fresh_branch(slot, 8, g, gate=torch.randn(8, generator=g))
            slot.branch("task").b.data.normal_(std=0.1, generator=g)

    def forward(self, x: Tensor) -> Tensor:
        return self.mlp(x + self.attention(x, x, x)[0])


def test_a_block_under_autocast_stays_close_to_fp32_and_leaves_nothing_behind() -> None:
    block, g = Block(), torch.Generator().manual_seed(2)
    x, towards = torch.randn(4, 9, 32, generator=g), torch.randn(4, 9, 32, generator=g)
    learned = [parameter for parameter in block.parameters() if parameter.requires_grad]
    assert len(learned) == 18
    compute_plainly(block, True)
    expected = block(x)
    reference = torch.autograd.grad(expected, learned, towards)
    compute_plainly(block, False)
    with torch.autocast("cpu", torch.bfloat16), EffectiveWeights(block).made():
        joined = block.mlp.c_fc.map.joined
        assert joined is not None
        found = block(x)
    assert (found.float() - expected).norm() < 0.02 * expected.norm()
    gradients = torch.autograd.grad(found, learned, towards.to(found.dtype))
    mine, other = (torch.cat([one.flatten() for one in each]) for each in (gradients, reference))
    assert (mine - other).norm() < 0.01 * other.norm()
    gc.disable()  # what is left behind would wait for it, and for memory on a GPU
    try:
        kept = weakref.ref(joined)
        del found, gradients, joined
        assert kept() is None
    finally:
        gc.enable()
