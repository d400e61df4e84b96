"""The factors of all branches of a forward pass in the dtype of its autocast, made at once, and the frozen map that takes them.

    y = s (W x + sum of B'_i A_i x) + b,      B'_i = scale_i B_i diag(gate_i),      s the scale of the whole product

A map that rounds, gates and joins its own factors asks a GPU for as many kernels as its products three times over. Here all A are joined
and rounded by two, all B of one shape by three, and so are their gradients on the way back:

    dB_i = scale_i dB'_i diag(gate_i),    dgate_i = scale_i * column sums of dB'_i * B_i

The plain twin is ``Slot.forward`` over ``F.linear``; the two differ by rounding alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import Any, NamedTuple

import torch
from torch import Tensor

from suite.lowrank.fused import FusedPart


class Places(NamedTuple):
    """Where the parts of a map are.

    Attributes:
        columns: of the map's result, by part.
        ranks: of A x, by part.
        is_even: the parts are equal blocks that make up the whole result, and their B' one tensor.
    """

    columns: tuple[slice, ...]
    ranks: tuple[slice, ...]
    is_even: bool

    def split(self, whole: Tensor, slices: Sequence[slice]) -> list[Tensor]:
        """(n, ...) by part; (parts, n, ...) as one where all B' are."""
        if self.is_even:
            return [whole.view(len(whole), len(slices), -1).transpose(0, 1)]
        return [whole[:, one] for one in slices]


class RoundedParts(NamedTuple):
    """The branches of one map: a (sum of ranks, in), every part's B' (columns, r) or all as one (parts, columns, r)."""

    places: Places
    a: Tensor
    b: tuple[Tensor, ...]

    def on(self, rows: slice) -> RoundedParts | None:
        """Those of some rows of the map, which begin and end where slots do; None if there are none."""
        columns, ranks, is_even = self.places
        chosen = [place for place, one in enumerate(columns) if rows.start <= one.start and one.stop <= rows.stop]
        if not chosen:
            return None
        some = slice(chosen[0], chosen[-1] + 1)
        first, last = ranks[chosen[0]].start, ranks[chosen[-1]].stop
        places = Places(_moved(columns[some], rows.start), _moved(ranks[some], first), is_even)
        return RoundedParts(places, self.a[first:last], (self.b[0][some],) if is_even else self.b[some])


class _Kind(NamedTuple):
    """Of a branch: what those have in common whose B are gated by one product."""

    rows: int
    rank: int
    gated: bool
    scale: float


class _Layout(NamedTuple):
    """How factors lie in the arguments: A of every part, map by map; then for every kind its B and its gates."""

    ranks: tuple[tuple[int, ...], ...]  # of every map's parts
    widths: tuple[int, ...]  # of every map's input
    kinds: tuple[_Kind, ...]
    blocks: tuple[tuple[int, ...], ...]  # of every kind: how many B each of its results holds

    @property
    def parts(self) -> int:
        return sum(map(len, self.ranks))


def rounded_parts(maps: Sequence[Sequence[FusedPart]], rows: Sequence[int], dtype: torch.dtype) -> list[RoundedParts]:
    """For maps with so many rows and these branches, one at least, what ``rounded_map`` takes; differentiable."""
    by_kind: dict[_Kind, list[list[FusedPart]]] = {}
    places: list[list[tuple[_Kind, int]]] = []  # of every map: where its results are
    for parts, size in zip(maps, rows, strict=True):
        places.append([])
        for block in [list(parts)] if _is_even(parts, size) else [[part] for part in parts]:
            found = by_kind.setdefault(_kind(block[0]), [])
            places[-1].append((_kind(block[0]), len(found)))
            found.append(block)
    layout = _Layout(
        tuple(tuple(len(part.a) for part in parts) for parts in maps),
        tuple(parts[0].a.shape[1] for parts in maps),
        tuple(by_kind),
        tuple(tuple(map(len, found)) for found in by_kind.values()),
    )
    factors = [part.a for parts in maps for part in parts]
    for kind, found in by_kind.items():
        factors += [part.b for block in found for part in block]
        factors += [part.gate for block in found for part in block if kind.gated and part.gate is not None]
    made = iter(_RoundedFactors.apply(layout, dtype, *factors))
    every_a = [next(made) for _ in maps]
    every_b = {kind: [next(made) for _ in found] for kind, found in by_kind.items()}
    return [
        _of_map(parts, a, [every_b[kind][place] for kind, place in where])
        for parts, a, where in zip(maps, every_a, places, strict=True)
    ]


