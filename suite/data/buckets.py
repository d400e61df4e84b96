"""In which order rows are trained on; rows of similar token counts share a batch, so that little of it is padding."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

WINDOW_BATCHES = 32  # rows are sorted only within this many batches, so that an epoch stays close to a random order


def epoch_after_epoch(
    count: int, batch_size: int, generator: torch.Generator, lengths: NDArray[np.int64] | None
) -> Iterator[Tensor]:
    """Rows 0..count-1 in batches without end, shuffled anew every epoch, the last partial batch kept.

    Args:
        lengths: (count,) tokens of every row where rows are bucketed by them.
    """
    while True:
        if lengths is None:
            yield from torch.randperm(count, generator=generator).split(batch_size)
        else:
            yield from length_bucketed_order(lengths, batch_size, generator)


def length_bucketed_order(lengths: NDArray[np.int64], batch_size: int, generator: torch.Generator) -> list[Tensor]:
    """One epoch of row indices, each row once: shuffled, sorted by length within windows, batches shuffled again.

    Ties of equal length stay in shuffled order. The last batch of an epoch's rows may be smaller and is kept.

    Args:
        lengths: (n,) token count of every row.

    Returns:
        int64 tensors of at most ``batch_size`` rows; the order depends on ``generator`` alone.
    """
    counts = torch.from_numpy(np.ascontiguousarray(lengths))
    shuffled = torch.randperm(len(counts), generator=generator)
    batches: list[Tensor] = []
    for window in torch.split(shuffled, WINDOW_BATCHES * batch_size):
        by_length = window[torch.argsort(counts[window], stable=True)]
        batches.extend(torch.split(by_length, batch_size))
    return [batches[place] for place in torch.randperm(len(batches), generator=generator).tolist()]


def padding_share(lengths: NDArray[np.int64], batches: Sequence[Tensor]) -> float:
    """Share of the tokens of padded batches that are padding, 0 to 1."""
    kept = sum(int(lengths[batch.numpy()].sum()) for batch in batches)
    laid_out = sum(int(lengths[batch.numpy()].max()) * len(batch) for batch in batches)
    return 1.0 - kept / laid_out
