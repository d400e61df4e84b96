"""The device-side AdamW is torch's, number for number."""

from __future__ import annotations

import torch
from torch import nn

from suite.parts import TrainingConfig
from trainables.adamw import DeviceAdamW
from trainables.checkpoint import optimizer_tensors, restore_optimizer
from trainables.method import ParameterGroup

CONFIG = TrainingConfig(steps=1, weight_decay=0.05)
RATES = (1e-3, 5e-4, 0.0, 2e-3)


def parameters() -> list[nn.Parameter]:
    g = torch.Generator().manual_seed(0)
    return [nn.Parameter(torch.randn(size, generator=g)) for size in ((3, 4), (5,), (2, 2, 2))]


def give_gradients(mine: list[nn.Parameter], seed: int) -> None:
    """The last parameter gets none, as an encoder that a step does not touch."""
    g = torch.Generator().manual_seed(seed)
    for parameter in mine[:-1]:
        parameter.grad = torch.randn(parameter.shape, generator=g)


def make(mine: list[nn.Parameter]) -> DeviceAdamW:
    return DeviceAdamW([ParameterGroup(mine[:1]), ParameterGroup(mine[1:], 0.5)], CONFIG, torch.device("cpu"))


def run(optimizer: DeviceAdamW, mine: list[nn.Parameter], rates: tuple[float, ...], first: int) -> None:
    for seed, rate in enumerate(rates, start=first):
        give_gradients(mine, seed)
        optimizer.set_rate(rate)
        optimizer.advance()


def test_equals_torchs_fused_adamw() -> None:
    mine, theirs = parameters(), parameters()
    reference = torch.optim.AdamW(
        [{"params": theirs[:1]}, {"params": theirs[1:]}],
        betas=(CONFIG.beta1, CONFIG.beta2), eps=CONFIG.epsilon, weight_decay=CONFIG.weight_decay, fused=True,
    )  # fmt: skip
    run(make(mine), mine, RATES, 0)
    for seed, rate in enumerate(RATES):
        give_gradients(theirs, seed)
        for group, factor in zip(reference.param_groups, (1.0, 0.5), strict=True):
            group["lr"] = rate * factor
        reference.step()
    assert all(torch.equal(a, b) for a, b in zip(mine, theirs, strict=True))
    assert torch.equal(mine[-1], parameters()[-1])


def test_its_state_goes_over_a_task_boundary() -> None:
    whole, parts = parameters(), parameters()
    run(make(whole), whole, RATES, 0)
    before = make(parts)
    run(before, parts, RATES[:2], 0)
    after = make(parts)
    restore_optimizer(after, optimizer_tensors(before))
    run(after, parts, RATES[2:], 2)
    assert all(torch.equal(a, b) for a, b in zip(whole, parts, strict=True))


def test_clear_forgets_gradients() -> None:
    mine = parameters()
    give_gradients(mine, 0)
    make(mine).clear()
    assert all(parameter.grad is None for parameter in mine)
