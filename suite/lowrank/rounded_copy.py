"""Copies of frozen tensors in the dtype that a step computes in."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


class RoundedCopy:
    """One frozen tensor in another dtype, made anew when the tensor has been written to or points at other memory.

    A teacher has a network's tensors point at what they held before and back (``baselines.distillation``), in every step: the copy of
    either side is kept, so that none is made inside a recorded step.
    """

    def __init__(self) -> None:
        self._owner: Tensor | None = None
        self._made: dict[tuple[int, int, torch.dtype, int], Tensor] = {}

    def of(self, tensor: Tensor, dtype: torch.dtype, owner: Tensor | None = None, *, zeros: int = 0) -> Tensor:
        """``tensor`` in ``dtype``; itself if that is what it is.

        Args:
            owner: what ``tensor`` is a view of and merges write to, where it is another object in every call.
            zeros: so many behind its last dimension.
        """
        if tensor.dtype == dtype and not zeros:
            return tensor
        owner = tensor if owner is None else owner
        if self._owner is not owner:
            self._owner, self._made = owner, {}
        key = (tensor.data_ptr(), owner._version, dtype, zeros)
        if key not in self._made:
            whole = tensor.detach().to(dtype)
            others = [(found, made) for found, made in self._made.items() if found[1:] == key[1:]]
            self._made = dict(others[-1:]) | {key: F.pad(whole, (0, zeros)) if zeros else whole}
        return self._made[key]
