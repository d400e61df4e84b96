"""Batched decoding against one-by-one decoding and against the stock ``generate``."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from suite.backbones.generation import (
    MOST_PADDING,
    READ_TOKENS,
    Decoding,
    answer_batches,
    generate,
    similar_lengths,
)
from suite.backbones.lm_cache import chunked_cache, joined
from suite.backbones.lm_network import MINI_LM, load_causal_lm
from suite.benchmarks.trace import TraceConfig
from suite.data.text import Ids, TextEncoder

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def network() -> Any:
    return load_causal_lm(str(MINI_LM))[0]


def prompts_of(lengths: list[int]) -> list[Ids]:
    generator = np.random.default_rng(0)
    return [generator.integers(259, 590, size=length) for length in lengths]


def one_by_one(network: Any, prompts: list[Ids], limits: list[int], decoding: Decoding) -> list[list[int]]:
    return [generate(network, [prompt], [limit], decoding, CPU)[0] for prompt, limit in zip(prompts, limits, strict=True)]


def stock(network: Any, prompt: Ids, limit: int, end: int) -> list[int]:
    ids = torch.from_numpy(prompt)[None]
    with torch.no_grad():
        out = network.generate(
            ids, attention_mask=torch.ones_like(ids), max_new_tokens=limit, do_sample=False, pad_token_id=0, eos_token_id=end
        )
    found: list[int] = out[0, len(prompt) :].tolist()
    return found[: found.index(end)] if end in found else found


def test_batches_give_what_single_prompts_give(network: Any) -> None:
    prompts = prompts_of([3, 30, 7, 7, 90, 12, 1, 55, 31, 8])
    limits = [12, 3, 80, 1, 9, 30, 70, 5, 12, 40]  # 80 and 70 cross a chunk of the cache
    decoding = Decoding(end={2}, pad=0)
    batched = generate(network, prompts, limits, decoding, CPU)
    assert batched == one_by_one(network, prompts, limits, decoding)
    assert [len(answer) <= limit for answer, limit in zip(batched, limits, strict=True)] == [True] * 10
    assert max(map(len, batched)) > 1


def test_answers_equal_the_stock_generate(network: Any) -> None:
    prompts = prompts_of([5, 20, 9, 33])
    batched = generate(network, prompts, [40] * 4, Decoding(end={2}, pad=0), CPU)
    assert batched == [stock(network, prompt, 40, 2) for prompt in prompts]


def test_end_token_stops_and_is_not_part_of_the_answer(network: Any) -> None:
    prompts = prompts_of([6, 9])
    free = generate(network, prompts, [20, 20], Decoding(end=(), pad=0), CPU)
    assert [len(answer) for answer in free] == [20, 20]
    end = free[0][4]
    stopped = generate(network, prompts, [20, 20], Decoding(end={end}, pad=0), CPU)
    assert stopped[0] == free[0][: free[0].index(end)]
    assert stopped[1] == (free[1][: free[1].index(end)] if end in free[1] else free[1])


def test_small_token_budget_changes_nothing_but_the_batches(network: Any) -> None:
    prompts, decoding = prompts_of([4, 9, 22, 5, 40]), Decoding(end={2}, pad=0)
    tight = Decoding(end={2}, pad=0, token_budget=30)
    assert len(answer_batches([4, 9, 22, 5, 40], [8] * 5, 30)) > 2
    assert generate(network, prompts, [8] * 5, tight, CPU) == generate(network, prompts, [8] * 5, decoding, CPU)


def test_sampling_depends_on_seed_and_prompt_not_on_the_batch(network: Any) -> None:
    prompts = prompts_of([6, 9, 30])
    hot = Decoding(end={2}, pad=0, temperature=2.0, seed=1)
    batched = generate(network, prompts, [12] * 3, hot, CPU)
    assert batched == one_by_one(network, prompts, [12] * 3, hot)
    assert batched != generate(network, prompts, [12] * 3, Decoding(end={2}, pad=0, temperature=2.0, seed=2), CPU)
    assert batched != generate(network, prompts, [12] * 3, Decoding(end={2}, pad=0), CPU)
    cold = Decoding(end={2}, pad=0, temperature=1e-4, seed=1)
    assert generate(network, prompts, [12] * 3, cold, CPU) == generate(network, prompts, [12] * 3, Decoding({2}, 0), CPU)


@pytest.mark.parametrize("name", ["Gemma2ForCausalLM", "MistralForCausalLM", "GPT2LMHeadModel", "OPTForCausalLM"])
def test_other_architectures(name: str, tiny: Callable[[str], Any]) -> None:
    """Sliding windows (shorter than the prompts) and absolute positions."""
    network = tiny(name)
    prompts = [np.random.default_rng(length).integers(3, 50, size=length) for length in (4, 6, 15, 16, 17)]
    batched = generate(network, prompts, [12] * 5, Decoding(end=(), pad=0), CPU)
    assert batched == [stock(network, prompt, 12, -1) for prompt in prompts]


def test_chunked_cache_holds_what_the_stock_one_holds(network: Any) -> None:
    ids = torch.from_numpy(np.stack(prompts_of([70, 70])))
    with torch.no_grad():
        expected = network(ids, use_cache=True).past_key_values
        cache = chunked_cache(network.config)
        for part in (ids[:, :3], ids[:, 3:69], ids[:, 69:]):
            network(part, past_key_values=cache, use_cache=True)
    for ours, theirs in zip(cache.layers, expected.layers, strict=True):
        assert torch.allclose(ours.keys, theirs.keys, atol=1e-5)
        assert torch.allclose(ours.values, theirs.values, atol=1e-5)


def test_joined_caches_end_together(network: Any) -> None:
    caches = []
    with torch.no_grad():
        for length in (3, 5):
            cache = chunked_cache(network.config)
            network(torch.from_numpy(np.stack(prompts_of([length] * 2))), past_key_values=cache, use_cache=True)
            caches.append(cache)
    whole = joined(caches, network.config)
    for layer, short, long in zip(whole.layers, caches[0].layers, caches[1].layers, strict=True):
        assert layer.keys.shape[0] == 4
        assert torch.equal(layer.keys[:2, :, 2:], short.keys)
        assert not layer.values[:2, :, :2].any()
        assert torch.equal(layer.values[2:], long.values)


@given(st.lists(st.tuples(st.integers(1, 700), st.integers(1, 64)), min_size=1, max_size=80), st.integers(64, 5000))
def test_batches_keep_every_row_and_the_bounds(rows: list[tuple[int, int]], budget: int) -> None:
    lengths, limits = [row[0] for row in rows], [row[1] for row in rows]
    batches = answer_batches(lengths, limits, budget)
    assert sorted(row for batch in batches for row in batch) == list(range(len(rows)))
    for batch in batches:
        held = len(batch) * (max(lengths[row] for row in batch) + max(limits[row] for row in batch))
        assert held <= budget or len(batch) == 1
        for group in similar_lengths(batch, lengths):
            laid_out = len(group) * max(lengths[row] for row in group)
            assert sum(lengths[row] for row in group) >= (1 - MOST_PADDING) * laid_out - 1e-6
            assert laid_out <= READ_TOKENS or len(group) == 1


@pytest.mark.real_data
@pytest.mark.parametrize("task", [4, 6])
def test_forty_real_prompts(task: int, real_data: Callable[[str], Path]) -> None:
    """40 prompts of ScienceQA and NumGLUE-ds on stories260k: equal greedy answers, batched and one by one."""
    network, tokenizer = load_causal_lm(str(real_data("tiny_lm_real/stories260k")))
    stream = TraceConfig(folder="trace_real").build(real_data("trace_real").parent)
    rows = [row.ids for row in TextEncoder(tokenizer, 384, 128).prompt_rows(stream.tasks[task].test.prompts)]
    assert len(rows) == 40
    decoding = Decoding(end={1, 2}, pad=2)
    assert generate(network, rows, [24] * 40, decoding, CPU) == one_by_one(network, rows, [24] * 40, decoding)
