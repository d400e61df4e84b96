"""The rank that schedule and initialisation alone would leave, and the size of a low-rank update.

An update is Delta W = B A with a (r, in), b (out, r). Everything is computed from the factors in fp64; the (out, in)
product is never formed.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Literal, get_args

import torch
from torch import Tensor

from suite.errors import SuiteError, unknown_name

ThresholdOperator = Literal["soft", "codyra_release"]
GateInit = Literal["normal", "ones"]


def core(a: Tensor, b: Tensor) -> Tensor:
    """Small matrix with the singular values of B A, at most (r, r), fp64 on the CPU.

    With B = Q_b R_b and A^T = Q_a R_a, the product is Q_b (R_b R_a^T) Q_a^T.

    Raises:
        SuiteError: the shapes do not fit each other, or a value is not finite.
    """
    if a.ndim != 2 or b.ndim != 2 or a.shape[0] != b.shape[1]:
        raise SuiteError(f"low-rank factors: a {tuple(a.shape)}, b {tuple(b.shape)} do not fit; use a (r, in) and b (out, r).")
    rows = a.detach().to("cpu", torch.float64)
    columns = b.detach().to("cpu", torch.float64)
    if not (torch.isfinite(rows).all() and torch.isfinite(columns).all()):
        raise SuiteError("low-rank factors: a value is NaN or infinite; the run has diverged, so its updates have no size.")
    small: Tensor = torch.linalg.qr(columns, mode="r").R @ torch.linalg.qr(rows.T, mode="r").R.T
    return small


def update_size(updates: Iterable[tuple[Tensor, Tensor]]) -> float:
    """Frobenius norm over all layers jointly: sqrt(sum over layers of ||b a||_F^2).

    ``updates`` gives (a, b) per layer with gate and scale already folded into b. For a cumulative shift pass the
    stacked factors of all tasks of a layer as one pair (rows of a and columns of b joined), not one pair per task.
    The CoDyRA page prints such numbers (3.22 per task) without a definition; the joint norm is the suite's reading.
    """
    return math.sqrt(sum(float((core(a, b) ** 2).sum()) for a, b in updates))


def inner_product(one: tuple[Tensor, Tensor], other: tuple[Tensor, Tensor]) -> float:
    """<b1 a1, b2 a2> = sum of (b1^T b2) * (a1 a2^T), the sum of products entry by entry, in fp64 on the CPU."""
    (a1, b1), (a2, b2) = (tuple(factor.detach().to("cpu", torch.float64) for factor in pair) for pair in (one, other))
    return float(((b1.T @ b2) * (a1 @ a2.T)).sum())


def least_surviving_weight(thresholds: Sequence[float], operator: ThresholdOperator) -> float:
    """Smallest initial |gate| that is never set to zero when only the threshold operator acts on it.

    Soft threshold: |w| falls by kappa, 0 when |w| <= kappa, so the bound is sum kappa.
    Released CoDyRA operator: |w| falls by kappa, 0 when |w| < 2 kappa. Going back from the last step, the bound m
    before a step is max(2 kappa, m + kappa); the isolated point |w| = kappa, which the release leaves alone, has no
    weight under a continuous initialisation and is ignored.
    Source: Artificer-AI-Lab/CoDyRA, models/codyra.py and loralib/codyra.py.

    Args:
        thresholds: kappa of every application in order.

    Raises:
        SuiteError: unknown operator, or a negative threshold.
    """
    if operator not in get_args(ThresholdOperator):
        raise unknown_name("threshold operator", operator, get_args(ThresholdOperator))
    for kappa in thresholds:
        if not 0.0 <= kappa < math.inf:
            raise SuiteError(f"no-signal rank: threshold {kappa!r} is not a finite number from 0 up.")
    if operator == "soft":
        return math.fsum(thresholds)
    bound = 0.0
    for kappa in reversed(thresholds):
        bound = max(2.0 * kappa, bound + kappa)
    return bound


def no_signal_rank(rank: int, thresholds: Sequence[float], operator: ThresholdOperator, gate_init: GateInit) -> float:
    """Expected number of parts that survive the thresholds when no gradient ever reaches a gate.

    For N(0, 1) gates: rank * P(|w| > m) = rank * erfc(m / sqrt 2), m = ``least_surviving_weight``. For gates that start
    at 1: all or none. To be shown beside every effective rank, which means nothing without it.

    Raises:
        SuiteError: unknown operator or initialisation, negative rank or threshold.
    """
    if rank < 0:
        raise SuiteError(f"no-signal rank: rank {rank} is negative; give the rank that was offered.")
    if gate_init not in get_args(GateInit):
        raise unknown_name("gate initialisation", gate_init, get_args(GateInit))
    bound = least_surviving_weight(thresholds, operator)
    if gate_init == "ones":
        survives = bound < 1.0 if operator == "soft" else bound <= 1.0
        return float(rank) if survives else 0.0
    return rank * math.erfc(bound / math.sqrt(2.0))
