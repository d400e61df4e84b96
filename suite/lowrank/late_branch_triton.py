"""Triton's kernels of ``suite.lowrank.late_branch``: one program computes some rows, in a fixed order and in fp32 within.

Imported where tensors lie on a GPU and nowhere else: Triton comes with torch's builds for CUDA alone.
"""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

LEAST = 16  # numbers in each direction of a product on a tensor core
ROWS, COLUMNS = 32, 128  # of one program of the activation; suite.lowrank.joined_map knows the columns as TILE


@triton.jit
def _silu(wide, b, out, count, columns, rank, stride, RANK: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    row = (tl.program_id(0) * ROWS + tl.arange(0, ROWS)).to(tl.int64)  # a large batch has more than 2^31 numbers
    column = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    h = _summed(wide, b, row, column, count, columns, rank, stride, RANK)
    inside = (row[:, None] < count) & (column[None, :] < columns)
    tl.store(out + row[:, None] * columns + column[None, :], (h * tl.sigmoid(h)).to(out.dtype.element_ty), mask=inside)


@triton.jit
def _silu_backward(
    given, wide, b, out, count, columns, rank, stride, RANK: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr
):
    row = (tl.program_id(0) * ROWS + tl.arange(0, ROWS)).to(tl.int64)
    column = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    h = _summed(wide, b, row, column, count, columns, rank, stride, RANK)
    inside = (row[:, None] < count) & (column[None, :] < columns)
    dy = tl.load(given + row[:, None] * columns + column[None, :], mask=inside, other=0.0).to(tl.float32)
    share = tl.sigmoid(h)
    dh = dy * share * (1.0 + h * (1.0 - share))
    tl.store(out + row[:, None] * stride + column[None, :], dh.to(out.dtype.element_ty), mask=inside)


@triton.jit
def _sum_norm(
    x, wide, b, weight, bias, total, normed, mean, rstd, count, columns, rank, x_stride, stride, eps,
    RANK: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    row = (tl.program_id(0) * ROWS + tl.arange(0, ROWS)).to(tl.int64)
    column = tl.arange(0, COLUMNS)
    inside = (row[:, None] < count) & (column[None, :] < columns)
    s = _summed(wide, b, row, column, count, columns, rank, stride, RANK)
    s += tl.load(x + row[:, None] * x_stride + column[None, :], mask=inside, other=0.0).to(tl.float32)
    rounded = s.to(total.dtype.element_ty)
    tl.store(total + row[:, None] * columns + column[None, :], rounded, mask=inside)
    s = rounded.to(tl.float32)  # the norm is that of the sum as it is kept
    middle = tl.sum(s, axis=1) / columns
    apart = tl.where(inside, s - middle[:, None], 0.0)
    inverse = 1.0 / tl.sqrt(tl.sum(apart * apart, axis=1) / columns + eps)
    scaled = apart * inverse[:, None] * _vector(weight, column, columns) + _vector(bias, column, columns)
    tl.store(normed + row[:, None] * columns + column[None, :], scaled.to(normed.dtype.element_ty), mask=inside)
    tl.store(mean + row, middle, mask=row < count)
    tl.store(rstd + row, inverse, mask=row < count)


@triton.jit
def _sum_norm_backward(
    dtotal, dnormed, total, mean, rstd, weight, out, count, columns, d_stride, stride,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    row = (tl.program_id(0) * ROWS + tl.arange(0, ROWS)).to(tl.int64)
    column = tl.arange(0, COLUMNS)
    inside = (row[:, None] < count) & (column[None, :] < columns)
    place = row[:, None] * columns + column[None, :]
    middle, inverse = tl.load(mean + row, mask=row < count, other=0.0), tl.load(rstd + row, mask=row < count, other=0.0)
    apart = (tl.load(total + place, mask=inside, other=0.0).to(tl.float32) - middle[:, None]) * inverse[:, None]
    dn = tl.load(dnormed + place, mask=inside, other=0.0).to(tl.float32) * _vector(weight, column, columns)
    apart = tl.where(inside, apart, 0.0)
    along, level = tl.sum(dn * apart, axis=1) / columns, tl.sum(dn, axis=1) / columns
    found = (dn - apart * along[:, None] - level[:, None]) * inverse[:, None]
    found += tl.load(dtotal + row[:, None] * d_stride + column[None, :], mask=inside, other=0.0).to(tl.float32)
    tl.store(out + row[:, None] * stride + column[None, :], found.to(out.dtype.element_ty), mask=inside)


@triton.jit
def _summed(wide, b, row, column, count, columns, rank, stride, RANK: tl.constexpr):
    """Some rows and columns of y + low B' in fp32."""
    low = tl.arange(0, RANK)
    inside = (row[:, None] < count) & (column[None, :] < columns)
    z = tl.load(
        wide + row[:, None] * stride + columns + low[None, :], mask=(row[:, None] < count) & (low[None, :] < rank), other=0.0
    )
    factor = tl.load(
        b + column[None, :] * rank + low[:, None], mask=(column[None, :] < columns) & (low[:, None] < rank), other=0.0
    )
    y = tl.load(wide + row[:, None] * stride + column[None, :], mask=inside, other=0.0).to(tl.float32)
    return y + tl.dot(z, factor, input_precision="ieee")


@triton.jit
def _vector(values, column, columns):
    return tl.load(values + column, mask=column < columns, other=0.0).to(tl.float32)[None, :]


def silu(wide: Tensor, b: Tensor) -> Tensor:
    """See ``suite.lowrank.late_branch.silu``; wide (n, columns + rank) and b (columns, rank) are contiguous."""
    columns, rank = b.shape
    out = wide.new_empty(len(wide), columns)
    _silu[_tiles(out)](wide, b, out, len(wide), columns, rank, wide.stride(0), _ranks(rank), ROWS, COLUMNS)
    return out


def silu_backward(given: Tensor, wide: Tensor, b: Tensor) -> Tensor:
    """(n, columns + rank), of which only the columns are written."""
    (columns, rank), out = b.shape, torch.empty_like(wide)
    given = given.contiguous()
    _silu_backward[_tiles(given)](
        given, wide, b, out, len(wide), columns, rank, wide.stride(0), _ranks(rank), ROWS, COLUMNS
    )  # fmt: skip
    return out


def sum_norm(
    x: Tensor, wide: Tensor, b: Tensor, weight: Tensor, bias: Tensor, eps: float
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """See ``suite.lowrank.late_branch.sum_norm``; x (n, columns) may have rows that are further apart."""
    (columns, rank), count = b.shape, len(wide)
    total, normed = (x.new_empty(count, columns) for _ in range(2))
    mean, rstd = (x.new_empty(count, dtype=torch.float32) for _ in range(2))
    _sum_norm[(triton.cdiv(count, LEAST),)](
        x, wide, b, weight, bias, total, normed, mean, rstd, count, columns, rank, x.stride(0), wide.stride(0), eps,
        _ranks(rank), LEAST, triton.next_power_of_2(columns), num_warps=8,
    )  # fmt: skip
    return total, normed, mean, rstd


def sum_norm_backward(
    dtotal: Tensor, dnormed: Tensor, total: Tensor, mean: Tensor, rstd: Tensor, weight: Tensor, spare: int
) -> Tensor:
    """(n, columns + spare), of which only the columns are written."""
    count, columns = total.shape
    out, rows = total.new_empty(count, columns + spare), 4
    _sum_norm_backward[(triton.cdiv(count, rows),)](
        dtotal, dnormed.contiguous(), total, mean, rstd, weight, out, count, columns, dtotal.stride(0), out.stride(0),
        rows, triton.next_power_of_2(columns),
    )  # fmt: skip
    return out


def _tiles(out: Tensor) -> tuple[Any, Any]:
    return triton.cdiv(out.shape[0], ROWS), triton.cdiv(out.shape[1], COLUMNS)


def _ranks(rank: int) -> int:
    return max(LEAST, int(triton.next_power_of_2(rank)))
