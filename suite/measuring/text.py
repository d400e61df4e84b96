"""Measurements of the text path: padding, training and generation, each beside its plain twin on the same rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import chain
from typing import Any

import numpy as np
import torch
from torch import Tensor

from suite.backbones.causal_learner import CausalLearner
from suite.backbones.generation import stock_answers
from suite.backbones.lm_config import LanguageModelConfig
from suite.benchmarks.stream import Stream
from suite.cost_meter import peak_bytes, reset_peak
from suite.data.buckets import length_bucketed_order, padding_share
from suite.data.text import Ids
from suite.errors import ConfigError
from suite.lowrank.layer import fresh_branch, merged_form
from suite.measuring.ratios import PerfRow, clock_of

BRANCH = "perf"
RANK = 8
TRAIN_BATCHES = 8
MERGED_ROUNDS = 5


def measure_text(
    stream: Stream, backbone: LanguageModelConfig, device: torch.device, *, batch_size: int = 8, prompts: int = 40
) -> list[PerfRow]:
    """Three rows per task (padding, training, generation), then generation over all tasks together and with an adapter.

    padding: share of padding in batches of ``batch_size``, random order against length buckets, in percent.
    training: own tokens per second, the plain learner on random batches against the fast one on buckets.
    generation: new tokens per second of at most ``prompts`` test prompts, the stock ``generate`` one by one (plain learner) against
    cached batches; the note says whether both gave equal answers.
    merged generation: the stock ``generate`` of a network that an adapter was merged into, all prompts of a task as one batch, against
    this learner, which merges for its answers and takes the adapter out again.
    """
    learner = backbone.build(stream, device)
    if not isinstance(learner, CausalLearner):
        raise ConfigError(f"dev perf text: backbone '{backbone.name}' is no language model; use mini-lm or causal-lm.")
    rows, seconds, tokens = [], np.zeros(2), 0
    asked: list[tuple[Sequence[Ids], int]] = []
    for task, name in enumerate(stream.task_names):
        reset_peak(device)
        rows.append(_padding(learner, task, name, batch_size))
        rows.append(_training(learner, task, name, batch_size))
        some, limit = [row.ids for row in learner.texts.prompts(task, "test")][:prompts], learner.texts.limit(task)
        asked.append((some, limit))
        count, times, equal = compare_generation(learner, some, limit)
        peak = (torch.cuda.max_memory_allocated(device) if device.type == "cuda" else peak_bytes()) / 2**20
        note = f"{len(some)} prompts, {count} tokens, {'equal' if equal else 'DIFFERENT'} answers, peak {peak:.0f} MiB"
        rows.append(_generation_row(name, count, times, note))
        seconds, tokens = seconds + times, tokens + count
    rows.append(_generation_row("all tasks", tokens, seconds, f"{tokens} tokens"))
    count, times, equal = compare_merged(learner, asked)
    note = f"{count} tokens, {'equal' if equal else 'DIFFERENT'} answers"
    return [*rows, _generation_row("all tasks, an adapter merged", count, times, note)]


def compare_generation(learner: CausalLearner, prompts: Sequence[Ids], limit: int) -> tuple[int, Any, bool]:
    """(new tokens, seconds one by one and batched, equal answers?) of greedy decoding up to ``limit`` tokens."""
    found, seconds = [], []
    for plain in (True, False):
        learner.plain = plain
        learner.answers(prompts[:2], [2, 2][: len(prompts)])
        ids, taken = _timed(lambda: learner.answers(prompts, [limit] * len(prompts)), learner.device)
        found.append(ids)
        seconds.append(taken)
    return sum(map(len, found[1])), np.array(seconds), found[0] == found[1]


def compare_merged(learner: CausalLearner, asked: Sequence[tuple[Sequence[Ids], int]]) -> tuple[int, Any, bool]:
    """The same for prompts and limits of several tasks, a stock network with an adapter merged against the learner with it.

    The stock network answers each task's prompts as one batch, the learner all of them in one call, as in an evaluation.
    """
    generator = torch.Generator().manual_seed(0)
    _put_branches(learner, generator)
    for slot in learner.slots.values():
        slot.branch(BRANCH).b.data.normal_(std=0.02, generator=generator)
    stock, decoding, learner.plain = _merged_copy(learner), learner.decoding(), False
    whole = [(prompt, limit) for prompts, limit in asked for prompt in prompts]

    def by_task() -> list[list[int]]:
        given = (stock_answers(stock, prompts, limit, decoding, learner.device) for prompts, limit in asked)
        return list(chain.from_iterable(given))

    def at_once() -> list[list[int]]:
        return learner.answers(*zip(*whole, strict=True))

    taken = []
    for _ in range(1 + MERGED_ROUNDS):
        (theirs, slow), (ours, quick) = (_timed(side, learner.device) for side in (by_task, at_once))
        taken.append((slow, quick))
    _remove_branches(learner)
    return sum(map(len, ours)), np.median(taken[1:], axis=0), theirs == ours


def _merged_copy(learner: CausalLearner) -> Any:
    """A network of the stock class with the learner's weights, branches in them."""
    stock = type(learner.network)(learner.network.config).eval().to(learner.device)
    own = dict(stock.state_dict())
    before = {name: tensor.clone() for name, tensor in learner.network.state_dict().items()}
    for slot in learner.slots.values():
        slot.add_to_weight(merged_form(slot, BRANCH))
    merged = learner.network.state_dict()
    stock.load_state_dict({name: merged[name].clone() for name in own})
    learner.network.load_state_dict(before)
    return stock


