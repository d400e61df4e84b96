"""The optimizers with rates on the device are torch's, number for number."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from suite.config import TrainingConfig
from trainables.checkpoint import optimizer_tensors, restore_optimizer
from trainables.method import ParameterGroup
from trainables.optimizers import DeviceOptimizer, begin_anew, device_optimizer, plain_optimizer

RATES = (1e-3, 5e-4, 0.0, 2e-3)
FUSED = ("adamw", "adam")  # torch's own unfused kernels round otherwise; momentum is one kernel in any case
CONFIGS = [
    TrainingConfig(steps=1, weight_decay=0.05),
    TrainingConfig(steps=1, weight_decay=0.05, optimizer="adam"),
    TrainingConfig(steps=1, weight_decay=0.05, optimizer="sgd"),
    TrainingConfig(steps=1, optimizer="sgd", momentum=0.0),
]


def parameters() -> list[nn.Parameter]:
    g = torch.Generator().manual_seed(0)
    return [nn.Parameter(torch.randn(size, generator=g)) for size in ((3, 4), (5,), (2, 2, 2))]


def groups(mine: list[nn.Parameter]) -> list[ParameterGroup]:
    return [ParameterGroup(mine[:1], weight_decay=0.5), ParameterGroup(mine[1:], 0.5)]


def give_gradients(mine: list[nn.Parameter], seed: int) -> None:
    """The last parameter gets none, as an encoder that a step does not touch."""
    g = torch.Generator().manual_seed(seed)
    for parameter in mine[:-1]:
        parameter.grad = torch.randn(parameter.shape, generator=g)


def make(mine: list[nn.Parameter], config: TrainingConfig) -> DeviceOptimizer:
    return device_optimizer(groups(mine), config, torch.device("cpu"))


def run(optimizer: DeviceOptimizer, mine: list[nn.Parameter], rates: tuple[float, ...], first: int) -> None:
    for seed, rate in enumerate(rates, start=first):
        give_gradients(mine, seed)
        optimizer.set_rate(rate)
        optimizer.advance()


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: f"{config.optimizer} {config.momentum}")
def test_equals_torchs_own(config: TrainingConfig) -> None:
    mine, theirs = parameters(), parameters()
    reference = plain_optimizer(groups(theirs), config)
    run(make(mine, config), mine, RATES, 0)
    for seed, rate in enumerate(RATES):
        give_gradients(theirs, seed)
        for group in reference.param_groups:
            group["lr"] = rate * group["lr_multiplier"]
            group["fused"] = config.optimizer in FUSED
        reference.step()
    for one, other in zip(mine, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=2e-7, atol=2e-7)
        assert config.optimizer not in FUSED or torch.equal(one, other)
    assert torch.equal(mine[-1], parameters()[-1])
    assert not torch.equal(mine[0], parameters()[0])


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: f"{config.optimizer} {config.momentum}")
def test_its_state_goes_over_a_task_boundary(config: TrainingConfig) -> None:
    whole, parts = parameters(), parameters()
    run(make(whole, config), whole, RATES, 0)
    before = make(parts, config)
    run(before, parts, RATES[:2], 0)
    after = make(parts, config)
    restore_optimizer(after, optimizer_tensors(before))
    run(after, parts, RATES[2:], 2)
    assert all(torch.equal(a, b) for a, b in zip(whole, parts, strict=True))


def test_a_group_has_its_own_decay_and_rate() -> None:
    """Without gradient signal a weight shrinks by rate times decay alone: 1 - 1e-3 * 0.5, and 1 - 5e-4 * 0.05."""
    mine: list[Any] = [nn.Parameter(torch.ones(1)), nn.Parameter(torch.ones(1)), nn.Parameter(torch.ones(1))]
    optimizer = make(mine, CONFIGS[0])
    for parameter in mine[:-1]:
        parameter.grad = torch.zeros(1)
    optimizer.set_rate(1e-3)
    optimizer.advance()
    assert [float(p.detach()) for p in mine] == pytest.approx([1 - 5e-4, 1 - 2.5e-5, 1.0], abs=1e-7)


def test_clear_forgets_gradients() -> None:
    mine = parameters()
    give_gradients(mine, 0)
    make(mine, CONFIGS[0]).clear()
    assert all(parameter.grad is None for parameter in mine)


@pytest.mark.parametrize("name", ["adamw", "sgd"])
def test_what_begins_anew_steps_as_if_for_the_first_time(name: str) -> None:
    """One parameter forgets, its neighbour does not."""
    config = TrainingConfig(optimizer=name, lr=0.1)
    kept, reset, fresh = (nn.Parameter(torch.ones(3)) for _ in range(3))
    optimizer = device_optimizer([ParameterGroup([kept, reset])], config, torch.device("cpu"))
    for parameter in (kept, reset):
        parameter.grad = torch.tensor([1.0, -2.0, 0.5])
    optimizer.advance()
    begin_anew(optimizer, [reset])
    other = device_optimizer([ParameterGroup([fresh])], config, torch.device("cpu"))
    for parameter in (kept, reset, fresh):
        parameter.data.fill_(1.0)
        parameter.grad = torch.tensor([-1.0, 1.0, 3.0])
    optimizer.advance()
    other.advance()
    assert torch.equal(reset, fresh)
    assert not torch.equal(kept, fresh)
