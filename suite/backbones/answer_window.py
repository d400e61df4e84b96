"""The states of right-padded rows that predict their answers: taken out together, gradients put back, in a fixed order on every device.

Row i has e_i tokens of its own among T; its last w tokens are predicted by positions e_i - 1 - w ... e_i - 2. A row that is shorter than
its window begins before position 0, that is behind its own tokens: those places of the window are ``IGNORED``. Positions count modulo T,
so that no two of a row's window are the same one: gradients are read back by position and never added up, for which indexing's own
backward pass would sort.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from suite.data.text import IGNORED


def taken(states: Tensor, mask: Tensor, window: int) -> Tensor:
    """(n, window, width): of states (n, length, width) those that predict each row's last ``window`` tokens.

    Args:
        mask: (n, tokens) int64, ones for a row's own tokens, then zeros; states may have more in front, which count as the row's own.
    """
    ends = mask.sum(dim=1, keepdim=True) + (states.shape[1] - mask.shape[1])
    found: Tensor = _Taken.apply(states, ends - 1 - window, window)
    return found


class _Taken(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, states: Tensor, first: Tensor, window: int) -> Tensor:
        rows, length, width = states.shape
        ctx.save_for_backward(first)
        ctx.length = length
        places = (first + torch.arange(window, device=states.device)) % length
        return states.flatten(0, 1)[(places + _starts(rows, length, states.device)).flatten()].view(rows, window, width)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (gradient,), (first,) = gradients, ctx.saved_tensors
        rows, window, width = gradient.shape
        places = (torch.arange(ctx.length, device=first.device) - first) % ctx.length  # of each token in its row's window
        nothing = gradient.new_zeros(1, width)
        own = places + _starts(rows, window, first.device)
        read = torch.where(places < window, own, rows * window).flatten()
        return torch.cat([gradient.flatten(0, 1), nothing])[read].view(rows, ctx.length, width), None, None


def _starts(rows: int, size: int, device: torch.device) -> Tensor:
    return (torch.arange(rows, device=device) * size)[:, None]


def before_answers(hidden: Tensor, answers: Tensor) -> Tensor:
    """(n, width): of states (n, window, width) that predict ``answers`` (n, window), each row's that predicts its first token."""
    first = (answers != IGNORED).int().argmax(dim=1)
    return hidden[torch.arange(len(hidden), device=hidden.device), first]
