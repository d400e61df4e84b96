"""SoRA: its threshold, its penalty, and how it is CoDyRA with another schedule."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch

from baselines.sora import Sora, SoraConfig
from trainables.codyra import Codyra, CodyraConfig
from trainables.method import Step
from trainables.stream_trainer import StreamTrainer

Make = Callable[..., StreamTrainer]
PLACEMENT = "qv@0"


def test_a_constant_threshold_in_codyras_loop_is_sora(make_either: Make) -> None:
    """Step by step the same weights, with the same number of exact zeros, which are not merged."""
    one = make_either(SoraConfig(rank=6, alpha=None, placement=PLACEMENT, eta=0.0, xi=0.1))
    other = make_either(CodyraConfig(rank=6, placement=PLACEMENT, kappa_max=0.0))
    codyra = other.method
    assert isinstance(codyra, Codyra)
    codyra._schedule = lambda steps, task: [0.1] * steps  # type: ignore[method-assign]
    for index in range(2):
        one.sample_steps(index, 4)
        other.sample_steps(index, 4)
        ranks = one.method.facts().effective_rank
        assert ranks == codyra.facts().effective_rank
        assert 0 < sum(ranks.values()) < 6 * len(ranks)
        for (added,), (twin,) in zip(one.journal.tasks[-1].values(), other.journal.tasks[-1].values(), strict=True):
            assert torch.equal(added.b, twin.b)
    no_signal = one.method.facts().no_signal_rank
    assert no_signal == pytest.approx(6 * math.erfc(8 * 0.1 / math.sqrt(2)), rel=1e-6)  # of the budget's 8 steps


def test_the_penalty_is_the_mean_absolute_gate(make_trainer: Make) -> None:
    """Its gradient for a gate is eta sign(w) / number of gates, and none for A and B."""
    trainer = make_trainer(SoraConfig(rank=4, placement=PLACEMENT, eta=3.0))
    method = trainer.method
    assert isinstance(method, Sora)
    trainer.learner.begin_task(0)
    method.begin_task(trainer.context(0))
    batch = trainer.learner.batch(torch.zeros(4, dtype=torch.int64), torch.arange(4), torch.Generator())
    output = trainer.learner.forward(batch)
    term = method.loss(Step(0, 1, 0.0, [batch], [output])) - output.loss
    gates = method.gates()
    assert float(term) == pytest.approx(3 * float(torch.cat(gates).abs().mean()), rel=1e-5)
    for gate, found in zip(gates, torch.autograd.grad(term, gates), strict=True):
        assert torch.allclose(found, 3 * gate.sign() / (4 * len(gates)), atol=1e-6)
    assert {slot.branch("task").scale for slot in method.slots} == {4.0}
