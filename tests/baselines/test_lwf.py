"""Distillation towards the network of before the task: its value, its gradient, its teacher."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest
import torch
from torch import Tensor

from baselines.distillation import both_ways, distillation
from baselines.lwf import Lwf, LwfConfig
from baselines.lwf_vr import LwfVr, LwfVrConfig
from suite.backbones.learner import Batch
from suite.errors import ConfigError
from trainables.method import Step
from trainables.precision import autocast
from trainables.stream_trainer import StreamTrainer


def test_the_value_is_that_of_the_formula() -> None:
    """Z = [[2, 0], [0, 2]], Z* = [[0, 2], [0, 2]], T = 2: a share p = 1 / (1 + e) of the teacher is on the first text."""
    student, teacher = torch.tensor([[2.0, 0.0], [0.0, 2.0]]), torch.tensor([[0.0, 2.0], [0.0, 2.0]])
    p, log = 1 / (1 + torch.e), torch.log(torch.tensor(1 + torch.e))
    first = p * (log - 1) + (1 - p) * log  # log shares of Z / T: 1 - log(1 + e) and -log(1 + e)
    second = p * log + (1 - p) * (log - 1)
    assert float(distillation(student, teacher, 2.0)) == pytest.approx(float(4 * (first + second) / 2))
    transposed = 4 * (log - 0.5)  # the teacher's columns are equal: half of every text on each image
    assert float(both_ways(student, teacher, 2.0, 0.0, 0.5)) == pytest.approx(float(0.5 * transposed))
    assert float(distillation(student, student, 2.0)) > 0  # the entropy is left


def one_step(trainer: StreamTrainer, index: int = 0) -> tuple[Step, Batch]:
    learner = trainer.learner
    batch = learner.batch(torch.full((8,), index), torch.arange(8), torch.Generator())
    return Step(0, 8, 1e-3, [batch], [learner.forward(batch)]), batch


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("inner", ["lora", "sdlora", "finetune"])
def test_the_teacher_is_the_network_as_the_task_began(
    inner: str, precision: str, make_either: Callable[..., StreamTrainer]
) -> None:
    """Of any inner method, also after steps, bit for bit; and nothing of the student is changed by asking it.

    In bf16 neither gets what was rounded for the other in the same step.
    """
    trainer = make_either(LwfConfig(inner=inner), steps=3, lr=1e-3)
    device = trainer.learner.device
    trainer.sample_steps(0, 3)
    trainer.learner.begin_task(1)
    trainer.method.begin_task(trainer.context(1))
    with autocast(device, precision):
        step, batch = one_step(trainer, 1)
    before = step.outputs[0].logits.detach().clone()
    method = trainer.method
    assert isinstance(method, Lwf)
    assert method.teacher is not None
    with torch.no_grad():
        for tensor in method.teacher.tensors:
            tensor += 1e-2
    with autocast(device, precision):
        moved = trainer.learner.forward(batch).logits.detach()
        with method.teacher.speaking():
            said = trainer.learner.forward(batch).logits
        again = trainer.learner.forward(batch).logits
    assert torch.equal(said, before)
    assert not torch.allclose(moved, before, atol=1e-3)
    assert torch.equal(again, moved)


def test_a_graph_survives_the_teachers_pass(make_trainer: Callable[..., StreamTrainer]) -> None:
    """Gradients of a pass are the same whether or not the teacher spoke before they were taken."""
    trainer = make_trainer(LwfConfig(inner={"rank": 2}))
    trainer.learner.begin_task(0)
    trainer.method.begin_task(trainer.context(0))
    teacher = trainer.method.teacher  # type: ignore[attr-defined]
    parameters = [p for group in trainer.method.parameter_groups() for p in group.parameters]
    with torch.no_grad():
        for p in parameters:
            p += 0.01
    found = []
    for asked in (False, True):
        step, batch = one_step(trainer)
        if asked:
            with teacher.speaking():
                trainer.learner.forward(batch)
        found.append(torch.autograd.grad(step.outputs[0].loss, parameters))
    assert all(torch.equal(one, other) for one, other in zip(*found, strict=True))


CONFIGS: list[LwfConfig] = [
    LwfConfig(),
    LwfConfig(texts="current", transposed_weight=0.0),
    LwfVrConfig(number=16),
    LwfVrConfig(number=16, texts="current"),
]


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: f"{config.name}-{config.texts}")
def test_the_terms_gradient_is_zero_at_the_start_and_not_later(
    config: LwfConfig, make_trainer: Callable[..., StreamTrainer]
) -> None:
    trainer = make_trainer(config)
    trainer.learner.begin_task(0)
    trainer.method.begin_task(trainer.context(0))
    groups: dict[str, list[Tensor]] = {tower: [] for tower in ("vision", "text")}
    for slot in trainer.method.slots:
        groups[slot.name.split(".")[0]].append(slot.branch("task").b)

    def largest(tower: str) -> float:
        step, _ = one_step(trainer)
        term = trainer.method.term(step, [])  # type: ignore[attr-defined]
        found = torch.autograd.grad(term, groups[tower], allow_unused=True)
        return max((float(g.abs().max()) for g in found if g is not None), default=0.0)

    assert largest("vision") < 1e-5
    with torch.no_grad():
        for some in groups.values():
            for b in some:
                b += 0.01
    assert largest("vision") > 1e-3
    assert (largest("text") > 1e-3) == (config.texts == "current")


def test_answer_tokens_are_distilled_on_texts(make_either: Callable[..., StreamTrainer]) -> None:
    """A larger weight keeps the answers nearer to those of before the task."""
    moved = []
    for weight in (0.0, 30.0):
        trainer = make_either(LwfConfig(weight=weight, transposed_weight=0.0, inner={"rank": 4}), steps=8)
        trainer.learner.begin_task(0)
        batch = one_step(trainer)[1]
        before = trainer.learner.distil_logits(batch, trainer.learner.forward(batch)).softmax(dim=1)
        trainer.sample_steps(0, 8)
        after = trainer.learner.distil_logits(batch, trainer.learner.forward(batch)).softmax(dim=1)
        moved.append(float((after - before).abs().mean().detach()))
    assert moved[1] < 0.9 * moved[0]


def test_random_texts_are_words_between_start_and_end(make_trainer: Callable[..., StreamTrainer]) -> None:
    trainer = make_trainer(LwfVrConfig(number=300, words=5))
    tokens = trainer.learner.random_texts(300, 5, torch.Generator().manual_seed(0))
    named = trainer.learner.prompts._train[0]  # type: ignore[attr-defined]
    start, end = int(named[0, 0]), int(named.max())
    assert tokens.shape == (300, 7)
    assert (tokens[:, 0] == start).all()
    assert (tokens[:, -1] == end).all()
    words = set(tokens[:, 1:-1].flatten().tolist())
    assert not words & {0, start, end}
    assert max(words) < end
    assert len(words) > 0.7 * (end - 2)
    with pytest.raises(ConfigError, match="use at most"):
        trainer.learner.random_texts(1, 1000, torch.Generator())


def test_texts_are_drawn_once_per_task_and_by_the_seed(make_trainer: Callable[..., StreamTrainer]) -> None:
    drawn: list[Any] = []
    for seed in (0, 0, 1):
        trainer = make_trainer(LwfVrConfig(number=4, inner={"rank": 2}), seed=seed)
        assert isinstance(trainer.method, LwfVr)
        for task in range(2):
            trainer.sample_steps(task, 1)
            drawn.append(deepcopy(trainer.method.tokens))
    assert torch.equal(drawn[0], drawn[2])
    assert torch.equal(drawn[1], drawn[3])
    assert not torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[4])
