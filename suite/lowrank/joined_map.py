"""A frozen map whose weight has the branches' A below it, so that one product makes W x and A x, and one the gradient of x.

    [W; A] x = (W x, A x),      dx = [dy, dlow] [W; A]      with dlow = dy B', see ``suite.lowrank.rounded_factors``

A x stands in columns of its own behind the result, and dlow behind the result's gradient. Who takes the result apart or activates it
therefore makes a gradient with room for dlow, at no cost (``split_columns``, ``silu``); of others the gradient is copied, which is cheaper
than a second product into a wide dx. The copy of the weight is made anew in every forward pass: it must be small beside the input.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from suite.lowrank.rounded_factors import Places, RoundedParts, scaled_product

MOST_AT_ONCE = (
    2**15
)  # numbers of B' that a kernel of Triton holds beside the rest in 100 KB, which every card with bf16 gives a program
TILE = 128  # columns that one program of an activation's kernel computes (COLUMNS of suite.lowrank.late_branch_triton)
ALIGNED = 8  # numbers of 16 bits that a GPU's products and its attention read at once: rows must begin at multiples of it


def can_join(parts: RoundedParts) -> bool:
    """Whether the rows of a result with A x behind it begin where a GPU can read them."""
    return len(parts.a) % ALIGNED == 0


@torch.no_grad()
def joined_weights(weights: Sequence[Tensor], parts: Sequence[RoundedParts]) -> list[Tensor]:
    """[W; A] (rows + sum of ranks, in) of every map, by one copy for all maps that read equally many numbers."""
    made: dict[int, Tensor] = {}
    for width in {weight.shape[1]: None for weight in weights}:
        chosen = [place for place, weight in enumerate(weights) if weight.shape[1] == width]
        whole = torch.cat([piece for place in chosen for piece in (weights[place], parts[place].a)])
        sizes = [len(weights[place]) + len(parts[place].a) for place in chosen]
        made |= dict(zip(chosen, whole.split(sizes), strict=True))
    return [made[place] for place in range(len(weights))]


def joined_map(
    x: Tensor, joined: Tensor, bias: Tensor | None, parts: RoundedParts, scale: float, *, spare: bool, late: bool = False
) -> Tensor:
    """x (..., in) -> (..., rows): the map of ``scale`` times x plus the bias.

    Args:
        bias: (rows + sum of ranks,), zero behind the rows.
        spare: return the columns behind the result too, for ``split_columns`` or ``silu``; their gradient may be anything.
        late: leave the branches to whoever takes the result, columns behind it included (``suite.lowrank.late_branch``).
    """
    flat: Tensor = _JoinedMap.apply(
        x.reshape(-1, x.shape[-1]), joined, bias, parts.places, scale, spare, late, parts.a, *parts.b
    )
    return flat.view(*x.shape[:-1], flat.shape[1])


def late_factor(parts: RoundedParts, rows: int, at_once: int) -> Tensor | None:
    """B' (rows, rank) of a map whose only branch may be added late; None of any other.

    Args:
        at_once: of the rows of B', so many are held by one program of the kernel that adds the branch.
    """
    if len(parts.b) != 1 or parts.b[0].shape[0] != rows or padded(at_once) * padded(parts.b[0].shape[1]) > MOST_AT_ONCE:
        return None
    return parts.b[0].detach()


def padded(count: int) -> int:
    """The power of two, 16 at least, that a kernel of Triton takes for so many numbers."""
    return max(16, 1 << (count - 1).bit_length())


class Wide(NamedTuple):
    """A map's result with columns behind it whose gradient may be anything.

    Attributes:
        whole: (..., columns and spare ones).
        late: B' (columns, rank) of the branch that is still to be added, whose A x is what stands behind; None: nothing is.
    """

    whole: Tensor
    late: Tensor | None = None

    def taken(self, columns: int) -> Tensor:
        """The result (..., columns), the branch added."""
        (y,) = split_columns(self.whole, [columns])
        return y if self.late is None else y + self.whole[..., columns:].detach() @ self.late.T


def split_columns(wide: Tensor, sizes: Sequence[int]) -> tuple[Tensor, ...]:
    """The first columns of (..., columns and spare ones) as tensors of so many."""
    parts: tuple[Tensor, ...] = _Split.apply(wide, list(sizes))
    return parts


def silu(wide: Wide, columns: int) -> Tensor:
    """silu of the result (..., columns)."""
    activated: Tensor = _Silu.apply(wide.whole, columns) if wide.late is None else _LateSilu.apply(wide.whole, wide.late)
    return activated


class _JoinedMap(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        joined: Tensor,
        bias: Tensor | None,
        places: Places,
        scale: float,
        spare: bool,
        late: bool,
        a: Tensor,
        *b: Tensor,
    ) -> Tensor:
        ctx.given, x = x.dtype, x.to(joined.dtype)
        whole = scaled_product(x, joined.T, scale, bias)
        rows = len(joined) - len(a)
        y, low = whole.unsafe_split_with_sizes([rows, len(a)], dim=1)  # no views to autograd: one is returned, the other kept
        pairs = () if late else zip(places.split(y, places.columns), places.split(low, places.ranks), b, strict=True)
        for out, inner, one in pairs:
            out.baddbmm_(inner, one.mT) if places.is_even else out.addmm_(inner, one.T)
        ctx.save_for_backward(x, joined, low, *b)
        ctx.places, ctx.scale, ctx.rows, ctx.spare = places, scale, rows, spare
        return whole if spare else y

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
        x, joined, low, *b = ctx.saved_tensors
        places: Places = ctx.places
        whole = dy if ctx.spare else torch.cat([dy, torch.empty_like(low)], dim=1)
        dy, dlow = whole[:, : ctx.rows], whole[:, ctx.rows :]
        product = torch.bmm if places.is_even else torch.mm
        columns = places.split(dy, places.columns)
        for part, one, inner in zip(columns, b, places.split(dlow, places.ranks), strict=True):
            product(part, one, out=inner)
        db = [product(part.mT, inner) for part, inner in zip(columns, places.split(low, places.ranks), strict=True)]
        da = scaled_product(dlow.T, x, ctx.scale) if ctx.needs_input_grad[7] else None
        dx = scaled_product(whole, joined, ctx.scale).to(ctx.given) if ctx.needs_input_grad[0] else None
        return (dx, None, None, None, None, None, None, da, *db)


class _Split(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, wide: Tensor, sizes: list[int]) -> tuple[Tensor, ...]:
        ctx.spare = wide.shape[-1] - sum(sizes)
        parts: tuple[Tensor, ...] = wide.split([*sizes, ctx.spare], dim=-1)[:-1]
        return parts

    @staticmethod
    def backward(ctx: Any, *given: Tensor) -> tuple[Tensor, None]:
        return torch.cat([*given, given[0].new_empty(*given[0].shape[:-1], ctx.spare)], dim=-1), None


class _Silu(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, wide: Tensor, columns: int) -> Tensor:
        ctx.save_for_backward(wide)
        ctx.columns = columns
        return torch.nn.functional.silu(wide[..., :columns])

    @staticmethod
    def backward(ctx: Any, given: Tensor) -> tuple[Tensor, None]:
        (wide,) = ctx.saved_tensors
        found = torch.empty_like(wide)
        torch.ops.aten.silu_backward.grad_input(given, wide[..., : ctx.columns], grad_input=found[..., : ctx.columns])
        return found, None


class _LateSilu(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, wide: Tensor, b: Tensor) -> Tensor:
        from suite.lowrank import late_branch

        ctx.save_for_backward(wide, b)
        activated: Tensor = late_branch.silu(wide.flatten(0, -2), b)
        return activated.view(*wide.shape[:-1], len(b))

    @staticmethod
    def backward(ctx: Any, given: Tensor) -> tuple[Tensor, None]:
        from suite.lowrank import late_branch

        wide, b = ctx.saved_tensors
        found: Tensor = late_branch.silu_backward(given.flatten(0, -2), wide.flatten(0, -2), b)
        return found.view_as(wide), None
