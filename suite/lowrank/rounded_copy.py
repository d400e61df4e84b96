"""Copies of frozen tensors in the dtype that a step computes in."""

from __future__ import annotations

import torch
from torch import Tensor


class RoundedCopy:
    """One frozen tensor in another dtype, made anew when the tensor has been written to."""

    def __init__(self) -> None:
        self.kept: Tensor | None = None
        self._owner: Tensor | None = None
        self._version = -1

    def of(self, tensor: Tensor, dtype: torch.dtype, owner: Tensor | None = None) -> Tensor:
        """``tensor`` itself if it has ``dtype``; ``owner``: what it is a view of and merges write to, if another object in every call."""
        if tensor.dtype == dtype:
            return tensor
        owner = tensor if owner is None else owner
        if self.kept is None or self.kept.dtype != dtype or self._owner is not owner or self._version != owner._version:
            self.kept, self._owner, self._version = tensor.detach().to(dtype), owner, owner._version
        return self.kept
