"""Frozen weights whose rows lie over several workers, whole only while their block computes (torch's FSDP2 gathers and frees them).

What outlives a pass must not be as large as a weight, or the shards would save nothing: a map keeps the gathered weight alone for its
backward pass, which FSDP2 frees and gathers again, and makes a copy in another dtype anew each time. Merging asks nothing of the other
workers: each adds the rows that lie with it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

if TYPE_CHECKING:
    from torch.distributed.tensor import DTensor


class WeightShard:
    """This worker's part of the parameter ``weight`` of ``module``, which ``fully_shard`` has split by its first dimension.

    Args:
        is_transposed: slots see the weight the other way round than it is stored (GPT-2).
    """

    def __init__(self, module: nn.Module, *, is_transposed: bool) -> None:
        self.module = module
        self.is_transposed = is_transposed
        self._kept: Tensor | None = None

    @property
    def weight(self) -> nn.Parameter:
        """(out, in) as slots see it, for its shape, dtype and device; its numbers are not all here."""
        stored = self._stored
        return cast(nn.Parameter, stored.t() if self.is_transposed else stored)

    @property
    def local(self) -> Tensor:
        """The rows that lie here, as they are stored; writing to it writes to the weight. Not while the block computes."""
        return cast("DTensor", self._stored).to_local()

    @property
    def nbytes(self) -> int:
        """Bytes of a worker's part, the same number on all."""
        return self._stored.nbytes // int(cast("DTensor", self._stored).device_mesh.size())

    @torch.no_grad()
    def add(self, rows: slice, delta: Tensor) -> None:
        """Add ``delta``, a change of the ``rows`` that a slot sees, as far as it lies here: bit for bit what it would be in one piece."""
        stored, local = cast("DTensor", self._stored), self.local
        workers, place = int(stored.device_mesh.size()), int(stored.device_mesh.get_local_rank())
        first = place * -(-stored.shape[0] // workers)  # torch.chunk's rule
        last = first + len(local)
        if self.is_transposed:
            local[:, rows] += delta.t()[first:last]
            return
        start, stop = max(first, rows.start), min(last, rows.stop)
        if start < stop:
            local[start - first : stop - first] += delta[start - rows.start : stop - rows.start]

    @property
    def is_merged(self) -> bool:
        """Whether branches are in the weight for a while, between ``keep`` and ``restore``."""
        return self._kept is not None

    def keep(self) -> None:
        """Remember what lies here."""
        self._kept = self.local.clone()

    @torch.no_grad()
    def restore(self) -> None:
        """What was remembered, bit for bit."""
        if self._kept is not None:
            self.local.copy_(self._kept)
            self._kept = None

    def raise_to_fp32(self) -> None:
        """Store the weight in fp32; only before the network's first pass."""
        if self._stored.dtype != torch.float32:
            self.module.weight = nn.Parameter(self._stored.detach().float(), requires_grad=False)

    @property
    def _stored(self) -> nn.Parameter:
        found = self.module.weight
        assert isinstance(found, nn.Parameter)
        return found


def frozen_linear(x: Tensor, weight: Tensor, bias: Tensor | None, kind: torch.dtype) -> Tensor:
    """x (..., in) -> (..., out), computed in ``kind``; keeps ``weight`` as it is given for the backward pass, and no copy of it."""
    found: Tensor = _FrozenLinear.apply(x, weight, bias, kind)
    return found


class _FrozenLinear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, kind: torch.dtype) -> Tensor:
        ctx.save_for_backward(weight)
        ctx.kind, ctx.given = kind, x.dtype
        return F.linear(x.to(kind), weight.to(kind), None if bias is None else bias.to(kind))

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
        (weight,) = ctx.saved_tensors
        return ((dy @ weight.to(ctx.kind)).to(ctx.given), None, None, None)
