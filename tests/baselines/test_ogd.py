"""OGD: its directions, by value, and what its steps leave alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from baselines.gradients import gradient
from baselines.ogd import Ogd, OgdConfig, extended
from suite.errors import ConfigError
from trainables.method import Step
from trainables.stream_trainer import StreamTrainer

Make = Callable[..., StreamTrainer]


def ogd(trainer: StreamTrainer) -> Ogd:
    assert isinstance(trainer.method, Ogd)
    return trainer.method


def flat(parts: list[Any]) -> Tensor:
    return torch.cat([part.detach().flatten() for part in parts])


def test_columns_are_orthonormal_and_span_what_they_are_of() -> None:
    """Close vectors too; what is spanned already becomes a column of zeros, and the next vector loses nothing by it."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(50, 4, generator=generator)
    near = x[:, :1] + 1e-3 * torch.randn(50, 1, generator=generator)
    found = extended(extended(torch.empty(50, 0), x[:, :2]), torch.cat([near, x[:, 1:2] * 3, x[:, 2:]], dim=1))
    filled = found.any(dim=0)
    assert filled.tolist() == [True, True, True, False, True, True]
    s = found[:, filled]
    assert torch.allclose(s.T @ s, torch.eye(5), atol=1e-6)
    for vector in (*x.T, near[:, 0]):
        assert float((vector - s @ (s.T @ vector)).norm() / vector.norm()) < 1e-5


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_steps_are_orthogonal_to_what_is_kept(optimizer: str, make_either: Make) -> None:
    """The gradient that the optimizer sees and the step that it takes; S is of all rows that were asked for."""
    trainer = make_either(OgdConfig(rank=2, placement="qv@0", directions=5), optimizer=optimizer, batch_size=8)
    method = ogd(trainer)
    trainer.sample_steps(0, 2)
    assert method.basis.shape[1] == 5
    rows = next(trainer.learner.batches(0, "train", 10**6))
    found = torch.stack([flat(gradient(trainer.learner, one, method.factors())) for one in rows.one_by_one()])
    inside = (found @ method.basis).norm(dim=1) / found.norm(dim=1)
    assert int((inside > 1 - 1e-4).sum()) >= 5
    seen: list[Tensor] = []
    inner = method.after_backward

    def look(step: Step) -> None:
        raw = flat([p.grad for p in method.factors()])
        inner(step)
        projected = flat([p.grad for p in method.factors()])
        assert float((raw @ method.basis).norm()) > 1e-3 * float(raw.norm())
        assert float((projected @ method.basis).norm()) <= 1e-5 * float(raw.norm())
        seen.append(projected)

    method.after_backward = look  # type: ignore[method-assign]
    before = flat(method.factors())
    trainer.sample_steps(1, 3)
    move = flat(method.factors()) - before
    assert len(seen) == 3 and float(move.norm()) > 0
    assert float((move @ method.basis[:, :5]).norm()) <= 1e-5 * float(move.norm())


def test_old_answers_change_at_second_order_only(make_trainer: Make) -> None:
    """Of a row whose gradient is kept: a tenth of the step moves its loss a hundredth as far, not a tenth."""
    trainer = make_trainer(OgdConfig(rank=2, placement="qv@0", directions=1), optimizer="sgd", momentum=0.0, batch_size=8)
    method = ogd(trainer)
    trainer.sample_steps(0, 3)
    factors = method.factors()
    rows = list(next(trainer.learner.batches(0, "train", 10**6)).one_by_one())
    (kept,) = [
        one
        for one in rows
        if float((method.basis.T @ flat(gradient(trainer.learner, one, factors))).norm())
        > 0.9999 * float(flat(gradient(trainer.learner, one, factors)).norm())
    ][:1]
    other = next(trainer.learner.batches(1, "train", 8))
    direction = flat(gradient(trainer.learner, other, factors))
    direction = direction - method.basis @ (method.basis.T @ direction)
    direction /= direction.norm()
    start = [p.detach().clone() for p in factors]

    def moved(length: float) -> float:
        parts = (length * direction).split([p.numel() for p in factors])
        with torch.no_grad():
            for p, old, part in zip(factors, start, parts, strict=True):
                p.copy_(old - part.view_as(p))
            return float(trainer.learner.forward(kept).loss)

    here = moved(0.0)
    far, near = abs(moved(0.5) - here), abs(moved(0.05) - here)
    assert far > 1e-4
    assert near < 0.04 * far


def test_more_than_the_memory_holds_is_refused(make_trainer: Make) -> None:
    with pytest.raises(
        ConfigError,
        match=r"ogd: \d+ gradients of [\d,]+ numbers each take 0\.0\d*[1-9]\d* GiB, and method\.memory_gib allows 0\.0001",
    ):
        make_trainer(OgdConfig(memory_gib=0.0001))
