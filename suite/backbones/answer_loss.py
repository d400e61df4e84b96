"""Cross-entropy of answer tokens from hidden states, without ever holding all logits.

Rows are taken some at a time: their logits, their loss and its gradient for the hidden states in one go, so that memory does not
grow with rows times vocabulary. The vocabulary projection must be frozen. The plain twin is ``F.cross_entropy`` over all logits.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

IGNORED = -100  # target of positions that are not learned, as in torch
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
        learned = targets != IGNORED
        count = learned.sum()
        total = torch.zeros((), device=hidden.device)
        gradient = torch.empty_like(hidden)
        for start in range(0, len(hidden), rows):
            piece = slice(start, start + rows)
            target, counts = targets[piece].clamp(min=0)[:, None], learned[piece, None]
            logits = (hidden[piece].to(weight.dtype) @ weight.T).float()
            level = logits.logsumexp(dim=1, keepdim=True)
            total += ((level - logits.gather(1, target)) * counts).sum()
            share = logits.sub_(level).exp_()
            # Not scatter_add_, which has no kernel of fixed order on GPUs.
            share.index_put_(
                (torch.arange(len(share), device=share.device), target[:, 0]), -share.new_ones(()), accumulate=True
            )
            share *= counts / count
            gradient[piece] = share.to(weight.dtype) @ weight
        ctx.save_for_backward(gradient)
        return total / count

    @staticmethod
    def backward(ctx: Any, *towards: Tensor) -> tuple[Tensor | None, ...]:
        (gradient,) = ctx.saved_tensors
        return gradient * towards[0].to(gradient.dtype), None, None, None


def before_answers(hidden: Tensor, answers: Tensor) -> Tensor:
    """(n, width): of states (n, window, width) that predict ``answers`` (n, window), each row's that predicts its first token."""
    first = (answers != IGNORED).int().argmax(dim=1)
    return hidden[torch.arange(len(hidden), device=hidden.device), first]
