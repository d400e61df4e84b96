"""Effective weights of many maps at once: the results and gradients of each map by itself, and far fewer products."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from suite.lowrank.effective_weights import EffectiveWeights
from suite.lowrank.frozen_map import FrozenMap, compute_plainly
from suite.lowrank.layer import Slot, fresh_branch

WIDTH = 8


class Stack(nn.Module):
    """Maps one after the other; each has equal row ranges with so many branches, and returns as many numbers as it reads."""

    def __init__(self, maps: Sequence[Sequence[int]], *, gated: bool = True, scale: float = 1.0, rank: int = 2) -> None:
        super().__init__()
        g = torch.Generator().manual_seed(0)
        self.layers = nn.ModuleList(Layer(branches, g, gated, scale, rank) for branches in maps)

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = layer(x)
        return x

    def learned(self) -> list[nn.Parameter]:
        return [parameter for name, parameter in self.named_parameters() if "parts" in name and parameter.requires_grad]


class Layer(nn.Module):
    def __init__(self, branches: Sequence[int], g: torch.Generator, gated: bool, scale: float, rank: int) -> None:
        super().__init__()
        weight = torch.randn(len(branches) * WIDTH, WIDTH, generator=g) / WIDTH
        self.weight = nn.Parameter(weight, requires_grad=False)
        self.bias = torch.randn(len(weight), generator=g)
        rows = [slice(place * WIDTH, (place + 1) * WIDTH) for place in range(len(branches))]
        slots = [Slot(f"vision.0.{place}", self.weight, part) for place, part in enumerate(rows)]
        for slot, count in zip(slots, branches, strict=True):
            for place in range(count):
                gate = torch.randn(rank, generator=g) if gated else None
                slot.parts[str(place)] = fresh_branch(slot, rank, g, gate=gate, scale=scale)
                slot.branch(str(place)).b.data.normal_(generator=g)
        self.slots = nn.ModuleList(slots)
        self.map = FrozenMap(slots)

    def forward(self, x: Tensor) -> Tensor:
        return self.map(x, self.weight, self.bias).unflatten(-1, (-1, WIDTH)).sum(dim=-2)


def learn(stack: Stack, x: Tensor) -> list[Tensor]:
    y = stack(x)
    return [y.detach(), *torch.autograd.grad(y.square().sum(), stack.learned())]


@pytest.mark.parametrize(
    ("maps", "options"),
    [
        ([[1, 1, 1], [1], [1, 0, 1], [1]], {}),  # equal blocks in fused and single maps, one of them without a branch
        ([[2], [2], [1]], {"gated": False, "scale": 0.5}),  # several branches, another number of them
        ([[1, 2], [1]], {"scale": 2.0}),  # blocks that differ inside a map: that one is left to itself
    ],
)
def test_values_and_gradients_are_those_of_each_map_by_itself(maps: list[list[int]], options: Mapping[str, Any]) -> None:
    stack = Stack(maps, **options)
    x = torch.randn(5, 3, WIDTH, generator=torch.Generator().manual_seed(1))
    compute_plainly(stack, True)
    expected = learn(stack, x)
    compute_plainly(stack, False)
    with EffectiveWeights(stack).made():
        found = learn(stack, x)
    assert all(layer.map.made is None for layer in stack.layers)  # type: ignore[union-attr]
    for mine, reference in zip(found, expected, strict=True):
        assert torch.allclose(mine, reference, rtol=1e-4, atol=1e-5)


def test_what_is_frozen_or_off_learns_nothing() -> None:
    """A frozen A, a branch that is off, a branch whose gates alone learn."""
    stack = Stack([[2], [2]])
    first, second = (layer.slots[0] for layer in stack.layers)  # type: ignore[union-attr, index]
    for slot in (first, second):
        slot.branch("0").enabled = False
        slot.branch("1").a.requires_grad_(False)
        slot.branch("1").b.requires_grad_(False)
    x = torch.randn(4, WIDTH)
    with EffectiveWeights(stack).made():
        loss = stack(x).square().sum()
    loss.backward()
    plain = Stack([[2], [2]])
    for layer in plain.layers:
        layer.slots[0].branch("0").enabled = False  # type: ignore[union-attr, index]
    compute_plainly(plain, True)
    plain(x).square().sum().backward()
    for mine, reference in zip((first, second), plain.layers, strict=True):
        own, its = mine.branch("1"), reference.slots[0].branch("1")  # type: ignore[union-attr, index]
        assert own.a.grad is None and own.b.grad is None and mine.branch("0").b.grad is None
        assert torch.allclose(own.gate.grad, its.gate.grad, rtol=1e-4)


def test_large_weights_and_what_must_see_its_input_are_left_to_themselves() -> None:
    large, routed = Stack([[1]], rank=1), Stack([[1]])
    large.layers[0].weight.data = torch.randn(WIDTH, WIDTH)  # 64 numbers, 8 times the 16 of its factors are 128: small
    routed.layers[0].slots[0].branch("0").middle = lambda x, low: low  # type: ignore[union-attr, index]
    with EffectiveWeights(large).made(), EffectiveWeights(routed).made():
        assert large.layers[0].map.made is not None
        assert routed.layers[0].map.made is None
    with torch.autocast("cpu", torch.bfloat16), EffectiveWeights(large).made():
        assert large.layers[0].map.made is None


class Products(TorchDispatchMode):
    """Counts matrix products."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += func.overloadpacket.__name__ in {"mm", "addmm", "bmm", "baddbmm", "baddbmm_"}
        return func(*args, **(kwargs or {}))


def products(stack: Stack, together: bool) -> int:
    x = torch.randn(4, WIDTH, generator=torch.Generator().manual_seed(1))
    weights = EffectiveWeights(stack)
    weights.maps = weights.maps if together else []
    with Products() as counter, weights.made():
        learn(stack, x)
    return counter.count


def test_further_maps_of_a_shape_ask_for_no_further_small_products() -> None:
    """Three more products for each branch by itself (forward, dA, dB); together none."""
    few, many = Stack([[1, 1, 1]] * 2), Stack([[1, 1, 1]] * 6)
    alone = products(many, together=False) - products(few, together=False)
    together = products(many, together=True) - products(few, together=True)
    assert alone - together == 3 * 3 * 4
