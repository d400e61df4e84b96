"""A map of gathered weights keeps the weight itself for its backward pass and computes what the map of a rounded copy does."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks

from suite.lowrank.fused import FusedPart, fused_map
from suite.lowrank.rounded_factors import rounded_map, rounded_parts
from suite.lowrank.sharded import frozen_linear

KINDS = pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16], ids=["fp32", "bf16"])


def drawn(*size: int) -> Tensor:
    return torch.randn(*size, generator=torch.Generator().manual_seed(sum(size)))


@KINDS
@pytest.mark.parametrize("bias", [None, drawn(5)], ids=["bare", "biased"])
def test_frozen_linear_is_the_linear_map(kind: torch.dtype, bias: Tensor | None) -> None:
    weight, kept = drawn(5, 7), list[Tensor]()
    results = []
    for way in ("plain", "sharded"):
        x = drawn(2, 3, 7).requires_grad_()
        with (
            saved_tensors_hooks(lambda value: kept.append(value) or value, lambda value: value),
            torch.autocast("cpu", torch.bfloat16, enabled=kind == torch.bfloat16),
        ):
            kept.clear()
            y = F.linear(x, weight, bias) if way == "plain" else frozen_linear(x, weight, bias, kind)
        y.backward(drawn(2, 3, 5).to(kind))
        results.append((y, x.grad))
    assert [value.data_ptr() for value in kept] == [weight.data_ptr()]
    assert all(torch.equal(one, other) and one.dtype == other.dtype for one, other in zip(*results, strict=True))


def through_fused(x: Tensor, weight: Tensor, part: FusedPart, kind: torch.dtype) -> Tensor:
    return fused_map(x, weight, None, [part], kind=kind)


def through_rounded(x: Tensor, weight: Tensor, part: FusedPart, kind: torch.dtype) -> Tensor:
    (parts,) = rounded_parts([[part]], [len(weight)], kind)
    return rounded_map(x, weight, None, parts, kind=kind)


@KINDS
@pytest.mark.parametrize("through", [through_fused, through_rounded])
def test_a_map_with_a_branch_rounds_the_weight_that_it_keeps(
    through: Callable[[Tensor, Tensor, FusedPart, torch.dtype], Tensor], kind: torch.dtype
) -> None:
    weight, kept = drawn(5, 7), list[Tensor]()
    results = []
    for given in (weight.to(kind), weight):
        x, a, b = (drawn(*size).requires_grad_() for size in ((4, 7), (2, 7), (5, 2)))
        with saved_tensors_hooks(lambda value: kept.append(value) or value, lambda value: value):
            kept.clear()
            y = through(x, given, FusedPart(slice(0, 5), a, b, None, 1.0), kind)
        y.backward(drawn(4, 5).to(kind))
        results.append((y, x.grad, a.grad, b.grad))
    assert weight.data_ptr() in {value.data_ptr() for value in kept}
    assert not any(value.shape == weight.shape and value.data_ptr() != weight.data_ptr() for value in kept)
    assert all(torch.equal(one, other) for one, other in zip(*results, strict=True))
