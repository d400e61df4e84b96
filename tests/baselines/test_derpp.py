"""DER++: stored answers are those of the moment, draws are independent, both terms count."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from baselines.derpp import Derpp, DerppConfig, bucket_divergence, places
from suite.backbones.learner import Output
from trainables.method import Step
from trainables.stream_trainer import StreamTrainer

SMALL = {"memory_size": 6, "inner": {"rank": 2}}


def learned(trainer: StreamTrainer, steps: int = 2) -> Derpp:
    """After the first task."""
    trainer.sample_steps(0, steps)
    assert isinstance(trainer.method, Derpp)
    return trainer.method


def test_stored_answers_are_the_networks_at_that_time(make_either: Callable[..., StreamTrainer]) -> None:
    trainer = make_either(DerppConfig(**SMALL))
    method = learned(trainer)
    assert len(method.answers) == len(method.memory) == 6
    context = trainer.context(1)
    batch = method.memory.draw(context, 12, "own", by="memory answers")
    learner = trainer.learner
    asked = batch.without_labels() if learner.kind == "clip" else batch
    assert float(method.distance(asked, learner.forward(asked))) < 1e-8
    if learner.kind == "clip":
        labelled = learner.forward(batch)
        cosines = labelled.logits.detach() / learner.compare(labelled.features[:1], labelled.features[:1]).detach()
        then = torch.stack([method.answers[row] for row in places(batch)])
        assert torch.allclose(cosines, then, atol=1e-6)
    for slot in method.slots:
        with torch.no_grad():
            slot.weight[slot.rows] *= 1.2
    assert float(method.distance(asked, learner.forward(asked))) > 1e-6


def test_the_divergence_is_that_of_the_formula() -> None:
    """p = (0.5, 0.25, rest 0.25), q = (0.25, 0.25, rest 0.5): KL = 0.5 log 2 - 0.25 log 2."""
    then, now = torch.tensor([[0.5, 0.25]]).log(), torch.tensor([[0.25, 0.25]]).log()
    assert float(bucket_divergence(then, now)) == pytest.approx(0.25 * float(torch.tensor(2.0).log()), rel=1e-5)
    assert float(bucket_divergence(then, then)) == pytest.approx(0.0, abs=1e-6)


def test_both_terms_count_and_are_drawn_independently(make_either: Callable[..., StreamTrainer]) -> None:
    trainer = make_either(DerppConfig(**SMALL, alpha=2.0, beta=0.5))
    method, learner = learned(trainer), trainer.learner
    learner.begin_task(1)
    context = trainer.context(1)
    method.begin_task(context)
    with torch.no_grad():
        for slot in method.slots:
            slot.branch("task").b += 0.02
    current = learner.batch(torch.ones(12, dtype=torch.int64), torch.arange(12), torch.Generator())
    batches = [current, *method.extra_batches(context, current)]
    assert [len(batch) for batch in batches] == [12, 6, 6]
    assert not torch.equal(batches[1].rows, batches[2].rows)
    outputs: list[Output] = [learner.forward(batch) for batch in batches]
    total = method.loss(Step(0, 1, 1e-3, batches, outputs))
    held = method.distance(batches[1], outputs[1])
    assert float(held.detach()) > 0
    expected = outputs[0].loss + 2.0 * held + 0.5 * outputs[2].loss
    assert float(total.detach()) == pytest.approx(float(expected.detach()), rel=1e-6)
    gradients = torch.autograd.grad(held, [slot.branch("task").b for slot in method.slots], allow_unused=True)
    assert max(float(g.abs().max()) for g in gradients if g is not None) > 1e-6


def test_answers_follow_their_rows_through_the_memory(make_trainer: Callable[..., StreamTrainer]) -> None:
    """Rows that leave the memory take their answers with them; state and memory come back together."""
    config = DerppConfig(memory_size=9, selection="balanced", inner={"rank": 2})
    trainer = make_trainer(config)
    method = learned(trainer)
    then = dict(method.answers)
    trainer.sample_steps(1, 1)
    assert len(method.memory) == len(method.answers) == 8
    assert all(torch.equal(method.answers[row], then[row]) for row in method.answers if row[0] == 0)
    again = config.build()
    again.attach(trainer.learner, trainer.random)
    again.load_state(method.state())
    assert again.answers.keys() == method.answers.keys()
    assert all(torch.equal(value, method.answers[row]) for row, value in again.answers.items())