def _padding(learner: CausalLearner, task: int, name: str, batch_size: int) -> PerfRow:
    lengths = learner.lengths(task)
    assert lengths is not None
    random, bucketed = _orders(lengths, batch_size)
    plain, fast = 100 * padding_share(lengths, random), 100 * padding_share(lengths, bucketed)
    return PerfRow(f"{name}: padding", plain, fast, "% of tokens", plain / fast if fast else float("inf"))


def _orders(lengths: Ids, batch_size: int) -> tuple[Sequence[Tensor], Sequence[Tensor]]:
    """One epoch in random order and one in length buckets."""
    generator = torch.Generator().manual_seed(0)
    random = torch.split(torch.randperm(len(lengths), generator=generator), batch_size)
    return random, length_bucketed_order(lengths, batch_size, generator)


def _training(learner: CausalLearner, task: int, name: str, batch_size: int) -> PerfRow:
    generator = torch.Generator().manual_seed(0)
    lengths = learner.lengths(task)
    assert lengths is not None
    random, bucketed = _orders(lengths, batch_size)
    _put_branches(learner, generator)
    learner.plain = True
    plain = _training_speed(learner, task, random)
    learner.plain = False
    fast = _training_speed(learner, task, bucketed)
    _remove_branches(learner)
    return PerfRow(f"{name}: training", plain, fast, "tokens/s", fast / plain)


def _put_branches(learner: CausalLearner, generator: torch.Generator) -> None:
    for slot in learner.slots.values():
        slot.parts[BRANCH] = fresh_branch(slot, RANK, generator)


def _remove_branches(learner: CausalLearner) -> None:
    for slot in learner.slots.values():
        del slot.parts[BRANCH]


def _training_speed(learner: CausalLearner, task: int, order: Sequence[Tensor]) -> float:
    """Own tokens per second of forward and backward over the first batches of ``order``."""
    order = order[:TRAIN_BATCHES]
    batches = [learner.batch(torch.full_like(rows, task), rows, torch.Generator()) for rows in order]

    def once() -> None:
        for batch in batches:
            learner.forward(batch).loss.backward()

    learner.forward(batches[0]).loss.backward()
    _, seconds = _timed(once, learner.device)
    return sum(int(batch.inputs["attention_mask"].sum()) for batch in batches) / seconds


def _generation_row(name: str, tokens: int, seconds: Any, note: str) -> PerfRow:
    plain, fast = (max(tokens, 1) / seconds).tolist()
    return PerfRow(f"{name}: generation", plain, fast, "new tokens/s", fast / plain, note)


def _timed(call: Callable[[], Any], device: torch.device) -> tuple[Any, float]:
    clock = clock_of(device)
    start = clock()
    result = call()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return result, clock() - start
