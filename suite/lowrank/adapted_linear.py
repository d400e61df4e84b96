"""A linear layer of a network with a slot on its frozen weight."""

from __future__ import annotations

from torch import Tensor, nn

from suite.lowrank.frozen_map import FrozenMap
from suite.lowrank.joined_map import Wide
from suite.lowrank.layer import Slot


class AdaptedLinear(nn.Module):
    """A frozen linear layer with one slot; ``weight`` and ``bias`` keep the names and objects of the original."""

    def __init__(self, linear: nn.Linear, name: str, *, joins: bool = False) -> None:
        super().__init__()
        self.weight: nn.Parameter = linear.weight  # type: ignore[assignment]
        self.bias = linear.bias
        self.slot = Slot(name, self.weight)
        self.map = FrozenMap([self.slot], joins=joins)
        self._scaled_bias: tuple[tuple[int, int], Tensor] | None = None  # memory and version of the bias, and its multiple

    def forward(self, x: Tensor) -> Tensor:  # (..., in) -> (..., out)
        return self.map(x, self.weight, self.bias)

    def scaled(self, x: Tensor, scale: float) -> Tensor:
        """``forward`` of ``scale`` times x; always the same ``scale``."""
        return self.map.scaled(x, self.weight, self.bias, scale)

    def wide(self, x: Tensor, scale: float = 1.0) -> Wide:
        """``forward`` of ``scale`` times x, with columns behind it; always the same ``scale``."""
        return self.map.wide(x, self.weight, self.bias, scale)

    def silu(self, x: Tensor, scale: float) -> Tensor:
        """silu of ``scale`` times ``forward`` of x; always the same ``scale``."""
        return self.map.silu(x, self.weight, None if self.bias is None else self._multiplied_bias(scale), scale)

    def _multiplied_bias(self, scale: float) -> Tensor:
        if self.bias.requires_grad:
            return self.bias * scale
        key = (self.bias.data_ptr(), self.bias._version)
        if self._scaled_bias is None or self._scaled_bias[0] != key:
            self._scaled_bias = key, self.bias.detach() * scale
        return self._scaled_bias[1]
