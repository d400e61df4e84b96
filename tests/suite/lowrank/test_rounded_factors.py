"""Factors of all maps rounded at once: in fp32 the results and gradients of each map by itself, in bf16 close to them."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from suite.lowrank.effective_weights import EffectiveWeights
from suite.lowrank.frozen_map import compute_plainly
from suite.lowrank.rounded_factors import rounded_map, rounded_parts
from tests.suite.lowrank.test_effective_weights import WIDTH, Stack

MAPS = [[1, 1, 1], [1], [1, 0, 1], [2], [1, 2]]  # equal blocks, rows without a branch, several branches on one


def outputs(stack: Stack, x: Tensor, scale: float) -> Tensor:
    """By maps whose factors were made together, in fp32."""
    maps = [layer.map for layer in stack.layers]
    made = rounded_parts([one.parts_to_round() for one in maps], [len(one.weight) for one in maps], torch.float32)
    for layer, parts in zip(stack.layers, made, strict=True):
        x = rounded_map(x, layer.weight, layer.bias, parts, scale).unflatten(-1, (-1, WIDTH)).sum(dim=-2)
    return x


@pytest.mark.parametrize(("gated", "scale"), [(True, 1.0), (True, 0.5), (False, 0.5)])
@pytest.mark.parametrize("whole", [1.0, 1.7])
def test_in_fp32_values_and_gradients_are_those_of_each_branch_by_itself(gated: bool, scale: float, whole: float) -> None:
    stack = Stack(MAPS, gated=gated, scale=scale)
    compute_plainly(stack, True)
    x = torch.randn(2, 5, WIDTH, generator=torch.Generator().manual_seed(0), requires_grad=True)
    plain = x
    for layer in stack.layers:
        plain = layer(whole * plain)
    compute_plainly(stack, False)
    quick = outputs(stack, x, whole)
    learned = [x, *stack.learned()]
    assert torch.allclose(quick, plain, rtol=1e-4, atol=1e-4)
    ours, theirs = (torch.autograd.grad(y.square().sum(), learned) for y in (quick, plain))
    for mine, reference in zip(ours, theirs, strict=True):
        assert torch.allclose(mine, reference, rtol=1e-3, atol=1e-4 * float(reference.abs().max()))


def test_under_autocast_they_are_used_for_the_pass_and_stay_close_to_fp32() -> None:
    stack, x = Stack([[1, 1, 1], [1], [1]]), torch.rand(64, WIDTH, generator=torch.Generator().manual_seed(0))
    compute_plainly(stack, True)
    expected = torch.autograd.grad(stack(x).sum(), stack.learned())
    compute_plainly(stack, False)
    with torch.autocast("cpu", torch.bfloat16):
        with EffectiveWeights(stack).made():
            assert all(layer.map.rounded is not None for layer in stack.layers)
            together = torch.autograd.grad(stack(x).float().sum(), stack.learned())
        assert all(layer.map.rounded is None for layer in stack.layers)
    for mine, reference in zip(together, expected, strict=True):
        assert mine.dtype == torch.float32
        assert (mine - reference).norm() < 0.02 * reference.norm()


def test_some_rows_are_the_rows_of_all() -> None:
    stack, x = Stack([[1, 1, 1], [1, 0, 1]]), torch.randn(5, WIDTH)
    for layer in stack.layers:
        (parts,) = rounded_parts([layer.map.parts_to_round()], [3 * WIDTH], torch.float32)
        rows = slice(WIDTH, 3 * WIDTH)
        some = parts.on(rows)
        assert some is not None
        found = rounded_map(x, layer.weight[rows], layer.bias[rows], some)
        assert torch.allclose(found, rounded_map(x, layer.weight, layer.bias, parts)[:, rows], atol=1e-6)
    assert parts.on(slice(WIDTH, 2 * WIDTH)) is None


def test_what_is_frozen_or_takes_no_part_learns_nothing() -> None:
    stack, x = Stack([[1, 1], [1, 1], [1, 1]]), torch.randn(5, WIDTH)
    frozen = stack.layers[0].map.slots[0].branch("0"), stack.layers[0].map.slots[1].branch("0")
    for branch in frozen:
        branch.a.requires_grad_(False)
    maps = [layer.map for layer in stack.layers]
    made = rounded_parts([one.parts_to_round() for one in maps], [2 * WIDTH] * 3, torch.float32)
    assert [parts.a.requires_grad for parts in made] == [False, True, True]
    y = sum(
        rounded_map(x, layer.weight, layer.bias, parts).sum() for layer, parts in zip(stack.layers[:2], made[:2], strict=True)
    )
    assert isinstance(y, Tensor)
    y.backward()
    assert all(branch.a.grad is None and branch.b.grad is not None for branch in frozen)
    assert all(parameter.grad is not None for parameter in stack.layers[1].slots.parameters())
    assert all(parameter.grad is None for parameter in stack.layers[2].slots.parameters())