def rounded_map(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    parts: RoundedParts,
    scale: float = 1.0,
    kind: torch.dtype | None = None,
) -> Tensor:
    """x (..., in) -> (..., out): the map of ``scale`` times x plus the bias as it is given, in ``weight``'s dtype.

    With ``kind`` it is computed in that dtype, and ``weight`` itself is what is kept for the backward pass, no copy of it.
    """
    kind = kind or weight.dtype
    flat: Tensor = _RoundedMap.apply(x.reshape(-1, x.shape[-1]), weight, bias, kind, parts.places, scale, parts.a, *parts.b)
    return flat.view(*x.shape[:-1], weight.shape[0])


class _RoundedMap(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        kind: torch.dtype,
        places: Places,
        scale: float,
        a: Tensor,
        *b: Tensor,
    ) -> Tensor:
        ctx.given, x = x.dtype, x.to(kind)
        low = scaled_product(x, a.T, scale)  # (n, sum of ranks)
        y = scaled_product(x, weight.to(kind).T, scale, bias)
        for out, inner, one in zip(places.split(y, places.columns), places.split(low, places.ranks), b, strict=True):
            out.baddbmm_(inner, one.mT) if places.is_even else out.addmm_(inner, one.T)
        ctx.save_for_backward(x, weight, a, low, *b)
        ctx.places, ctx.scale = places, scale
        return y

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, a, low, *b = ctx.saved_tensors
        places: Places = ctx.places
        product = torch.bmm if places.is_even else torch.mm
        dlow, columns = torch.empty_like(low), places.split(dy, places.columns)
        for part, one, inner in zip(columns, b, places.split(dlow, places.ranks), strict=True):
            product(part, one, out=inner)
        db = [product(part.mT, inner) for part, inner in zip(columns, places.split(low, places.ranks), strict=True)]
        da = scaled_product(dlow.T, x, ctx.scale) if ctx.needs_input_grad[6] else None
        dx = None
        if ctx.needs_input_grad[0]:
            dx = scaled_product(dy, weight.to(x.dtype), ctx.scale).addmm_(dlow, a, alpha=ctx.scale).to(ctx.given)
        return (dx, None, None, None, None, None, da, *db)


class _RoundedFactors(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, layout: _Layout, dtype: torch.dtype, *factors: Tensor) -> tuple[Tensor, ...]:
        ctx.set_materialize_grads(False)
        every_a, left = factors[: layout.parts], iter(factors[layout.parts :])
        sizes = [(sum(ranks), width) for ranks, width in zip(layout.ranks, layout.widths, strict=True)]
        flat = torch.cat([part.flatten() for part in every_a]).to(dtype)
        made = [part.view(size) for part, size in zip(flat.split([r * n for r, n in sizes]), sizes, strict=True)]
        kept: list[Tensor] = []
        for kind, blocks in zip(layout.kinds, layout.blocks, strict=True):
            b = torch.stack([next(left) for _ in range(sum(blocks))])  # (blocks, rows, r)
            if kind.gated:
                gate = torch.stack([next(left) for _ in range(sum(blocks))])[:, None]
                gate = gate if kind.scale == 1.0 else gate * kind.scale
                rounded = torch.mul(b, gate, out=torch.empty_like(b, dtype=dtype))
                kept += [b, gate]
            else:
                rounded = (b if kind.scale == 1.0 else b * kind.scale).to(dtype)
            made += [part if len(part) > 1 else part[0] for part in rounded.split(list(blocks))]
        ctx.save_for_backward(*kept)
        ctx.layout = layout
        asked = ctx.needs_input_grad[2 : 2 + layout.parts]
        ends = [0, *accumulate(map(len, layout.ranks))]
        frozen = [a for a, (start, end) in zip(made, pairwise(ends), strict=False) if not any(asked[start:end])]
        ctx.mark_non_differentiable(*frozen)
        return tuple(made)

    @staticmethod
    def backward(ctx: Any, *given: Tensor | None) -> tuple[Tensor | None, ...]:
        layout: _Layout = ctx.layout
        found = _gradients_of_a(layout, given[: len(layout.ranks)])
        left, kept = iter(given[len(layout.ranks) :]), iter(ctx.saved_tensors)
        for kind, blocks in zip(layout.kinds, layout.blocks, strict=True):
            found += _gradients_of_b(kind, blocks, [next(left) for _ in blocks], [next(kept) for _ in range(2 * kind.gated)])
        return (None, None, *found)


