"""Layer norm of a network that computes in fewer digits than its weights have."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from suite.lowrank.rounded_copy import RoundedCopy


class FrozenNorm(nn.LayerNorm):
    """open_clip's layer norm with the same parameters; ``weight`` and ``bias`` keep names and objects.

    Under autocast a GPU turns a rounded input into fp32, which the next product rounds again, and does the same on the way back. While its
    parameters are frozen this one reads and writes the autocast's dtype by one kernel each way, which computes in fp32 within.
    """

    def __init__(self, norm: nn.LayerNorm) -> None:
        super().__init__(norm.normalized_shape, eps=norm.eps, device="meta")
        self.weight, self.bias = norm.weight, norm.bias
        self._weight_copy, self._bias_copy = RoundedCopy(), RoundedCopy()

    def forward(self, x: Tensor) -> Tensor:  # (..., width) -> the same, in the dtype of x
        if not self.is_rounded(x):
            return F.layer_norm(x, self.normalized_shape, self.weight, self.bias, self.eps).to(x.dtype)
        weight, bias = self.rounded(x.dtype)
        with torch.autocast(x.device.type, enabled=False):
            return F.layer_norm(x, self.normalized_shape, weight, bias, self.eps)

    def is_rounded(self, x: Tensor) -> bool:
        """Whether the norm of x is computed in and out of the dtype of x, which is not that of the parameters."""
        return x.dtype != torch.float32 and not self.weight.requires_grad and not self.bias.requires_grad

    def rounded(self, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """Weight and bias, frozen, in ``dtype``."""
        return self._weight_copy.of(self.weight, dtype), self._bias_copy.of(self.bias, dtype)


def replace_norms(network: nn.Module) -> None:
    """Put ``FrozenNorm`` in the place of every layer norm that has weight and bias."""
    for module in list(network.modules()):
        for name, child in module.named_children():
            if isinstance(child, nn.LayerNorm) and child.weight is not None and child.bias is not None:
                setattr(module, name, FrozenNorm(child))


def in_working_dtype(x: Tensor) -> Tensor:
    """``x`` in the dtype of the autocast in force, so that what blocks add to it stays in that."""
    device = x.device.type
    return x.to(torch.get_autocast_dtype(device)) if torch.is_autocast_enabled(device) else x
