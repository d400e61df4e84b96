"""Copies of frozen tensors in the dtype that a step computes in."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


class RoundedCopy:
    """One frozen tensor in another dtype, made anew when the tensor has been written to."""

    def __init__(self) -> None:
        self.kept: Tensor | None = None
        self._made_of: Tensor | None = None
        self._made_as: tuple[int, torch.dtype, int] | None = None

    def of(self, tensor: Tensor, dtype: torch.dtype, owner: Tensor | None = None, *, zeros: int = 0) -> Tensor:
        """``tensor`` in ``dtype``; itself if that is what it is.

        Args:
            owner: what ``tensor`` is a view of and merges write to, where it is another object in every call.
            zeros: so many behind its last dimension.
        """
        if tensor.dtype == dtype and not zeros:
            return tensor
        owner = tensor if owner is None else owner
        made = self._made_of is owner and self._made_as == (owner._version, dtype, zeros)
        if self.kept is None or not made:
            self.kept = F.pad(tensor.detach().to(dtype), (0, zeros)) if zeros else tensor.detach().to(dtype)
            self._made_of, self._made_as = owner, (owner._version, dtype, zeros)
        return self.kept
