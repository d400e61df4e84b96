"""Moments and gradients at the slots, by hand and against a full computation."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from baselines.lora import LoraConfig
from suite.backbones.causal_lm import MiniLMConfig
from suite.benchmarks.mini_trace import MiniTraceConfig
from suite.lowrank.placement import Placement
from trainables.stream_trainer import StreamTrainer


@pytest.fixture
def trainer(make_trainer: Callable[..., StreamTrainer]) -> StreamTrainer:
    return make_trainer(LoraConfig(rank=2))


def test_moments_of_images_are_means_over_all_tokens(trainer: StreamTrainer) -> None:
    """Of the first block's attention input: layer norm of the embedded patches, computed here from the stock modules."""
    learner = trainer.learner
    batches = list(learner.batches(0, "train", 7))
    slots = learner.place(Placement.model_validate("vision:qkv"))
    found = learner.moments(batches, slots)
    visual = learner.network.visual
    wanted = torch.zeros(found["vision.0.q"].shape, dtype=torch.float64)
    count = 0
    with torch.no_grad():
        for batch in batches:
            x = visual.transformer.resblocks[0].ln_1(visual._embeds(batch.inputs["pixels"])).flatten(0, 1).double()
            wanted += x.T @ x
            count += len(x)
    assert torch.allclose(found["vision.0.q"], wanted / count, rtol=1e-5, atol=1e-6)
    assert found["vision.0.q"] is found["vision.0.k"] is found["vision.0.v"]
    assert set(found) == {slot.name for slot in slots}
    assert not learner.plain


def test_padding_of_prompts_does_not_count(trainer: StreamTrainer) -> None:
    """The trace of the moment is the mean of squared norms: every normalised token of a layer norm with unit gain weighs its width."""
    learner = trainer.learner
    batch = next(learner.batches(0, "train", 4))
    slots = learner.place(Placement.model_validate("text:q"))
    found = learner.moments([batch], slots)["text.0.q"]
    tokens = learner.prompts.tokenized_again((0,))
    network = learner.network
    with torch.no_grad():
        x = network.token_embedding(tokens) + network.positional_embedding[: tokens.shape[1]]
        x = network.transformer.resblocks[0].ln_1(x)
    kept = torch.arange(tokens.shape[1]) <= tokens.argmax(dim=1)[:, None]
    assert int(kept.sum()) < kept.numel()
    assert float(found.trace()) == pytest.approx(float(x[kept].double().square().sum() / kept.sum()), rel=1e-5)


def test_gradients_are_those_of_the_frozen_weights(trainer: StreamTrainer) -> None:
    learner = trainer.learner
    batches = list(learner.batches(0, "train", 5))
    slots = learner.place(Placement.model_validate("vision:qo"))
    found = learner.weight_gradients(batches, slots)
    weight = learner.slots["vision.0.q"].weight
    weight.requires_grad_(True)
    rows = sum(len(batch) for batch in batches)
    loss = sum(learner.forward(batch).loss * len(batch) for batch in batches) / rows
    (wanted,) = torch.autograd.grad(loss, [weight])
    weight.requires_grad_(False)
    width = weight.shape[1]
    assert torch.allclose(found["vision.0.q"], wanted[:width], atol=1e-6)
    assert found["vision.0.q"].abs().max() > 1e-6
    assert not any(slot.weight.requires_grad for slot in learner.slots.values())


def test_squares_are_taken_example_by_example(trainer: StreamTrainer) -> None:
    learner = trainer.learner
    batch = next(learner.batches(0, "train", 3))
    slots = learner.place(Placement.model_validate("vision:q"))[:1]
    squares = learner.weight_gradients([batch], slots, per_example=True)
    ones = [learner.weight_gradients([one], slots) for one in batch.one_by_one()]
    name = slots[0].name
    assert torch.allclose(squares[name], torch.stack([one[name].square() for one in ones]).mean(dim=0), atol=1e-9)


def test_language_models_count_no_padding(tmp_path: Path) -> None:
    stream = MiniTraceConfig().build(tmp_path)
    learner = MiniLMConfig().build(stream, torch.device("cpu"))
    batch = learner.batch(torch.tensor([0, 0, 5, 5]), torch.arange(4), torch.Generator())
    slots = learner.place(Placement.model_validate("qk"))
    moments = learner.moments([batch], slots)
    assert moments["layers.0.q"] is moments["layers.0.k"] is not moments["layers.1.q"]
    found = moments["layers.0.q"]
    mask = batch.inputs["attention_mask"].bool()
    layer = learner.network.model
    with torch.no_grad():
        x = layer.layers[0].input_layernorm(layer.embed_tokens(batch.inputs["input_ids"]))[mask].double()
    assert not mask.all()
    assert torch.allclose(found, x.T @ x / len(x), rtol=1e-5, atol=1e-6)
    assert learner.weight_gradients([batch], slots)["layers.0.k"].shape == (
        learner.slots["layers.0.k"].out_features,
        found.shape[0],
    )


def test_without_gives_the_network_of_before(trainer: StreamTrainer) -> None:
    learner = trainer.learner
    pixels = next(learner.batches(0, "train", 4)).inputs["pixels"]
    with torch.no_grad():
        before = learner.encode_images(pixels)
        trainer.method.begin_task(trainer.context(0))
        for slot in trainer.method.slots:
            slot.branch("task").b.data.fill_(0.1)
        changed = learner.encode_images(pixels)
        with learner.without("task"):
            off = learner.encode_images(pixels)
        again = learner.encode_images(pixels)
    assert F.mse_loss(changed, before) > 1e-6
    assert torch.allclose(off, before, atol=2e-6)
    assert torch.equal(again, changed)
