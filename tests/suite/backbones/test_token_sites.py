"""Tokens put in front of a row: nothing changes without them, and with them the network reads what a plain forward of the whole row reads."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from suite.backbones.causal_learner import CausalLearner
from suite.backbones.causal_lm import MiniLMConfig
from suite.backbones.clip_learner import ClipLearner
from suite.backbones.generation import Decoding, generate, stock_answers
from suite.backbones.token_sites import is_continued, with_tokens
from suite.benchmarks.mini_trace import MiniTraceConfig
from suite.data.text import left_padded
from suite.lowrank.layer import Part, Site
from suite.lowrank.prompts import PromptPool

CPU = torch.device("cpu")
ARCHITECTURES = ("LlamaForCausalLM", "MistralForCausalLM", "Gemma2ForCausalLM", "GPT2LMHeadModel", "OPTForCausalLM")


def pool_on(site: Site, rows: int, width: int = 32) -> PromptPool:
    """Three prompts of two vectors; row i gets prompts i and i + 1."""
    generator = torch.Generator().manual_seed(5)
    pool = PromptPool(torch.randn(3, 2, width, generator=generator), torch.randn(3, 4, generator=generator))
    pool.chosen = torch.stack([torch.arange(rows) % 3, (torch.arange(rows) + 1) % 3], dim=1)
    site.parts["prompts"] = pool
    return pool


@torch.no_grad()
def whole_row(network: Any, pool: PromptPool, row: int, ids: Any) -> Tensor:
    """Logits (tokens, vocabulary) of one row alone: its prompts and then its tokens, by the network's own forward."""
    own = network.get_input_embeddings()(torch.from_numpy(ids)[None])
    put = pool.prompts[pool.chosen[row]].flatten(0, 1)[None]
    found: Tensor = network(inputs_embeds=torch.cat([put, own], dim=1)).logits
    return found[0]


@pytest.mark.parametrize("name", ARCHITECTURES)
@torch.no_grad()
def test_padded_rows_and_cached_answers_equal_the_whole_row(name: str, tiny: Callable[[str], Any]) -> None:
    network, site = tiny(name), Site("layers.tokens")
    rows = [np.random.default_rng(length).integers(3, 50, size=length) for length in (4, 15, 9)]
    pool = pool_on(site, len(rows))
    batch = left_padded(rows, 0)
    logits = network(**with_tokens(network, site, batch)).logits
    for place, row in enumerate(rows):
        assert torch.allclose(logits[place, -len(row) :], whole_row(network, pool, place, row)[4:], atol=1e-5)
    decoding, limits = Decoding(end={2}, pad=0), [6, 12, 9]

    def choose(inputs: Any, *, training: bool) -> None:
        if not is_continued(inputs):
            pool.chosen = torch.stack([inputs["example"] % 3, (inputs["example"] + 1) % 3], dim=1)

    found = generate(network, rows, limits, decoding, CPU, choose, site)
    assert max(map(len, found)) > 1
    for place, (row, answer) in enumerate(zip(rows, found, strict=True)):
        pool.chosen = torch.tensor([[place % 3, (place + 1) % 3]])
        assert [answer] == stock_answers(network, [row], limits[place], decoding, CPU, site)
        pool.chosen = pool.chosen.expand(len(rows), -1)
        logits = whole_row(network, pool, place, np.concatenate([row, answer]))
        assert logits[3 + len(row) : -1].argmax(dim=-1).tolist() == answer  # 4 vectors stand in front
    assert found != generate(network, rows, limits, decoding, CPU)


def test_a_site_without_parts_that_are_on_changes_no_bit(tiny: Callable[[str], Any]) -> None:
    network, site = tiny("LlamaForCausalLM"), Site("layers.tokens")
    batch = left_padded([np.array([5, 6, 7]), np.array([8, 9, 10, 11])], 0)
    assert with_tokens(network, site, batch) is batch
    pool_on(site, 2).enabled = False
    assert with_tokens(network, site, batch) is batch


class Nothing(Part):
    def forward(self, y: Tensor, x: Tensor) -> Tensor:
        return y


def lm() -> CausalLearner:
    learner = MiniLMConfig().build(MiniTraceConfig(tasks=("FOMC", "ScienceQA")).build(Path()), CPU)
    assert isinstance(learner, CausalLearner)
    return learner


def test_moments_and_losses_of_longer_rows() -> None:
    """A part that puts nothing there leaves the loss as it is; prompts are counted as the tokens they are, padding is not."""
    learner = lm()
    batch = next(learner.batches(0, "train", 4))
    slots = [learner.slots["layers.0.q"]]
    loss, moment = learner.forward(batch).loss, learner.moments([batch], slots)["layers.0.q"]
    learner.tokens.parts["nothing"] = Nothing()
    assert torch.allclose(learner.forward(batch).loss, loss, atol=1e-6)
    learner.tokens.parts["pool"] = pool_on(Site("x"), 4, learner.query_width)
    fast, longer = learner.forward(batch).loss.detach(), learner.moments([batch], slots)["layers.0.q"]
    assert abs(float(fast - loss)) > 1e-3
    learner.plain = True
    assert torch.allclose(learner.forward(batch).loss, fast, atol=1e-5)
    assert not torch.allclose(longer, moment)
    own, put = batch.inputs["attention_mask"].sum(), 4 * 4
    prompts = learner.network.model.layers[0].input_layernorm(learner.tokens.parts["pool"].prompts)[[0, 1, 1, 2, 2, 0, 0, 1]]
    rows = prompts.detach().flatten(0, 1).double()
    assert torch.allclose(longer * (own + put), moment * own + rows.T @ rows, atol=1e-3)


