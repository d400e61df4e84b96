"""A branch added with what stands behind its map: the twins by their formulas, Triton's kernels by Triton's interpreter."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from suite.lowrank import late_branch

# In bf16 the interpreter takes the bits of a product's factors for numbers; tests/gpu has that on a card.
INTERPRETED = """
import json, torch
from suite.lowrank import joined_map, late_branch, late_branch_triton
assert late_branch_triton.COLUMNS == joined_map.TILE
from tests.suite.lowrank.test_late_branch import apart, made
found = {}
for dtype in (torch.float32, torch.float16):
    for rows, columns, rank in ((50, 200, 8), (33, 48, 16), (20, 96, 24)):
        found[f"{dtype} {rows}"] = apart(late_branch_triton, late_branch, made(rows, columns, rank, dtype))
print(json.dumps(found))
"""


def made(rows: int, columns: int, rank: int, dtype: torch.dtype) -> dict[str, Tensor]:
    """What the four operations take; x and the gradient of the sum have rows that are further apart."""
    g = torch.Generator().manual_seed(0)

    def some(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=g).to(dtype)

    return {
        "wide": some(rows, columns + rank),
        "b": 0.3 * some(columns, rank),
        "x": some(rows, columns + 8)[:, :columns],
        "given": some(rows, columns),
        "weight": some(columns),
        "bias": some(columns),
    }


def apart(one: object, other: object, given: dict[str, Tensor]) -> float:
    """The largest relative distance between what two modules make of the same."""
    found = []
    for module in (one, other):
        wide, b, x, weight = (given[name] for name in ("wide", "b", "x", "weight"))
        total, normed, mean, rstd = module.sum_norm(x, wide, b, weight, given["bias"], 1e-5)
        back = module.sum_norm_backward(x, given["given"], total, mean, rstd, weight, 8)[:, : len(b)]
        activated = module.silu(wide, b), module.silu_backward(given["given"], wide, b)[:, : len(b)]
        found.append([total, normed, mean, rstd, back, *activated])
    return max(
        float((mine.float() - reference.float()).norm() / reference.float().norm())
        for mine, reference in zip(*found, strict=True)
    )


def test_the_twins_are_the_sum_then_the_activation_or_the_norm() -> None:
    given = made(9, 16, 8, torch.float32)
    wide, b, x = given["wide"], given["b"], given["x"]
    y = (wide[:, :16] + wide[:, 16:] @ b.T).requires_grad_()
    assert torch.allclose(late_branch.silu(wide, b), F.silu(y), atol=1e-6)
    (dy,) = torch.autograd.grad(F.silu(y), y, given["given"])
    assert torch.allclose(late_branch.silu_backward(given["given"], wide, b)[:, :16], dy, atol=1e-6)
    total = x + y
    normed = F.layer_norm(total, (16,), given["weight"], given["bias"])
    kept, scaled, mean, rstd = late_branch.sum_norm(x, wide, b, given["weight"], given["bias"], 1e-5)
    assert torch.allclose(kept, total, atol=1e-6)
    assert torch.allclose(scaled, normed, atol=1e-5)
    (dx,) = torch.autograd.grad([total, normed], y, [x, given["given"]])
    back = late_branch.sum_norm_backward(x, given["given"], kept, mean, rstd, given["weight"], 8)
    assert back.shape == (9, 24)
    assert torch.allclose(back[:, :16], dx, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_tensors_without_numbers_go_through_with_the_same_shapes(dtype: torch.dtype) -> None:
    given = made(9, 16, 8, dtype)
    empty = {name: value.to("meta") for name, value in given.items()}
    for these in (given, empty):
        wide, b, weight = these["wide"], these["b"], these["weight"]
        total, normed, mean, rstd = late_branch.sum_norm(these["x"], wide, b, weight, these["bias"], 1e-5)
        assert (total.shape, normed.dtype, mean.shape, rstd.dtype) == ((9, 16), dtype, (9,), torch.float32)
        assert late_branch.silu(wide, b).shape == (9, 16)
        assert late_branch.silu_backward(these["given"], wide, b).shape == (9, 24)
        back = late_branch.sum_norm_backward(these["given"], normed, total, mean, rstd, weight, 8)
        assert (back.shape, back.dtype) == ((9, 24), dtype)


@pytest.mark.slow
def test_tritons_kernels_make_what_the_twins_make() -> None:
    """fp32 to rounding, fp16 to its digits; ranks that fill no tile, rows and columns that do not either."""
    pytest.importorskip("triton")
    command = [sys.executable, "-c", INTERPRETED]
    done = subprocess.run(
        command, env={**os.environ, "TRITON_INTERPRET": "1"}, capture_output=True, text=True, check=True, timeout=250
    )
    found = json.loads(done.stdout)
    assert len(found) == 6
    assert all(value < (1e-6 if "float32" in name else 1e-4) for name, value in found.items()), found
