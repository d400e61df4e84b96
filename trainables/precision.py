"""Arithmetic of a run: precision of products in training and in evaluations, sums in a fixed order."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from suite.config import RunConfig
from suite.errors import ConfigError, SuiteError
from suite.parts import TrainingConfig
from trainables.cards import card_of, filled, has_bf16

WORKSPACE = "CUBLAS_WORKSPACE_CONFIG"  # of cuBLAS, which reads it at its first product
ORDERED_WORKSPACES = (":4096:8", ":16:8")  # with these its sums have a fixed order


def set_arithmetic(training: TrainingConfig, device: torch.device) -> None:
    """What a process computes a run with; call it before the first matrix product.

    Products and convolutions on GPUs are rounded to tf32 where ``training`` asks for it, nowhere else. If ``training.deterministic``, a GPU
    repeats a run's numbers: kernels whose sums come in any order (the backward passes of attention and of indexing) give way to those
    with a fixed one; torch refuses an operation that has none (``explained``). Merely warned, torch would leave attention as it is.
    A CPU keeps one order for one number of threads by itself.
    """
    _allow_tf32(training.precision == "tf32")
    if device.type == "cuda":
        if os.environ.get(WORKSPACE) not in ORDERED_WORKSPACES:
            os.environ[WORKSPACE] = ORDERED_WORKSPACES[0]
        torch.use_deterministic_algorithms(training.deterministic)
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # a whole write


def explained(error: Exception) -> Exception:
    """``error``, or what to do about it where torch has no kernel of fixed order, or a card too little memory."""
    if isinstance(error, torch.OutOfMemoryError) and torch.cuda.is_available():
        return SuiteError(filled(card_of(torch.device("cuda", torch.cuda.current_device()))))
    reason, found, _ = str(error).partition(" does not have a deterministic implementation")
    if not found and WORKSPACE not in reason:
        return error
    if not found:
        return ConfigError(
            f"{WORKSPACE}: was not set before the first product on the GPU; set it to {ORDERED_WORKSPACES[0]} and start again."
        )
    return ConfigError(
        f"training.deterministic: '{reason}' adds up in no fixed order; set training.deterministic=false for this model."
    )


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """bf16 autocast on ``device``, switched off for any other ``precision``.

    Without torch's own memory of casts, which knows a tensor by its object alone: a teacher, for which tensors point at other memory for one
    forward pass, would get the student's.
    """
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16", cache_enabled=False)


def resolved_precision(config: RunConfig, device: torch.device) -> RunConfig:
    """``config`` with what ``training.precision: auto`` is on ``device`` in its place: bf16 on a GPU whose cores have it, else fp32."""
    if config.training.precision != "auto":
        return config
    training = config.training.model_copy(update={"precision": "bf16" if has_bf16(device) else "fp32"})
    return config.model_copy(update={"training": training})


def evaluation_precision(training: TrainingConfig, device: torch.device) -> str:
    """What evaluations on ``device`` are computed in: ``bf16``, ``fp32`` or ``tf32``."""
    if training.eval_precision != "auto":
        return training.eval_precision
    return "bf16" if has_bf16(device) else training.precision


@contextmanager
def evaluating(training: TrainingConfig, device: torch.device) -> Iterator[None]:
    """The arithmetic of an evaluation, then again that of training."""
    precision = evaluation_precision(training, device)
    _allow_tf32(precision == "tf32")
    try:
        with autocast(device, precision):
            yield
    finally:
        _allow_tf32(training.precision == "tf32")


def _allow_tf32(allow: bool) -> None:
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = allow