def _gradients_of_a(layout: _Layout, given: Sequence[Tensor | None]) -> list[Tensor | None]:
    """Of every part's A in fp32, None for those of maps that have taken no part."""
    there = [one for one in given if one is not None]
    if not there:
        return [None] * layout.parts
    pieces = iter(torch.cat([one.flatten() for one in there]).float().split([one.numel() for one in there]))
    found: list[Tensor | None] = []
    for ranks, one in zip(layout.ranks, given, strict=True):
        found += [None] * len(ranks) if one is None else next(pieces).view(one.shape).split(list(ranks))
    return found


def _gradients_of_b(
    kind: _Kind, blocks: Sequence[int], given: Sequence[Tensor | None], kept: Sequence[Tensor]
) -> list[Tensor | None]:
    """Of every B of a kind in fp32, then of every gate, from those of the gated ones; None for those that have taken no part."""
    shapes = [(count, kind.rows, kind.rank) for count in blocks]
    like = next((one for one in given if one is not None), None)
    total = sum(blocks)
    if like is None:
        return [None] * (total * (1 + kind.gated))
    whole = torch.cat(
        [like.new_zeros(shape) if one is None else one.view(shape) for one, shape in zip(given, shapes, strict=True)]
    )
    if kind.gated:
        b, gate = kept
        found = [whole * gate, _scaled((whole * b).sum(dim=1), kind.scale)]
    else:
        found = [_scaled(whole.float(), kind.scale)]
    used = [one is not None for one, count in zip(given, blocks, strict=True) for _ in range(count)]
    return [piece if was_used else None for each in found for piece, was_used in zip(each.unbind(), used, strict=True)]


def _of_map(parts: Sequence[FusedPart], a: Tensor, b: Sequence[Tensor]) -> RoundedParts:
    ends = [0, *accumulate(len(part.a) for part in parts)]
    ranks = tuple(slice(*pair) for pair in pairwise(ends))
    return RoundedParts(Places(tuple(part.columns for part in parts), ranks, b[0].dim() == 3), a, tuple(b))


def _moved(slices: Sequence[slice], by: int) -> tuple[slice, ...]:
    return tuple(slice(one.start - by, one.stop - by) for one in slices)


def _kind(part: FusedPart) -> _Kind:
    rows, rank = part.b.shape
    return _Kind(rows, rank, part.gate is not None, part.scale)


def _is_even(parts: Sequence[FusedPart], rows: int) -> bool:
    """Whether the parts are of one kind and make up all rows of the map, in order and one for each block of them."""
    ends = [0, *accumulate(len(part.b) for part in parts)]
    in_order = [part.columns for part in parts] == [slice(*pair) for pair in pairwise(ends)]
    return len(parts) > 1 and in_order and ends[-1] == rows and len({_kind(part) for part in parts}) == 1


def scaled_product(left: Tensor, right: Tensor, scale: float, bias: Tensor | None = None) -> Tensor:
    """``scale`` times left (n, k) right (k, m), plus a bias (m,), by one kernel."""
    if bias is not None:
        return torch.addmm(bias, left, right, alpha=scale)
    return left @ right if scale == 1.0 else torch.addmm(left.new_empty(()), left, right, beta=0, alpha=scale)


def _scaled(tensor: Tensor, scale: float) -> Tensor:
    return tensor if scale == 1.0 else tensor * scale
