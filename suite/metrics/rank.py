"""Effective rank of a low-rank update, the rank that schedule and initialisation alone would leave, and update size.

An update is Delta W = B diag(gate) A with a (r, in), b (out, r), gate (r,) or None. Everything is computed from the
factors in fp64; the (out, in) product is never formed.
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

RELATIVE_TOLERANCE = 1e-6  # singular values below this share of the largest one do not count as rank


def core(a: Tensor, b: Tensor, gate: Tensor | None = None) -> Tensor:
    """Small matrix with the singular values of B diag(gate) A, at most (r, r), fp64 on the CPU.

    With B diag(gate) = Q_b R_b and A^T = Q_a R_a, the product is Q_b (R_b R_a^T) Q_a^T.

    Raises:
        SuiteError: the shapes do not fit each other, or a value is not finite.
    """
    if a.ndim != 2 or b.ndim != 2 or a.shape[0] != b.shape[1] or (gate is not None and gate.shape != a.shape[:1]):
        shapes = f"a {tuple(a.shape)}, b {tuple(b.shape)}, gate {None if gate is None else tuple(gate.shape)}"
        raise SuiteError(f"low-rank factors: {shapes} do not fit; use a (r, in), b (out, r) and gate (r,).")
    rows = a.detach().to("cpu", torch.float64)
    columns = b.detach().to("cpu", torch.float64)
    if gate is not None:
        weights = gate.detach().to("cpu", torch.float64)
        kept = weights != 0
        rows, columns = rows[kept], columns[:, kept] * weights[kept]
    if not (torch.isfinite(rows).all() and torch.isfinite(columns).all()):
        raise SuiteError("low-rank factors: a value is NaN or infinite; the run has diverged, so it has no rank.")
    small: Tensor = torch.linalg.qr(columns, mode="r").R @ torch.linalg.qr(rows.T, mode="r").R.T
    return small


def _singular_values(a: Tensor, b: Tensor, gate: Tensor | None) -> Tensor:
    values: Tensor = torch.linalg.svdvals(core(a, b, gate))
    return values


def active_rank(a: Tensor, gate: Tensor | None = None) -> int:
    """Parts with a non-zero gate; the full rank r when there is no gate. a (r, in)."""
    return a.shape[0] if gate is None else int(torch.count_nonzero(gate))


def numerical_rank(a: Tensor, b: Tensor, gate: Tensor | None = None) -> int:
    """Singular values of the update above 1e-6 of the largest; 0 for a zero update."""
    values = _singular_values(a, b, gate)
    if values.numel() == 0 or values[0] == 0:
        return 0
    return int((values > RELATIVE_TOLERANCE * values[0]).sum())


def stable_rank(a: Tensor, b: Tensor, gate: Tensor | None = None) -> float:
    """||Delta W||_F^2 / ||Delta W||_2^2: between 1 and the rank, insensitive to tiny parts; 0 for a zero update."""
    values = _singular_values(a, b, gate)
    if values.numel() == 0 or values[0] == 0:
        return 0.0
    return float(((values / values[0]) ** 2).sum())


def update_size(updates: Iterable[tuple[Tensor, Tensor]]) -> float:
    """Frobenius norm over all layers jointly: sqrt(sum over layers of ||b a||_F^2).

    ``updates`` gives (a, b) per layer with gate and scale already folded into b. For a cumulative shift pass the
    stacked factors of all tasks of a layer as one pair (rows of a and columns of b joined), not one pair per task.
    The CoDyRA page prints such numbers (3.22 per task) without a definition; the joint norm is the suite's reading.
    """
    return math.sqrt(sum(float((core(a, b) ** 2).sum()) for a, b in updates))


def least_surviving_weight(thresholds: Sequence[float] | float, operator: ThresholdOperator = "soft") -> float:
    """Smallest initial |gate| that is never set to zero when only the threshold operator acts on it.

    Soft threshold: |w| falls by kappa, 0 when |w| <= kappa, so the bound is sum kappa.
    Released CoDyRA operator: |w| falls by kappa, 0 when |w| < 2 kappa. Going back from the last step, the bound m
    before a step is max(2 kappa, m + kappa); the isolated point |w| = kappa, which the release leaves alone, has no
    weight under a continuous initialisation and is ignored.
    Source: Artificer-AI-Lab/CoDyRA, models/codyra.py and loralib/codyra.py.

    Args:
        thresholds: kappa of every application in order, or their sum (soft operator only).

    Raises:
        SuiteError: unknown operator, a negative threshold, or a sum where the whole schedule is needed.
    """
    if operator not in get_args(ThresholdOperator):
        raise unknown_name("threshold operator", operator, get_args(ThresholdOperator))
    steps = [float(thresholds)] if isinstance(thresholds, int | float) else [float(kappa) for kappa in thresholds]
    for kappa in steps:
        if not 0.0 <= kappa < math.inf:
            raise SuiteError(f"no-signal rank: threshold {kappa!r} is not a finite number from 0 up.")
    if operator == "soft":
        return math.fsum(steps)
    if isinstance(thresholds, int | float):
        raise SuiteError(
            "no-signal rank: the operator 'codyra_release' depends on every threshold, not on their sum; give the list."
        )
    bound = 0.0
    for kappa in reversed(steps):
        bound = max(2.0 * kappa, bound + kappa)
    return bound


def no_signal_rank(
    rank: int,
    thresholds: Sequence[float] | float,
    operator: ThresholdOperator = "soft",
    gate_init: GateInit = "normal",
) -> float:
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
