"""Which task an image comes from, or none: one linear autoencoder per task over the untouched network's image embeddings z (dim,).

    e_t(z) = |z - m_t - V_t V_t^T (z - m_t)|^2,    task = argmin_t e_t(z), none where that e_t(z) > b_t

m_t (dim,) and V_t (dim, c) are mean and leading directions of the task's images, the best linear autoencoder there is; b_t is a quantile of
the errors of images that were left out of its fit.
"""

from __future__ import annotations

import torch
from torch import Tensor

LEAST_PER_DIRECTION = 4  # features, and images, for each direction of a code


class Selector:
    """One linear autoencoder per task.

    Attributes:
        means: (tasks, dim).
        codes: per task (dim, c), orthonormal columns.
        bounds: (tasks,).
    """

    def __init__(self, width: int, device: torch.device) -> None:
        self.means, self.bounds = torch.empty(0, width, device=device), torch.empty(0, device=device)
        self.codes: list[Tensor] = []

    def learn(self, z: Tensor, code: int, quantile: float) -> None:
        """One more task, from the embeddings z (n, dim) of its images."""
        directions = max(1, min(code, z.shape[1] // LEAST_PER_DIRECTION, len(z) // LEAST_PER_DIRECTION))
        folds = (z[::2], z[1::2]) if len(z) > 1 else (z, z)
        left_out = [errors(other, *fitted(own, directions)) for own, other in (folds, folds[::-1])]
        mean, basis = fitted(z, directions)
        self.means, self.codes = torch.cat([self.means, mean[None]]), [*self.codes, basis]
        self.bounds = torch.cat([self.bounds, torch.cat(left_out).quantile(quantile)[None]])

    def tasks_of(self, z: Tensor, *, together: bool) -> Tensor:
        """(n,) int64 task of each embedding z (n, dim), -1 for none; ``together`` one for all, by their mean errors."""
        found = torch.stack([errors(z, mean, basis) for mean, basis in zip(self.means, self.codes, strict=True)], dim=1)
        if together:
            found = found.mean(dim=0, keepdim=True).expand(len(z), -1)
        least, task = found.min(dim=1)
        return task.masked_fill(least > self.bounds[task], -1)


def fitted(z: Tensor, directions: int) -> tuple[Tensor, Tensor]:
    """Mean (dim,) and leading directions (dim, at most ``directions``) of embeddings z (n, dim)."""
    mean = z.mean(dim=0)
    return mean, torch.linalg.svd(z - mean, full_matrices=False).Vh[:directions].T.contiguous()


def errors(z: Tensor, mean: Tensor, basis: Tensor) -> Tensor:
    """(n,) squared distances of z (n, dim) from what the autoencoder makes of them."""
    apart = z - mean
    return (apart - apart @ basis @ basis.T).square().sum(dim=1)
