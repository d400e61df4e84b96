"""A frozen linear map and the branches that stand on it as one node of the autograd graph.

    y = W x + b;   y[rows_s] += B_s (m_s * (A_s x))  for every part s,      m_s = gate_s times scale_s

Written out, each branch costs a copy of ``y`` in the forward pass and a sum of two input-sized gradients in the backward pass. Here
both happen inside a matrix product, all A of one input are one product, and of the activations only x and A x are kept. Backward:

    dz_s = B_s^T dy[rows_s],  dB_s = dy[rows_s]^T z_s,  dm = sum dz * A x,  dA = (m * dz)^T x,  dx = W^T dy + A^T (m * dz)

The plain twin is ``Slot.forward`` over ``F.linear``; the two differ by rounding alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor


class FusedPart(NamedTuple):
    """One branch: its columns of the output and its factors a (r, in), b (columns, r), gate (r,) or None, scale."""

    columns: slice
    a: Tensor
    b: Tensor
    gate: Tensor | None
    scale: float


class _Layout(NamedTuple):
    columns: tuple[slice, ...]  # of y, by part
    ranks: tuple[slice, ...]  # of A x, by part
    gated: tuple[bool, ...]
    scales: tuple[float, ...]

    @property
    def is_plain(self) -> bool:
        return not any(self.gated) and all(scale == 1.0 for scale in self.scales)


def fused_map(x: Tensor, weight: Tensor, bias: Tensor | None, parts: Sequence[FusedPart]) -> Tensor:
    """x (..., in) -> (..., out); computed in ``weight``'s dtype, gradients of the factors in theirs."""
    start, ranks = 0, []
    for part in parts:
        ranks.append(slice(start, start + part.a.shape[0]))
        start += part.a.shape[0]
    layout = _Layout(
        tuple(part.columns for part in parts),
        tuple(ranks),
        tuple(part.gate is not None for part in parts),
        tuple(part.scale for part in parts),
    )
    gates = [part.gate for part in parts if part.gate is not None]
    factors = [*(part.a for part in parts), *(part.b for part in parts), *gates]
    flat: Tensor = _FusedMap.apply(x.reshape(-1, x.shape[-1]), weight, bias, layout, *factors)
    return flat.view(*x.shape[:-1], weight.shape[0])


class _FusedMap(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, layout: _Layout, *factors: Tensor) -> Tensor:
        count, kind = len(layout.columns), weight.dtype
        a = _joined(factors[:count]).to(kind)  # (sum of ranks, in)
        b = [factor.to(kind) for factor in factors[count : 2 * count]]
        many = None if layout.is_plain else _multiplier(layout, factors[2 * count :], a)
        given, x = x.dtype, x.to(kind)
        low = x @ a.T  # (n, sum of ranks)
        z = low if many is None else (low * many).to(kind)
        y = F.linear(x, weight, None if bias is None else bias.to(kind))
        for columns, ranks, one in zip(layout.columns, layout.ranks, b, strict=True):
            y[:, columns].addmm_(z[:, ranks], one.T)
        ctx.save_for_backward(x, weight, a, low, many, *b)
        ctx.layout, ctx.given = layout, given
        return y

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, a, low, many, *b = ctx.saved_tensors
        layout: _Layout = ctx.layout
        z = low if many is None else (low * many).to(low.dtype)
        dz = torch.empty_like(low)
        for columns, ranks, one in zip(layout.columns, layout.ranks, b, strict=True):
            torch.mm(dy[:, columns], one, out=dz[:, ranks])
        db = [(dy[:, columns].T @ z[:, ranks]).float() for columns, ranks in zip(layout.columns, layout.ranks, strict=True)]
        dlow = dz if many is None else (dz * many).to(low.dtype)
        da = (dlow.T @ x).float()
        dx = None
        if ctx.needs_input_grad[0]:
            dx = (dy @ weight).addmm_(dlow, a).to(ctx.given)
        dgates = []
        if any(layout.gated):
            dmany = (dz.float() * low).sum(dim=0)
            pairs = zip(layout.ranks, layout.scales, layout.gated, strict=True)
            dgates = [dmany[ranks] * scale if scale != 1.0 else dmany[ranks] for ranks, scale, gated in pairs if gated]
        return (dx, None, None, None, *(da[ranks] for ranks in layout.ranks), *db, *dgates)


def _joined(factors: Sequence[Tensor]) -> Tensor:
    return factors[0] if len(factors) == 1 else torch.cat(list(factors))


def _multiplier(layout: _Layout, gates: Sequence[Tensor], a: Tensor) -> Tensor:
    """(sum of ranks,) gate times scale of every rank-1 part, fp32."""
    left = iter(gates)
    parts = []
    for ranks, gated, scale in zip(layout.ranks, layout.gated, layout.scales, strict=True):
        if gated:
            gate = next(left)
            parts.append(gate if scale == 1.0 else gate * scale)
        else:
            parts.append(torch.full((ranks.stop - ranks.start,), scale, device=a.device))
    return _joined(parts)
