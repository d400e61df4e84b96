"""Precision of the numbers of a run: of fp32 products on GPUs and of evaluations."""

from __future__ import annotations

import torch

from suite.config import TrainingConfig


def set_product_precision(training: TrainingConfig) -> None:
    """Let fp32 matrix products and convolutions on GPUs be rounded to tf32 where ``training`` asks for it, nowhere else."""
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = training.precision == "tf32"


def evaluation_precision(training: TrainingConfig, device: torch.device) -> str:
    """What evaluations on ``device`` are really computed in: ``bf16``, or ``fp32`` with products as in training (``tf32``)."""
    asked: str = training.eval_precision
    if asked == "auto":
        asked = "bf16" if device.type == "cuda" and torch.cuda.is_bf16_supported() else training.precision
    return "tf32" if asked == "fp32" and training.precision == "tf32" else asked