def test_queries_see_the_prompt_alone() -> None:
    learner = lm()
    batch = next(learner.batches(0, "train", 4))
    training = learner.query(batch.inputs)
    prompts = [learner.texts.training(0)[row].ids[: -learner.texts.training(0)[row].answer_tokens] for row in range(4)]
    assert torch.allclose(training, learner.query(left_padded(prompts, learner.pad)), atol=1e-6)
    assert torch.allclose(
        training, torch.stack([learner.query(left_padded([ids], learner.pad))[0] for ids in prompts]), atol=1e-6
    )


def test_room_is_made_where_the_network_has_none() -> None:
    learner = lm()
    assert (learner.texts.encoder.prompt_window, learner.texts.encoder.answer_window) == (192, 64)
    texts = learner.texts
    learner.make_room(0)
    assert learner.texts is texts
    learner.make_room(25)
    assert (learner.texts.encoder.prompt_window, learner.texts.encoder.answer_window) == (167, 64)


@torch.no_grad()
def test_prompts_of_images_stand_behind_the_class_token(learner: ClipLearner) -> None:
    batch = next(learner.batches(0, "train", 5))
    before = learner.query(batch.inputs)
    pool = PromptPool(torch.randn(3, 2, 96, generator=torch.Generator().manual_seed(0)), torch.zeros(3, 64), behind=1)
    pool.chosen = torch.tensor([[0, 1]] * 5)
    learner.tokens.parts["prompts"] = pool
    visual: Any = learner.network.visual
    row = visual._embeds(batch.inputs["pixels"])
    x = torch.cat([row[:, :1], pool.prompts[[0, 1]].flatten(0, 1).expand(5, -1, -1), row[:, 1:]], dim=1)
    for block in visual.transformer.resblocks:
        x = block(x)
    wanted = torch.nn.functional.normalize(visual.ln_post(x[:, 0]) @ visual.proj, dim=-1)
    found = learner.query(batch.inputs)
    assert torch.allclose(found, wanted, atol=1e-5)
    learner.plain = True
    assert torch.allclose(learner.query(batch.inputs), wanted, atol=1e-5)
    learner.plain = False
    assert float((found - before).abs().max()) > 1e-3
    with learner.without("prompts"):
        assert torch.equal(learner.query(batch.inputs), before)


@torch.no_grad()
def test_prompts_of_class_names_stand_in_front_of_them(learner: ClipLearner) -> None:
    """Embeddings, kept ones too, are those of the longer text; without the part they are what they were."""
    tokens, site, network = learner.prompts.train_tokens(0), learner.sites["text.tokens"], learner.network
    before, classes = learner.encode_texts(tokens), learner.class_features([0], judged=True)
    pool = PromptPool(torch.randn(3, 2, 96, generator=torch.Generator().manual_seed(0)), torch.zeros(3, 64))
    pool.chosen = torch.tensor([[0, 1]] * len(tokens))
    site.parts["prompts"] = pool
    text: Any = network
    own = text.token_embedding(tokens) + text.positional_embedding[: tokens.shape[1]]
    x = torch.cat([pool.prompts[[0, 1]].flatten(0, 1).expand(len(tokens), -1, -1), own], dim=1)
    for block in text.transformer.resblocks:
        x = block(x, attn_mask=text.attn_mask)
    ends = x[torch.arange(len(tokens)), tokens.argmax(dim=1) + 4]
    wanted = torch.nn.functional.normalize(text.ln_final(ends) @ text.text_projection, dim=-1)
    assert torch.allclose(learner.encode_texts(tokens), wanted, atol=1e-5)
    learner.plain = True
    assert torch.allclose(learner.encode_texts(tokens), wanted, atol=1e-5)
    learner.plain = False
    assert float((wanted - before).abs().max()) > 1e-3
    pool.chosen = torch.tensor([[0, 1]])
    assert float((learner.encode_texts(tokens[:1]) - wanted[:1]).abs().max()) < 1e-5
    site.parts.clear()
    assert torch.equal(learner.encode_texts(tokens), before)
    assert torch.equal(learner.class_features([0], judged=True), classes)


def test_moments_of_longer_class_names_count_what_stands_in_front(learner: ClipLearner) -> None:
    batch = next(learner.batches(0, "train", 4))
    slot = learner.slots["text.0.q"]
    tokens = learner.prompts.train_tokens(0)
    short = learner.moments([batch], [slot])[slot.name]
    pool = PromptPool(torch.randn(1, 2, 96, generator=torch.Generator().manual_seed(0)), torch.zeros(1, 64))
    pool.chosen = torch.zeros(len(tokens), 1, dtype=torch.int64)
    learner.sites["text.tokens"].parts["prompts"] = pool
    longer = learner.moments([batch], [slot])[slot.name]
    own = float((tokens.argmax(dim=1) + 1).sum())
    put = 2 * len(tokens)
    norm: Any = learner.network.transformer.resblocks[0].ln_1  # type: ignore[union-attr]
    rows = norm(pool.prompts).detach().flatten(0, 1).double()
    assert torch.allclose(longer * (own + put), short * own + len(tokens) * rows.T @ rows, atol=1e-3)
