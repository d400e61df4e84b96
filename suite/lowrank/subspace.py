"""Directions of an input space: the leading ones of a second moment, those of one against another, and the growing basis of what
earlier tasks use.

All decompositions are of symmetric matrices, in fp64; what is kept is fp32.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


def leading(moment: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The ``count`` largest eigenvalues of a symmetric matrix (d, d), falling, and their eigenvectors as columns (d, count), fp64."""
    values, vectors = torch.linalg.eigh(moment.double())
    return values.flip(0)[:count], vectors.flip(1)[:, :count]


def contrasting(moment: Tensor, past: Tensor, count: int) -> Tensor:
    """Orthonormal columns (d, count) that span the top solutions u of moment u = lambda past u, fp64.

    With past = L L^T the solutions are L^-T v, v the leading eigenvectors of L^-1 moment L^-T. ``past`` gets
    a millionth of its mean eigenvalue in every direction, which is what fp32 leaves uncertain, and more where its decomposition needs it.
    """
    p = past.double()
    eye, jitter = torch.eye(len(p), dtype=p.dtype, device=p.device), 1e-6 * float(p.trace()) / len(p)
    lower, failed = torch.linalg.cholesky_ex(p + jitter * eye)
    while int(failed):
        jitter *= 10
        lower, failed = torch.linalg.cholesky_ex(p + jitter * eye)
    half = torch.linalg.solve_triangular(lower, moment.double(), upper=False)  # L^-1 C
    whitened = torch.linalg.solve_triangular(lower, half.T, upper=False)  # L^-1 C L^-T
    _, vectors = leading((whitened + whitened.T) / 2, count)
    basis: Tensor = torch.linalg.qr(torch.linalg.solve_triangular(lower.T, vectors, upper=True)).Q
    return basis


@dataclass(frozen=True)
class Subspace:
    """A subspace of R^d by orthonormal columns of it or, where these are fewer, of its complement.

    Attributes:
        columns: (d, k) fp32.
        complement: the columns span what is not in the subspace.
    """

    columns: Tensor
    complement: bool = False

    @staticmethod
    def empty(width: int, device: torch.device) -> Subspace:
        return Subspace(torch.empty(width, 0, device=device))

    @property
    def size(self) -> int:
        """Dimensions of the subspace."""
        width, count = self.columns.shape
        return width - count if self.complement else count

    def remove(self, x: Tensor) -> Tensor:
        """The columns of ``x`` (d, n) without their parts in the subspace, in the kind of ``x``."""
        basis = self.columns.to(x.dtype)
        inside = basis @ (basis.T @ x)
        return inside if self.complement else x - inside

    def outside(self, moment: Tensor) -> Tensor:
        """(I - M M^T) moment (I - M M^T) of a symmetric (d, d), fp64."""
        return self.remove(self.remove(moment.double()).T)

    def captured(self, moment: Tensor) -> float:
        """Share of the trace of ``moment`` (d, d) that lies in the subspace."""
        return 1.0 - float(self.outside(moment).trace() / moment.double().trace())

    def grown(self, moment: Tensor, share: float) -> Subspace:
        """The subspace with as many leading directions of ``outside(moment)`` as bring ``captured(moment)`` to ``share``."""
        held = self.captured(moment)
        if held >= share:
            return self
        free = self.columns.shape[0] - self.size
        values, vectors = leading(self.outside(moment), free)
        gained = held + torch.cumsum(values.clamp(min=0), dim=0) / moment.double().trace()
        count = min(free, int((gained < share).sum()) + 1)
        return Subspace._smaller(torch.cat([self._basis(), vectors[:, :count]], dim=1))

    def _basis(self) -> Tensor:
        """(d, size) fp64 columns of the subspace itself."""
        return _completed(self.columns.double()) if self.complement else self.columns.double()

    @staticmethod
    def _smaller(basis: Tensor) -> Subspace:
        """Of the orthonormal columns of a subspace: themselves, or those of its complement where they are fewer."""
        width, count = basis.shape
        basis = torch.linalg.qr(basis).Q
        if count <= width / 2:
            return Subspace(basis.float().contiguous())
        return Subspace(_completed(basis).float().contiguous(), complement=True)


def _completed(columns: Tensor) -> Tensor:
    """(d, d - k) orthonormal columns beside ``columns`` (d, k)."""
    whole: Tensor = torch.linalg.qr(columns, mode="complete").Q
    return whole[:, columns.shape[1] :]
