"""Growing subspaces, in both forms in which they are kept."""

from __future__ import annotations

import pytest
import torch

from suite.lowrank.subspace import Subspace, leading


def moment(seed: int, width: int = 12, rows: int = 40) -> torch.Tensor:
    x = torch.randn(rows, width, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)) * torch.logspace(
        0, -2, width
    )
    return x.T @ x


def test_leading_directions_are_those_of_a_singular_value_decomposition() -> None:
    values, vectors = leading(moment(0), 3)
    left, singular, _ = torch.linalg.svd(moment(0))
    assert torch.allclose(values, singular[:3])
    assert torch.allclose((vectors.T @ left[:, :3]).abs(), torch.eye(3, dtype=torch.float64), atol=1e-9)


@pytest.mark.parametrize("share", [0.5, 0.99, 0.9999, 1.0])
def test_a_subspace_holds_what_is_asked_with_the_fewest_directions(share: float) -> None:
    found = Subspace.empty(12, torch.device("cpu")).grown(moment(0), share)
    assert found.captured(moment(0)) >= share - 1e-7
    values, _ = leading(moment(0), 12)
    assert float(values[: found.size - 1].sum() / values.sum()) < share
    assert found.complement == (found.size > 6)
    columns = found.columns
    assert torch.allclose(columns.T @ columns, torch.eye(columns.shape[1]), atol=1e-6)


def test_growing_keeps_what_was_there_and_both_forms_do_the_same() -> None:
    one = Subspace.empty(12, torch.device("cpu")).grown(moment(0), 0.97)
    other = Subspace(torch.linalg.qr(one.columns.double(), mode="complete").Q[:, one.size :].float(), complement=True)
    assert one.size == other.size
    assert not one.complement
    assert torch.allclose(one.remove(moment(1)), other.remove(moment(1)), atol=1e-5)
    assert torch.allclose(one.outside(moment(1)), other.outside(moment(1)), atol=1e-5)
    for share in (0.9, 0.999, 0.9999):
        grown, again = one.grown(moment(1), share), other.grown(moment(1), share)
        assert grown.size == again.size
        assert torch.allclose(grown.remove(moment(2)), again.remove(moment(2)), atol=1e-4)
        assert float(grown.remove(one.columns).abs().max()) < 1e-6
    assert one.grown(moment(0), 0.5) is one
