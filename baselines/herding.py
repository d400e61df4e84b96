"""Herding: exemplars whose mean stays near the mean of all, and features of a task's rows to herd by.

One after the other the row is taken that brings the mean of what was taken nearest to the mean of all: argmin_i |mu - (S + f_i) / (k + 1)|.
Source: arXiv 1611.07725, algorithm 4.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from trainables.method import TaskContext


def exemplars(context: TaskContext, count: int, *, by_class: bool) -> Tensor:
    """At most ``count`` rows of the task's training split, the best first; ``by_class``: each class's best, then each one's second.

    By the features of the network as it stands.
    """
    if not count:
        return torch.empty(0, dtype=torch.int64)
    found = [(features, labels) for features, labels in features_of(context, context.index)]
    features, labels = torch.cat([one for one, _ in found]), torch.cat([other for _, other in found])
    if not by_class:
        return herded(features, count)
    turns = []
    for label in labels.unique():
        own = (labels == label).nonzero()[:, 0]
        best = own[herded(features[own], count)]
        turns.append(torch.stack([torch.arange(len(best)), best], dim=1))
    order = torch.cat(turns)
    return order[order[:, 0].argsort(stable=True), 1][:count]


@torch.no_grad()
def features_of(context: TaskContext, task: int, rows: Tensor | None = None) -> Iterator[tuple[Tensor, Tensor]]:
    """Unit features (n, dim) fp32 and labels (n,) of a task's training images on the CPU, batch by batch; of ``rows`` alone if given."""
    for whole in context.learner.batches(task, "train", context.batch_size):
        batch = whole if rows is None else whole.part(torch.isin(whole.rows, rows).nonzero()[:, 0])
        if len(batch):
            yield context.learner.forward(batch.without_labels()).features.float().cpu(), batch.inputs["labels"].cpu()


def herded(features: Tensor, count: int) -> Tensor:
    """(min(count, n),) rows of features (n, dim): each the one that brings the mean of all taken nearest to the mean of all rows."""
    f = features.double()
    mean, total, squares = f.mean(dim=0), torch.zeros_like(f[0]), f.square().sum(dim=1)
    taken: list[int] = []
    for k in range(min(count, len(f))):
        distances = squares + 2 * (
            f @ (total - (k + 1) * mean)
        )  # (k + 1)^2 times the squared distance, up to what all rows share
        distances[taken] = torch.inf
        taken.append(int(distances.argmin()))
        total = total + f[taken[-1]]
    return torch.tensor(taken, dtype=torch.int64)
