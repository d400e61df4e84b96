"""The losses of image classification by text prompts."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def cross_entropy(logits: Tensor, targets: Tensor, smoothing: float) -> Tensor:
    """Mean over rows of -(1 - s) log p(target) - s mean of log p over the row's classes; classes at minus infinity are not in the row.

    Args:
        logits: (n, classes).
        targets: (n,) columns.
        smoothing: s, from 0 up to 1, as torch defines label smoothing.
    """
    if smoothing == 0:
        return F.cross_entropy(logits, targets)
    log_shares = F.log_softmax(logits, dim=1)
    judged = torch.isfinite(logits)
    spread = -(log_shares.masked_fill(~judged, 0.0).sum(dim=1) / judged.sum(dim=1))
    return ((1 - smoothing) * F.nll_loss(log_shares, targets, reduction="none") + smoothing * spread).mean()


def text_to_image_loss(logits: Tensor, targets: Tensor, count: int) -> Tensor:
    """-(1/K) sum_b log softmax over the batch's images of row y_b, a scalar.

    Rows of classes that are absent from the batch contribute nothing but to K, so they are not computed.
    Source: Artificer-AI-Lab/CoDyRA, models/codyra.py.

    Args:
        logits: (n, classes).
        targets: (n,) columns.
        count: K, the seen and the current classes (release), or the images.
    """
    log_share = F.log_softmax(logits.T, dim=1)  # (classes, n): over the images
    picked = log_share[targets, torch.arange(len(targets), device=targets.device)]
    return -picked.sum() / count
