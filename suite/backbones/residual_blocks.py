"""Residual blocks one after the other; in the dtype of an autocast each sum and the layer norm behind it are one node of the graph.

    s = x + y,  n = norm(s);      dx = dy = ds + (the norm's gradient of dn)

The gradient is written with room behind it for what the map that made y puts there (``suite.lowrank.joined_map``), so that neither it nor
the residual's is copied.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from suite.backbones.frozen_norm import FrozenNorm
from suite.lowrank.inject import AdaptedAttention, AdaptedMlp
from suite.lowrank.joined_map import Wide


def through_blocks(blocks: Iterable[Any], x: Tensor, mask: Tensor | None) -> Tensor:
    """x (n, tokens, width) through open_clip's adapted residual blocks; ``mask``: the causal one, or None."""
    chosen = list(blocks)
    if not all(_adds_in_one(block, x) for block in chosen):
        for block in chosen:
            x = block(x, attn_mask=mask)
        return x
    added: Wide | None = None
    for block in chosen:
        x, normed = _sum_and_norm(x, added, block.ln_1)
        x, normed = _sum_and_norm(x, block.attn.wide(normed, mask), block.ln_2)
        added = block.mlp.wide(normed)
    return x if added is None else x + added.taken(x.shape[-1])


def _adds_in_one(block: Any, x: Tensor) -> bool:
    """Whether nothing stands between a block's maps and its sums, and its norms read and write what the sums are."""
    norms, scales = (block.ln_1, block.ln_2), (block.ls_1, block.ls_2)
    if not (isinstance(block.attn, AdaptedAttention) and isinstance(block.mlp, AdaptedMlp)):
        return False
    if block.attn.site.parts or block.mlp.site.parts or not all(isinstance(scale, nn.Identity) for scale in scales):
        return False
    return all(isinstance(norm, FrozenNorm) and norm.is_rounded(x) for norm in norms)


def _sum_and_norm(x: Tensor, added: Wide | None, norm: FrozenNorm) -> tuple[Tensor, Tensor]:
    """x (n, tokens, width) plus what a map has made, and the norm of that."""
    if added is None:
        return x, norm(x)
    weight, bias = norm.rounded(x.dtype)
    if added.late is None:
        total, normed = _SumAndNorm.apply(x, added.whole, weight, bias, norm.eps)
    else:
        total, normed = _LateSumAndNorm.apply(x, added.whole, added.late, weight, bias, norm.eps)
    return total, normed


class _SumAndNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, added: Tensor, weight: Tensor, bias: Tensor, eps: float) -> tuple[Tensor, Tensor]:
        total = x + added[..., : x.shape[-1]]
        with torch.autocast(x.device.type, enabled=False):
            normed, mean, rstd = torch.native_layer_norm(total, weight.shape, weight, bias, eps)
        ctx.save_for_backward(total, mean, rstd, weight, bias)
        ctx.columns = added.shape[-1]
        return total, normed

    @staticmethod
    def backward(ctx: Any, dtotal: Tensor, dnormed: Tensor) -> tuple[Tensor | None, ...]:
        total, mean, rstd, weight, bias = ctx.saved_tensors
        of_norm = torch.ops.aten.native_layer_norm_backward(
            dnormed, total, weight.shape, mean, rstd, weight, bias, [True, False, False]
        )[0]
        wide = dtotal.new_empty(*total.shape[:-1], ctx.columns)
        narrow = wide[..., : total.shape[-1]]
        torch.add(dtotal, of_norm, out=narrow)
        return narrow, wide, None, None, None


class _LateSumAndNorm(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, added: Tensor, b: Tensor, weight: Tensor, bias: Tensor, eps: float
    ) -> tuple[Tensor, Tensor]:
        from suite.lowrank import late_branch

        total, normed, mean, rstd = late_branch.sum_norm(x.flatten(0, -2), added.flatten(0, -2), b, weight, bias, eps)
        ctx.save_for_backward(total, mean, rstd, weight)
        ctx.spare = added.shape[-1] - x.shape[-1]
        return total.view_as(x), normed.view_as(x)

    @staticmethod
    def backward(ctx: Any, dtotal: Tensor, dnormed: Tensor) -> tuple[Tensor | None, ...]:
        from suite.lowrank import late_branch

        total, mean, rstd, weight = ctx.saved_tensors
        given = (one.reshape(-1, one.shape[-1]) for one in (dtotal, dnormed))
        wide = late_branch.sum_norm_backward(*given, total, mean, rstd, weight, ctx.spare).view(*dtotal.shape[:-1], -1)
        return wide[..., : dtotal.shape[-1]], wide, None, None, None, None
