"""Optimizers whose learning rates lie on the device, so that a recorded step reads the rate of the moment.

Each is torch's own, number for number, without torch's work on the host in every step: ``advance`` takes the place of ``step`` and
is one kernel call per group and operation. Rates are tensors of dimension 0: fp64 on a CPU, as Python's numbers are; fp32 on a GPU,
where the fused kernels read nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from suite.parts import TrainingConfig
from trainables.method import ParameterGroup


class DeviceOptimizer(torch.optim.Optimizer):
    """What a training step asks of an optimizer; the subclasses bring torch's update rules."""

    @property
    def parameters(self) -> list[nn.Parameter]:
        return [parameter for group in self.param_groups for parameter in group["params"]]

    def set_rate(self, lr: float) -> None:
        """Every group's rate from now on: ``lr`` times its multiplier. Waits for nothing."""
        for group in self.param_groups:
            group["lr"].fill_(lr * group["lr_multiplier"])

    def clear(self) -> None:
        """Forget all gradients."""
        for parameter in self.parameters:
            parameter.grad = None

    @torch.no_grad()
    def advance(self) -> None:
        """One update of every parameter that has a gradient."""
        for group in self.param_groups:
            moved = [parameter for parameter in group["params"] if parameter.grad is not None]
            if moved:
                self._advance_group(group, moved)

    def _advance_group(self, group: dict[str, Any], moved: list[nn.Parameter]) -> None:
        raise TypeError(f"{type(self).__name__} does not say how it moves parameters")


class _DeviceMoments(DeviceOptimizer):
    """Adam and AdamW: first and second moments per parameter, one fused kernel."""

    def _advance_group(self, group: dict[str, Any], moved: list[nn.Parameter]) -> None:
        states = [self._state_of(parameter) for parameter in moved]
        steps = [state["step"] for state in states]
        torch._foreach_add_(steps, 1)
        kernel = torch._fused_adamw_ if isinstance(self, torch.optim.AdamW) else torch._fused_adam_
        kernel(
            list[Tensor](moved),
            _gradients(moved),
            [state["exp_avg"] for state in states],
            [state["exp_avg_sq"] for state in states],
            [],
            steps,
            lr=group["lr"],
            beta1=group["betas"][0],
            beta2=group["betas"][1],
            weight_decay=group["weight_decay"],
            eps=group["eps"],
            amsgrad=False,
            maximize=False,
        )

    def _state_of(self, parameter: Tensor) -> dict[str, Any]:
        state: dict[str, Any] = self.state[parameter]
        if not state:
            state["step"] = torch.zeros((), dtype=torch.float32, device=parameter.device)
            state["exp_avg"] = torch.zeros_like(parameter, memory_format=torch.preserve_format)
            state["exp_avg_sq"] = torch.zeros_like(parameter, memory_format=torch.preserve_format)
        return state


class DeviceAdamW(_DeviceMoments, torch.optim.AdamW):
    """AdamW: weight decay beside the gradient."""


class DeviceAdam(_DeviceMoments, torch.optim.Adam):
    """Adam: weight decay as part of the gradient."""


class DeviceSGD(DeviceOptimizer, torch.optim.SGD):
    """Stochastic gradient descent with momentum; the velocity begins as the first gradient, as in torch."""

    def _advance_group(self, group: dict[str, Any], moved: list[nn.Parameter]) -> None:
        numbers: list[Tensor] = list(moved)
        gradients = _gradients(moved)
        if group["weight_decay"]:
            gradients = list(torch._foreach_add(gradients, numbers, alpha=group["weight_decay"]))
        if group["momentum"]:
            gradients = [self._velocity(*pair, group["momentum"]) for pair in zip(moved, gradients, strict=True)]
        rate = group["lr"].to(numbers[0].dtype)
        torch._foreach_sub_(numbers, list(torch._foreach_mul(gradients, rate)))

    def _velocity(self, parameter: Tensor, gradient: Tensor, momentum: float) -> Tensor:
        state: dict[str, Tensor] = self.state[parameter]
        if "momentum_buffer" in state:
            state["momentum_buffer"].mul_(momentum).add_(gradient)
        else:
            state["momentum_buffer"] = gradient.clone()
        return state["momentum_buffer"]


def begin_anew(optimizer: torch.optim.Optimizer, parameters: Sequence[nn.Parameter]) -> None:
    """The state of ``parameters`` as before their first step, in place, so that a recorded step finds it."""
    for parameter in parameters:
        for value in optimizer.state.get(parameter, {}).values():
            if isinstance(value, Tensor):
                value.zero_()


def _gradients(moved: Sequence[Tensor]) -> list[Tensor]:
    return [parameter.grad for parameter in moved if parameter.grad is not None]


def device_optimizer(groups: Sequence[ParameterGroup], config: TrainingConfig, device: torch.device) -> DeviceOptimizer:
    """The run's optimizer over ``groups``, its rates on ``device``."""
    kind = torch.float64 if device.type == "cpu" else torch.float32
    fields = [{**group, "lr": torch.tensor(config.lr, dtype=kind, device=device)} for group in _group_fields(groups, config)]
    if config.optimizer == "sgd":
        return DeviceSGD(fields, **_own_settings(config))
    chosen = DeviceAdamW if config.optimizer == "adamw" else DeviceAdam
    return chosen(fields, **_own_settings(config), fused=True)


def plain_optimizer(groups: Sequence[ParameterGroup], config: TrainingConfig) -> torch.optim.Optimizer:
    """The same optimizer as torch has it: what ``device_optimizer`` is compared with."""
    chosen: dict[str, type[torch.optim.Optimizer]] = {
        "adamw": torch.optim.AdamW,
        "adam": torch.optim.Adam,
        "sgd": torch.optim.SGD,
    }
    return chosen[config.optimizer](_group_fields(groups, config), **_own_settings(config))


def _group_fields(groups: Sequence[ParameterGroup], config: TrainingConfig) -> list[dict[str, Any]]:
    return [
        {
            "params": group.parameters,
            "lr_multiplier": group.lr_multiplier,
            "weight_decay": config.weight_decay if group.weight_decay is None else group.weight_decay,
        }
        for group in groups
    ]


def _own_settings(config: TrainingConfig) -> dict[str, Any]:
    if config.optimizer == "sgd":
        return {"lr": config.lr, "momentum": config.momentum}
    return {"lr": config.lr, "betas": (config.beta1, config.beta2), "eps": config.epsilon}
