"""The best approximation of a low-rank update by one of lower rank, from its factors alone."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from suite.lowrank.layer import Factors


class Decomposition(NamedTuple):
    """B A = U diag(values) V^T with u (out, k), values (k,) falling, v (in, k); fp64, k at most the rank of the factors."""

    u: Tensor
    values: Tensor
    v: Tensor

    def cut(self, rank: int) -> Factors:
        """fp32 factors of the ``rank`` leading parts, each with the same length in a as in b."""
        root = self.values[:rank].sqrt()
        return Factors((self.v[:, :rank] * root).T.float(), (self.u[:, :rank] * root).float())

    def kept(self, rank: int) -> Tensor:
        """(2,) squared Frobenius norms of the ``rank`` leading parts and of all."""
        squares = self.values.square()
        return torch.stack([squares[:rank].sum(), squares.sum()])


@torch.no_grad()
def decomposed(factors: Factors) -> Decomposition:
    """Singular value decomposition of b a for a (r, in), b (out, r).

    With B = Q_b R_b and A^T = Q_a R_a the product is Q_b (R_b R_a^T) Q_a^T, so only an (r, r) matrix is decomposed.
    """
    rows, columns = torch.linalg.qr(factors.a.double().T), torch.linalg.qr(factors.b.double())
    u, values, vh = torch.linalg.svd(columns.R @ rows.R.T)
    return Decomposition(columns.Q @ u[:, : len(values)], values, rows.Q @ vh[: len(values)].T)
