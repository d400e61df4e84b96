"""AdamW whose learning rates lie on the device, so that a recorded step reads the rate of the moment."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from suite.parts import TrainingConfig
from trainables.method import ParameterGroup


class DeviceAdamW(torch.optim.AdamW):
    """torch's fused AdamW, number for number, without its work on the host in every step.

    ``advance`` takes the place of ``step``: one kernel call per group and nothing else. Rates are tensors of dimension 0: fp64 on a
    CPU, as Python's numbers are; fp32 on a GPU, where the fused kernel reads nothing else.
    """

    def __init__(self, groups: Sequence[ParameterGroup], config: TrainingConfig, device: torch.device) -> None:
        kind = torch.float64 if device.type == "cpu" else torch.float32
        super().__init__(
            [
                {
                    "params": group.parameters,
                    "lr": torch.tensor(config.lr, dtype=kind, device=device),
                    "lr_multiplier": group.lr_multiplier,
                }
                for group in groups
            ],
            lr=config.lr,
            betas=(config.beta1, config.beta2),
            eps=config.epsilon,
            weight_decay=config.weight_decay,
            fused=True,
        )

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
            states = [self._state_of(parameter) for parameter in moved]
            steps = [state["step"] for state in states]
            torch._foreach_add_(steps, 1)
            torch._fused_adamw_(
                moved,
                [parameter.grad for parameter in moved],
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
