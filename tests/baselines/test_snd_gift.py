"""SnD chooses its teacher picture by picture; GIFT distils and matches pairs and holds what they depend on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from baselines.gift_reference import CAPTIONS, GiftReference, GiftReferenceConfig
from baselines.snd import Snd, SndConfig
from baselines.zscl import TEACHER
from suite.errors import ConfigError
from trainables.method import Step
from trainables.stream_trainer import StreamTrainer


def begun(trainer: StreamTrainer, task: int) -> tuple[Any, Step]:
    """The method at the beginning of a task and its first step."""
    learner, method, context = trainer.learner, trainer.method, trainer.context(task)
    learner.begin_task(task)
    method.begin_task(context)
    current = learner.batch(torch.full((8,), task), torch.arange(8), torch.Generator())
    batches = [current, *method.extra_batches(context, current)]
    return method, Step(0, 8, 1e-3, batches, [learner.forward(batch) for batch in batches])


def test_the_younger_teacher_takes_over_where_it_has_moved(make_referring: Callable[..., StreamTrainer]) -> None:
    """In the first task the teachers are one; later w = min(1, reach d) of every picture, and 0 or 1 at the ends."""
    trainer = make_referring(SndConfig(inner={"rank": 4}, reach=2.0), lr=1e-2)
    method, step = begun(trainer, 0)
    assert isinstance(method, Snd)
    pretrained = step.batches[-1].inputs[TEACHER]
    assert torch.allclose(method._pictures(step, method._split(step)[1])[1], pretrained, atol=1e-6)
    method.end_task(trainer.context(0))
    trainer.sample_steps(0, 8)
    method, step = begun(trainer, 1)
    pretrained, younger = (
        step.batches[-1].inputs[TEACHER],
        step.outputs[-1].features.detach(),
    )  # nothing is learned of the task yet
    distance = (younger - pretrained).norm(dim=1, keepdim=True)
    assert float(distance.min()) > 1e-3
    expected = pretrained + (2.0 * distance).clamp(max=1) * (younger - pretrained)
    assert torch.allclose(method._pictures(step, method._split(step)[1])[1], expected, atol=1e-5)
    method.reach = 1e6
    assert torch.allclose(method._pictures(step, method._split(step)[1])[1], younger, atol=1e-5)


def test_pairs_are_distilled_and_matched(make_referring: Callable[..., StreamTrainer]) -> None:
    """At the start the student is the teacher: D is the teacher's entropy and has no gradient, so matching alone moves anything."""
    trainer = make_referring(GiftReferenceConfig(inner={"rank": 4}, anchor=0.0))
    method, step = begun(trainer, 0)
    assert isinstance(method, GiftReference)
    (batch, output), learner = method._split(step)[1][0], trainer.learner
    assert learner.references is not None
    assert torch.equal(batch.inputs[CAPTIONS], learner.references.texts[batch.rows])
    logits = learner.compare(output.features, learner.encode_texts(batch.inputs[CAPTIONS])).detach()
    places = torch.arange(len(batch))
    matching = (F.cross_entropy(logits, places) + F.cross_entropy(logits.T, places)) / 2
    shares = [(z / 2).softmax(dim=1) for z in (logits, logits.T)]
    entropy = sum(-4 * (p * p.log()).sum(dim=1).mean() for p in shares)
    value = method.term(step, method._split(step)[1])
    assert value is not None
    assert float(value.detach()) == pytest.approx(float(entropy + 0.25 * matching), rel=1e-4)
    for tower in ("vision", "text"):
        b = [slot.branch("task").b for slot in method.slots if slot.name.startswith(tower)]
        found = torch.autograd.grad(value, b, allow_unused=True, retain_graph=True)
        assert max(float(g.abs().max()) for g in found if g is not None) > 1e-5


def test_the_anchor_weighs_entries_by_their_squared_gradients(make_referring: Callable[..., StreamTrainer]) -> None:
    """Nothing at the start; moved by 1 everywhere the weights g^2 / mean g^2 sum to the number of entries."""
    trainer = make_referring(GiftReferenceConfig(inner={"rank": 2, "placement": "qv"}))
    method, _ = begun(trainer, 0)
    tensors = [p for p, _ in method.start]
    of_pairs = torch.stack([(p * torch.arange(p.numel()).view_as(p)).sum() for p in tensors]).sum()
    assert float(method.held(of_pairs).detach()) == 0.0
    with torch.no_grad():
        for p in tensors:
            p += 1
    total = method.held(of_pairs)
    assert float(total.detach()) == pytest.approx(sum(p.numel() for p in tensors), rel=1e-4)
    (gradient,) = torch.autograd.grad(total, tensors[:1])
    squares = torch.arange(tensors[0].numel()).view_as(tensors[0]).square()
    mean = sum(torch.arange(p.numel()).square().sum() for p in tensors) / sum(p.numel() for p in tensors)
    assert torch.allclose(gradient, 2 * squares / mean, rtol=1e-4)


def test_pictures_without_a_caption_each_are_refused(make_referring: Callable[..., StreamTrainer]) -> None:
    trainer = make_referring(SndConfig())
    references = trainer.learner.references
    assert references is not None
    references.texts = references.texts[:-2]
    with pytest.raises(ConfigError, match="has 9 pictures and 7 captions; give every picture one line"):
        GiftReferenceConfig().build().attach(trainer.learner, trainer.random)
