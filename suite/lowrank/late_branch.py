"""What stands behind a frozen map of one branch, computed together with the sum of the two: an activation, or a residual sum and its norm.

    [y, z] = [W; A] x        (``suite.lowrank.joined_map``, which leaves the branch out)
    silu:      silu(y + z B')
    sum_norm:  s = x + y + z B',  n = norm(s)

A branch that is added by a product of its own reads and writes all of y for it. Here the sum is made where y is read anyway; the
activation is made again on the way back instead of being kept. On a GPU each is one kernel of Triton's each way. The twins below, which say
what is computed, serve everywhere else: sums and products are fp32 within, what is kept has the dtype of y.

They are operations of their own (``torch.ops.codyra``), so that tensors without numbers go through them too.
"""

from __future__ import annotations

import importlib.util
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor


@cache
def has_triton() -> bool:
    """Whether Triton is installed."""
    return importlib.util.find_spec("triton") is not None


@torch.library.custom_op("codyra::silu_of_branch", mutates_args=())
def silu(wide: Tensor, b: Tensor) -> Tensor:
    """silu of y + z B': (n, columns) from wide = [y, z] (n, columns + rank) and b = B' (columns, rank)."""
    if _on_card(wide):
        from suite.lowrank import late_branch_triton

        with torch.cuda.device(wide.device):  # Triton launches on the current one
            return late_branch_triton.silu(wide, b)
    return F.silu(_summed(wide, b)).to(wide.dtype)


@torch.library.custom_op("codyra::silu_of_branch_backward", mutates_args=())
def silu_backward(given: Tensor, wide: Tensor, b: Tensor) -> Tensor:
    """Gradient of y, (n, columns + rank) with anything behind it, from that of the result (n, columns)."""
    if _on_card(wide):
        from suite.lowrank import late_branch_triton

        with torch.cuda.device(wide.device):  # Triton launches on the current one
            return late_branch_triton.silu_backward(given, wide, b)
    h = _summed(wide, b)
    found = torch.zeros_like(wide)
    found[:, : len(b)] = torch.ops.aten.silu_backward(given.float(), h)
    return found


@torch.library.custom_op("codyra::sum_norm_of_branch", mutates_args=())
def sum_norm(
    x: Tensor, wide: Tensor, b: Tensor, weight: Tensor, bias: Tensor, eps: float
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """s and its norm (n, columns), mean and inverse deviation (n,) in fp32; x (n, columns), weight and bias (columns,)."""
    if _on_card(wide):
        from suite.lowrank import late_branch_triton

        with torch.cuda.device(wide.device):  # Triton launches on the current one
            return late_branch_triton.sum_norm(x, wide, b, weight, bias, eps)
    total = (x.float() + _summed(wide, b)).to(x.dtype)
    normed, mean, rstd = torch.native_layer_norm(total.float(), [len(b)], weight.float(), bias.float(), eps)
    return total, normed.to(x.dtype), mean.flatten(), rstd.flatten()


@torch.library.custom_op("codyra::sum_norm_of_branch_backward", mutates_args=())
def sum_norm_backward(
    dtotal: Tensor, dnormed: Tensor, total: Tensor, mean: Tensor, rstd: Tensor, weight: Tensor, spare: int
) -> Tensor:
    """Gradient of x and of y alike, (n, columns + spare) with anything behind the columns."""
    if _on_card(total):
        from suite.lowrank import late_branch_triton

        with torch.cuda.device(total.device):  # Triton launches on the current one
            return late_branch_triton.sum_norm_backward(dtotal, dnormed, total, mean, rstd, weight, spare)
    columns = total.shape[1]
    of_norm = torch.ops.aten.native_layer_norm_backward(
        dnormed.float(), total.float(), [columns], mean[:, None], rstd[:, None], weight.float(), None, [True, False, False]
    )[0]
    found = total.new_zeros(len(total), columns + spare)
    found[:, :columns] = dtotal.float() + of_norm
    return found


@silu.register_fake
def _(wide: Tensor, b: Tensor) -> Tensor:
    return wide.new_empty(len(wide), len(b))


@silu_backward.register_fake
def _(given: Tensor, wide: Tensor, b: Tensor) -> Tensor:
    return torch.empty_like(wide)


@sum_norm.register_fake
def _(x: Tensor, wide: Tensor, b: Tensor, weight: Tensor, bias: Tensor, eps: float) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    rows = x.new_empty(len(x), dtype=torch.float32)
    return x.new_empty(x.shape), x.new_empty(x.shape), rows, torch.empty_like(rows)


@sum_norm_backward.register_fake
def _(dtotal: Tensor, dnormed: Tensor, total: Tensor, mean: Tensor, rstd: Tensor, weight: Tensor, spare: int) -> Tensor:
    return total.new_empty(len(total), total.shape[1] + spare)


def _on_card(tensor: Tensor) -> bool:
    return tensor.is_cuda and has_triton()


def _summed(wide: Tensor, b: Tensor) -> Tensor:
    """y + z B' (n, columns) in fp32."""
    y, z = wide.split(list(b.shape), dim=1)
    with torch.autocast(wide.device.type, enabled=False):
        return torch.addmm(y.float(), z.float(), b.float().T)
