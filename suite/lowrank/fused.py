"""A frozen linear map and the branches that stand on it as one node of the autograd graph.

    y = W x + b;   y[rows_s] += B_s (m_s * (A_s x))  for every part s,      m_s = gate_s times scale_s

Written out, each branch costs a copy of ``y`` in the forward pass and a sum of two input-sized gradients in the backward pass. Here
both happen inside a matrix product, all A of one input are one product, and of the activations only x and A x are kept. Backward:

    dz_s = B_s^T dy[rows_s],  G_s = dy[rows_s]^T A_s x,  dB_s = m_s G_s,  dm_s = column sums of G_s * B_s,
    dA = (m * dz)^T x,  dx = W^T dy + A^T (m * dz)

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
    whole: float  # of the whole product, that of the weight among them

    is_even: bool  # one part for each of several equal blocks of columns, which together are all of y: batched products

    @property
    def is_plain(self) -> bool:
        return not any(self.gated) and all(scale == 1.0 for scale in self.scales)


def fused_map(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    parts: Sequence[FusedPart],
    scale: float = 1.0,
    kind: torch.dtype | None = None,
) -> Tensor:
    """x (..., in) -> (..., out): the map of ``scale`` times x; computed in ``weight``'s dtype, gradients of the factors in theirs.

    With ``kind`` it is computed in that dtype, and ``weight`` itself is what is kept for the backward pass, no copy of it.
    """
    start, ranks = 0, []
    for part in parts:
        ranks.append(slice(start, start + part.a.shape[0]))
        start += part.a.shape[0]
    layout = _Layout(
        tuple(part.columns for part in parts),
        tuple(ranks),
        tuple(part.gate is not None for part in parts),
        tuple(part.scale * scale for part in parts),
        scale,
        _is_even(parts, weight),
    )
    gates = [part.gate for part in parts if part.gate is not None]
    factors = [*(part.a for part in parts), *(part.b for part in parts), *gates]
    flat: Tensor = _FusedMap.apply(x.reshape(-1, x.shape[-1]), weight, bias, layout, kind or weight.dtype, *factors)
    return flat.view(*x.shape[:-1], weight.shape[0])


class _FusedMap(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, layout: _Layout, kind: torch.dtype, *factors: Tensor
    ) -> Tensor:
        count = len(layout.columns)
        a = _joined(factors[:count]).to(kind)  # (sum of ranks, in)
        b = _blocks(layout, factors[count : 2 * count], kind)
        many = None if layout.is_plain else _multiplier(layout, factors[2 * count :], a)
        given, x = x.dtype, x.to(kind)
        low = x @ a.T  # (n, sum of ranks)
        z = low if many is None else low * many.to(kind)
        y = _product(x, weight.to(kind), None if bias is None else bias.to(kind), layout.whole)
        for out, inner, one in zip(_columns(layout, y), _ranks(layout, z), b, strict=True):
            out.baddbmm_(inner, one.mT) if layout.is_even else out.addmm_(inner, one.T)
        ctx.save_for_backward(x, weight, a, low, many, *b)
        ctx.layout, ctx.given = layout, given
        return y

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, a, low, many, *b = ctx.saved_tensors
        layout: _Layout = ctx.layout
        weight = weight.to(low.dtype)
        product = torch.bmm if layout.is_even else torch.mm
        dz, parts = torch.empty_like(low), list(zip(_columns(layout, dy), b, strict=True))
        for (part, one), inner in zip(parts, _ranks(layout, dz), strict=True):
            product(part, one, out=inner)
        # dB without m; m and its own gradient are taken from it, which is smaller than anything of n rows.
        bare = [product(part.mT, inner).float() for (part, _), inner in zip(parts, _ranks(layout, low), strict=True)]
        dlow = dz if many is None else dz * many.to(dz.dtype)
        da = (dlow.T @ x).float()
        dx = None
        if ctx.needs_input_grad[0]:
            whole = layout.whole
            dx = (dy @ weight).addmm_(dlow, a) if whole == 1.0 else (dlow @ a).addmm_(dy, weight, alpha=whole)
            dx = dx.to(ctx.given)
        db, dgates = _factor_gradients(layout, bare, many, b)
        return (dx, None, None, None, None, *(da[ranks] for ranks in layout.ranks), *db, *dgates)


def _factor_gradients(
    layout: _Layout, bare: Sequence[Tensor], many: Tensor | None, b: Sequence[Tensor]
) -> tuple[list[Tensor], list[Tensor]]:
    """Gradients of every B and of every gate from dy^T A x."""
    if many is None:
        return _by_part(layout, bare), []
    rows = [many.view(len(bare[0]), 1, -1)] if layout.is_even else [many[ranks] for ranks in layout.ranks]
    db = _by_part(layout, [one * row for one, row in zip(bare, rows, strict=True)])
    if not any(layout.gated):
        return db, []
    dmany = _by_part(layout, [(one * factor).sum(dim=-2) for one, factor in zip(bare, b, strict=True)])
    pairs = zip(dmany, layout.scales, layout.gated, strict=True)
    return db, [one * scale if scale != 1.0 else one for one, scale, gated in pairs if gated]


def _blocks(layout: _Layout, factors: Sequence[Tensor], kind: torch.dtype) -> list[Tensor]:
    """Every B (columns, r) in ``kind``; of an even layout all of them as one (parts, columns, r)."""
    return [torch.stack(list(factors)).to(kind)] if layout.is_even else [factor.to(kind) for factor in factors]


def _columns(layout: _Layout, y: Tensor) -> list[Tensor]:
    """The columns of y (n, out) that belong to each part, or (parts, n, columns)."""
    if layout.is_even:
        return [y.view(len(y), len(layout.columns), -1).transpose(0, 1)]
    return [y[:, columns] for columns in layout.columns]


def _ranks(layout: _Layout, low: Tensor) -> list[Tensor]:
    """The same for (n, sum of ranks)."""
    if layout.is_even:
        return [low.view(len(low), len(layout.ranks), -1).transpose(0, 1)]
    return [low[:, ranks] for ranks in layout.ranks]


def _by_part(layout: _Layout, found: Sequence[Tensor]) -> list[Tensor]:
    return list(found[0]) if layout.is_even else list(found)


def _is_even(parts: Sequence[FusedPart], weight: Tensor) -> bool:
    size, ranks = len(weight) // max(1, len(parts)), {len(part.a) for part in parts}
    wanted = [slice(place * size, (place + 1) * size) for place in range(len(parts))]
    return (
        len(parts) > 1 and len(ranks) == 1 and size * len(parts) == len(weight) and [part.columns for part in parts] == wanted
    )


def _product(x: Tensor, weight: Tensor, bias: Tensor | None, scale: float) -> Tensor:
    if scale == 1.0:
        return F.linear(x, weight, bias)
    return (x @ weight.T).mul_(scale) if bias is None else torch.addmm(bias, x, weight.T, alpha=scale)


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
