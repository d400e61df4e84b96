"""Blocks whose sums and norms are one node: the blocks one by one, by rounding alone, with columns behind what is added or without."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from suite.backbones.frozen_norm import FrozenNorm, replace_norms
from suite.backbones.residual_blocks import _adds_in_one, _sum_and_norm, through_blocks
from suite.lowrank.effective_weights import EffectiveWeights
from suite.lowrank.frozen_map import compute_plainly
from suite.lowrank.inject import adapt_open_clip_tower, add_branches_late
from suite.lowrank.joined_map import Wide
from suite.lowrank.layer import Part, fresh_branch, slots_of


@pytest.mark.parametrize("spare", [0, 8])
def test_in_fp32_a_sum_and_its_norm_have_the_values_and_gradients_of_two_nodes(spare: int) -> None:
    torch.manual_seed(0)
    norm = FrozenNorm(nn.LayerNorm(16)).requires_grad_(False)
    norm.weight.data.normal_()
    x, added = torch.randn(2, 5, 16, requires_grad=True), torch.randn(2, 5, 16 + spare, requires_grad=True)
    towards = torch.randn(2, 2, 5, 16)
    total, normed = _sum_and_norm(x, Wide(added), norm)
    expected = x + added[..., :16]
    reference = expected, F.layer_norm(expected, (16,), norm.weight, norm.bias)
    assert torch.equal(total, reference[0])
    assert torch.equal(normed, reference[1])
    dx, dadded = torch.autograd.grad([total, normed], [x, added], list(towards))
    (other,) = torch.autograd.grad(reference, [x], list(towards))
    assert torch.allclose(dx, other, atol=1e-6)
    assert torch.equal(dadded[..., :16], dx)


def test_a_branch_that_comes_late_is_part_of_the_sum() -> None:
    torch.manual_seed(0)
    norm = FrozenNorm(nn.LayerNorm(16)).requires_grad_(False)
    norm.weight.data.normal_()
    x, added, b = torch.randn(2, 5, 16, requires_grad=True), torch.randn(2, 5, 24, requires_grad=True), torch.randn(16, 8)
    towards = torch.randn(2, 2, 5, 16)
    total, normed = _sum_and_norm(x, Wide(added, b), norm)
    expected = x + added[..., :16] + added[..., 16:].detach() @ b.T
    reference = expected, F.layer_norm(expected, (16,), norm.weight, norm.bias)
    assert torch.allclose(total, reference[0], atol=1e-5)
    assert torch.allclose(normed, reference[1], atol=1e-5)
    dx, dadded = torch.autograd.grad([total, normed], [x, added], list(towards))
    (other,) = torch.autograd.grad(reference, [x], list(towards))
    assert torch.allclose(dx, other, atol=1e-5)
    assert torch.equal(dadded[..., :16], dx)


def tower(rank: int) -> nn.ModuleList:
    from open_clip.transformer import Transformer

    torch.manual_seed(0)
    network = Transformer(width=32, layers=3, heads=2)
    slots = slots_of(adapt_open_clip_tower(network.resblocks, "text", causal=True))
    replace_norms(network)
    network.requires_grad_(False)
    g = torch.Generator().manual_seed(1)
    for slot in slots.values():
        slot.parts["task"] = fresh_branch(slot, rank, g, gate=torch.randn(rank, generator=g))
        slot.branch("task").b.data.normal_(std=0.05, generator=g)
    blocks: nn.ModuleList = network.resblocks
    return blocks


# With A below the weights, branches added late or not, and with too few ranks for that.
@pytest.mark.parametrize(("rank", "late"), [(8, False), (8, True), (3, False)])
def test_under_autocast_values_and_gradients_stay_close_to_fp32(rank: int, late: bool) -> None:
    blocks, g = tower(rank), torch.Generator().manual_seed(2)
    if late:
        add_branches_late(blocks)
    x, towards, mask = torch.randn(4, 9, 32, generator=g), torch.randn(4, 9, 32, generator=g), torch.zeros(9, 9)
    learned = [parameter for parameter in blocks.parameters() if parameter.requires_grad]

    def gradient(y: Tensor) -> Tensor:
        return torch.cat([one.flatten() for one in torch.autograd.grad(y, learned, towards.to(y.dtype))])

    expected = x
    compute_plainly(blocks, True)
    for block in blocks:
        expected = block(expected, attn_mask=mask)
    assert torch.equal(through_blocks(blocks, x, mask), expected)  # fp32 takes the blocks as they are
    compute_plainly(blocks, False)
    with torch.autocast("cpu", torch.bfloat16), EffectiveWeights(blocks).made():
        rounded = x.bfloat16()
        assert (blocks[0].mlp.c_fc.map.joined is not None) == (rank == 8)
        assert _adds_in_one(blocks[0], rounded)
        found = through_blocks(blocks, rounded, mask)
    assert found.dtype == torch.bfloat16
    assert (found.float() - expected).norm() < 0.01 * expected.norm()
    reference = gradient(expected)
    assert (gradient(found) - reference).norm() < 0.02 * reference.norm()
    blocks[1].mlp.site.parts["task"] = Part()
    assert not _adds_in_one(blocks[1], rounded)
