"""Arithmetic of a run: precision of fp32 products on GPUs and of evaluations, sums in a fixed order."""

from __future__ import annotations

import os

import torch

from suite.config import TrainingConfig


def set_product_precision(training: TrainingConfig) -> None:
    """Let fp32 matrix products and convolutions on GPUs be rounded to tf32 where ``training`` asks for it, nowhere else."""
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = training.precision == "tf32"


def fix_order_of_sums(device: torch.device) -> None:
    """Let a GPU repeat a run's numbers: kernels whose sums come in any order give way to those with a fixed one.

    Of the kernels a step needs these are the backward passes of attention and of indexing; where torch has no ordered kernel it warns.
    Call it before the first matrix product. A CPU keeps one order for one number of threads by itself.
    """
    if device.type == "cuda":
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True, warn_only=True)
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # a whole write


def evaluation_precision(training: TrainingConfig, device: torch.device) -> str:
    """What evaluations on ``device`` are really computed in: ``bf16``, or ``fp32`` with products as in training (``tf32``)."""
    asked: str = training.eval_precision
    if asked == "auto":
        asked = "bf16" if device.type == "cuda" and torch.cuda.is_bf16_supported() else training.precision
    return "tf32" if asked == "fp32" and training.precision == "tf32" else asked
