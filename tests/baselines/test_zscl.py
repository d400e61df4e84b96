"""ZSCL: its teacher is the pretrained network, its anchor a distance of weights, its average that of weight ensembling."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from baselines.weight_shift import Anchor
from baselines.zscl import TEACHER, Zscl, ZsclConfig, ZsclNoReference, ZsclNoReferenceConfig
from suite.config import RunConfig
from suite.errors import ConfigError
from trainables.method import Step
from trainables.run import RunContext, execute
from trainables.stream_trainer import StreamTrainer


def test_without_a_folder_it_is_refused(make_config: Callable[..., RunConfig], run_context: RunContext) -> None:
    with pytest.raises(ConfigError, match="needs a reference set of pictures and captions"):
        execute(make_config("zscl"), run_context)


def begun(trainer: StreamTrainer, task: int) -> tuple[Any, Step]:
    """The method at the beginning of a task and a first step, with low-rank parts that have moved a little."""
    learner, method, context = trainer.learner, trainer.method, trainer.context(task)
    learner.begin_task(task)
    method.begin_task(context)
    with torch.no_grad():
        for slot in method.slots:
            slot.branch("task").b += 0.01
    current = learner.batch(torch.full((8,), task), torch.arange(8), torch.Generator())
    batches = [current, *method.extra_batches(context, current)]
    return method, Step(0, 8, 1e-3, batches, [learner.forward(batch) for batch in batches])


def test_the_references_are_embedded_by_the_pretrained_network(make_referring: Callable[..., StreamTrainer]) -> None:
    trainer, untouched = (make_referring(ZsclConfig(inner={"rank": 2})) for _ in range(2))
    trainer.sample_steps(0, 3)
    method, step = begun(trainer, 1)
    assert isinstance(method, Zscl)
    learner = untouched.learner
    assert learner.references is not None
    images = learner.forward(learner.references.batch(torch.arange(9))).features
    texts = learner.encode_texts(learner.references.texts)
    assert torch.equal(method.images, images)
    assert torch.equal(method.texts, texts)
    batch, output = step.batches[-1], step.outputs[-1]
    assert torch.equal(batch.inputs[TEACHER], images[batch.rows])
    assert not torch.allclose(output.features, images[batch.rows], atol=1e-3)
    assert method.facts().carried_bytes == 4 * (images.numel() + texts.numel())


def test_without_references_the_teacher_is_the_pretrained_network(make_trainer: Callable[..., StreamTrainer]) -> None:
    """Of any inner method, also in the second task, and with the prompts of the tasks begun."""
    for inner in ("lora", "finetune"):
        config = ZsclNoReferenceConfig(inner=inner)
        trainer, untouched = make_trainer(config), make_trainer(config)
        trainer.sample_steps(0, 3)
        trainer.learner.begin_task(1)
        method = trainer.method
        assert isinstance(method, ZsclNoReference)
        method.begin_task(trainer.context(1))
        current = trainer.learner.batch(torch.ones(8, dtype=torch.int64), torch.arange(8), torch.Generator())
        step = Step(0, 8, 1e-3, [current], [trainer.learner.forward(current)])
        student, teacher = method._pictures(step, [])
        assert torch.equal(teacher, untouched.learner.forward(current).features)
        assert not torch.allclose(student, teacher, atol=1e-4)
        assert torch.equal(method.texts, untouched.learner.class_features((0, 1), judged=False))


@pytest.mark.parametrize(
    "inner", [{"name": "lora", "rank": 3}, {"name": "codyra", "rank": 3, "kappa_levels": 2}, {"name": "finetune"}]
)
def test_the_anchor_is_the_distance_of_dense_weights(inner: dict[str, Any], make_trainer: Callable[..., StreamTrainer]) -> None:
    trainer = make_trainer(ZsclNoReferenceConfig(inner=inner, every=0))
    method, network = trainer.method, trainer.learner.network
    trainer.learner.begin_task(0)
    method.begin_task(trainer.context(0))
    anchor = Anchor(method, network)
    assert float(anchor.squared_move().detach()) == 0.0
    before = {name: value.clone() for name, value in network.state_dict().items()}
    parameters = [p for group in method.parameter_groups() for p in group.parameters]
    noise = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for p in parameters:
            p += 0.05 * torch.randn(p.shape, generator=noise)
    moves: list[Tensor] = []
    for slot in method.slots:
        factors = slot.branch("task").factors()
        assert factors is not None
        moves.append((factors.b @ factors.a).square().sum())
    if inner["name"] == "finetune":
        moves = [(value - before[name]).square().sum() for name, value in network.state_dict().items()]
    value = anchor.squared_move()
    assert float(value.detach()) == pytest.approx(float(torch.stack(moves).sum()), rel=1e-4)
    gradients = torch.autograd.grad(value, parameters, allow_unused=True)
    assert all(gradient is not None for gradient in gradients)


@pytest.mark.parametrize(
    "config", [ZsclConfig(inner={"rank": 4}), ZsclNoReferenceConfig(inner={"rank": 4})], ids=lambda c: c.name
)
def test_both_terms_are_felt(config: ZsclNoReferenceConfig, make_referring: Callable[..., StreamTrainer]) -> None:
    found = {}
    for name, changed in {
        "both": {},
        "anchor": {"weight": 0.0, "transposed_weight": 0.0},
        "distilled": {"anchor": 0.0},
    }.items():
        method, step = begun(make_referring(config.model_copy(update=changed)), 0)
        own = method._split(step)[1]
        term = method.term(step, own)
        b = [slot.branch("task").b for slot in method.slots]
        gradients = zip(torch.autograd.grad(term, b, allow_unused=True), b, strict=True)
        found[name] = torch.cat([(torch.zeros_like(p) if g is None else g).flatten() for g, p in gradients])
        assert float(found[name].abs().max()) > 1e-3
    assert torch.allclose(found["both"], found["anchor"] + found["distilled"], atol=1e-5)


def test_the_transposed_term_alone_moves_images_too(make_referring: Callable[..., StreamTrainer]) -> None:
    """And neither direction reaches the text encoder."""
    method, step = begun(make_referring(ZsclConfig(inner={"rank": 4}, weight=0.0, anchor=0.0)), 0)
    term = method.term(step, method._split(step)[1])
    towers = {
        tower: [slot.branch("task").b for slot in method.slots if slot.name.startswith(tower)] for tower in ("vision", "text")
    }
    largest = {
        tower: max(
            (float(g.abs().max()) for g in torch.autograd.grad(term, b, allow_unused=True, retain_graph=True) if g is not None),
            default=0.0,
        )
        for tower, b in towers.items()
    }
    assert largest["vision"] > 1e-4
    assert largest["text"] == 0.0
