"""A frozen layer norm: the stock one in fp32, one kernel in and out of bf16 under autocast."""

from __future__ import annotations

import torch
from torch import nn

from suite.backbones.frozen_norm import FrozenNorm, replace_norms


def test_it_is_the_stock_one_and_rounds_no_more_than_its_result() -> None:
    torch.manual_seed(0)
    stock = nn.LayerNorm(64).requires_grad_(False)
    stock.weight.data.normal_()
    stock.bias.data.normal_()
    x, towards = torch.randn(9, 64, requires_grad=True), torch.randn(9, 64)
    expected, network = (
        stock(x),
        nn.Sequential(nn.Linear(3, 3), nn.Sequential(stock), nn.LayerNorm(3, elementwise_affine=False)),
    )
    replace_norms(network)
    ours = network[1][0]
    assert isinstance(ours, FrozenNorm)
    assert not isinstance(network[2], FrozenNorm)
    assert ours.weight is stock.weight
    assert list(ours.state_dict()) == ["weight", "bias"]
    assert torch.equal(ours(x), expected)
    rounded = x.detach().bfloat16().requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        found = ours(rounded)
    assert found.dtype == torch.bfloat16
    assert (found.float() - expected).norm() < 0.01 * expected.norm()
    (reference,) = torch.autograd.grad(expected, x, towards)
    (gradient,) = torch.autograd.grad(found, rounded, towards.bfloat16())
    assert (gradient.float() - reference).norm() < 0.01 * reference.norm()


def test_parameters_that_learn_get_their_gradients() -> None:
    norm = FrozenNorm(nn.LayerNorm(8))
    with torch.autocast("cpu", torch.bfloat16):
        norm(torch.randn(4, 8).bfloat16()).float().square().sum().backward()
    assert norm.weight.grad is not None
    assert norm.weight.grad.dtype == torch.float32
