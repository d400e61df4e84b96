"""Measurements of the text path: padding, training and generation, each beside its plain twin on the same rows."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from suite.backbones.causal_learner import CausalLearner
from suite.backbones.lm_config import LanguageModelConfig
from suite.benchmarks.stream import Stream
from suite.cost_meter import peak_bytes, reset_peak
from suite.data.buckets import length_bucketed_order, padding_share
from suite.data.text import Ids
from suite.errors import ConfigError
from suite.lowrank.layer import fresh_branch
from suite.measuring.ratios import PerfRow

BRANCH = "perf"
RANK = 8
TRAIN_BATCHES = 8


def measure_text(
    stream: Stream, backbone: LanguageModelConfig, device: torch.device, *, batch_size: int = 8, prompts: int = 40
) -> list[PerfRow]:
    """Three rows per task (padding, training, generation), then generation over all tasks together.

    padding: share of padding in batches of ``batch_size``, random order against length buckets, in percent.
    training: own tokens per second, the plain learner on random batches against the fast one on buckets.
    generation: new tokens per second of at most ``prompts`` test prompts, the stock ``generate`` one by one (plain learner) against
    cached batches; the note says whether both gave equal answers.
    """
    learner = backbone.build(stream, device)
    if not isinstance(learner, CausalLearner):
        raise ConfigError(f"dev perf text: backbone '{backbone.name}' is no language model; use mini-lm or causal-lm.")
    rows, seconds, tokens = [], np.zeros(2), 0
    for task, name in enumerate(stream.task_names):
        reset_peak(device)
        rows.append(_padding(learner, task, name, batch_size))
        rows.append(_training(learner, task, name, batch_size))
        asked = [row.ids for row in learner.texts.prompts(task, "test")][:prompts]
        count, times, equal = compare_generation(learner, asked, learner.texts.limit(task))
        peak = (torch.cuda.max_memory_allocated(device) if device.type == "cuda" else peak_bytes()) / 2**20
        note = f"{len(asked)} prompts, {count} tokens, {'equal' if equal else 'DIFFERENT'} answers, peak {peak:.0f} MiB"
        rows.append(_generation_row(name, count, times, note))
        seconds, tokens = seconds + times, tokens + count
    return [*rows, _generation_row("all tasks", tokens, seconds, f"{tokens} tokens")]


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
    for slot in learner.slots.values():
        slot.parts[BRANCH] = fresh_branch(slot, RANK, generator)
    learner.plain = True
    plain = _training_speed(learner, task, random)
    learner.plain = False
    fast = _training_speed(learner, task, bucketed)
    for slot in learner.slots.values():
        del slot.parts[BRANCH]
    return PerfRow(f"{name}: training", plain, fast, "tokens/s", fast / plain)


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
    start = time.perf_counter()
    result = call()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return result, time.perf_counter() - start
