"""Cross-entropy of answer tokens from hidden states, without ever holding all logits.

Rows are taken some at a time: their logits, their loss and its gradient for the hidden states in one go, so that memory does not
grow with rows times vocabulary. The vocabulary projection must be frozen. The plain twin is ``F.cross_entropy`` over all logits.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from suite.data.text import IGNORED

LOGITS_AT_ONCE = 1 << 24  # numbers in one piece's logits: 64 MiB in fp32


def answer_loss(hidden: Tensor, weight: Tensor, targets: Tensor, *, at_once: int = LOGITS_AT_ONCE) -> Tensor:
    """Mean cross-entropy over targets that are not ``IGNORED``, a scalar in fp32; NaN when there is none, as in torch.

    Args:
        hidden: (n, width), what the vocabulary projection would be given.
        weight: (vocabulary, width) of the projection, frozen.
        targets: (n,) token ids.
    """
    if torch.is_autocast_enabled(hidden.device.type):
        weight = weight.to(torch.get_autocast_dtype(hidden.device.type))  # once, not for every piece
    loss: Tensor = _AnswerLoss.apply(hidden, weight, targets, max(1, at_once // len(weight)))
    return loss


class _AnswerLoss(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, targets: Tensor, rows: int) -> Tensor:
        count = (targets != IGNORED).sum()
        total = torch.zeros((), device=hidden.device)
        gradient = torch.empty_like(hidden)
        for start in range(0, len(hidden), rows):
            piece = slice(start, start + rows)
            logits = (hidden[piece].to(weight.dtype) @ weight.T).requires_grad_()
            with torch.enable_grad():
                loss = F.cross_entropy(logits.float(), targets[piece], ignore_index=IGNORED, reduction="sum")
            (share,) = torch.autograd.grad(loss, logits, 1 / count)
            total += loss.detach()
            gradient[piece] = share @ weight
        ctx.save_for_backward(gradient)
        return total / count

    @staticmethod
    def backward(ctx: Any, *towards: Tensor) -> tuple[Tensor | None, ...]:
        (gradient,) = ctx.saved_tensors
        return gradient * towards[0].to(gradient.dtype), None, None, None
