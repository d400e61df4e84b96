"""Greedy (or sampled) decoding in batches of similar prompt length, with a key-value cache; finished rows leave early.

Each row's answer is a function of its own prompt, so batches give what one-by-one generation gives (in fp32, unless two
logits differ by rounding only). A sampled row draws from a generator keyed by its prompt for the same reason.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from suite.data.text import Ids, left_padded
from suite.randomness import numpy_generator

MOST_PADDING = 0.3  # a batch of prompts is closed before more of its tokens than this would be padding


@dataclass(frozen=True)
class Decoding:
    """How answers are generated.

    Attributes:
        end: token ids that end an answer; they are not part of it.
        pad: id that fills the left of shorter prompts.
        token_budget: most tokens (prompts, padding and answers) that are held in the cache at once.
        temperature: 0 takes the likeliest token; otherwise tokens are drawn from softmax(logits / temperature).
        seed: of the draws.
    """

    end: Collection[int]
    pad: int
    token_budget: int = 32768
    temperature: float = 0.0
    seed: int = 0


@torch.no_grad()
def generate(
    network: Any, prompts: Sequence[Ids], limits: Sequence[int], decoding: Decoding, device: torch.device
) -> list[list[int]]:
    """Answer ids of every prompt, at most ``limits[i]`` each, in the order given; ``network`` is in eval mode."""
    answers: list[list[int]] = [[] for _ in prompts]
    for rows in prompt_batches([len(prompt) for prompt in prompts], limits, decoding.token_budget):
        state = _Decoder(network, [prompts[row] for row in rows], rows, decoding, device)
        rest = [limits[row] for row in rows]
        while state.rows:
            tokens = state.tokens.tolist()
            keep = []
            for place, (row, token) in enumerate(zip(state.rows, tokens, strict=True)):
                if token not in decoding.end:
                    answers[row].append(token)
                    rest[place] -= 1
                    if rest[place] > 0:
                        keep.append(place)
            rest = [rest[place] for place in keep]
            state.advance(keep)
    return answers


def prompt_batches(lengths: Sequence[int], limits: Sequence[int], token_budget: int) -> list[list[int]]:
    """Rows in order of prompt length, cut into batches that keep to the budget and to ``MOST_PADDING``."""
    batches: list[list[int]] = []
    current: list[int] = []
    own = longest_answer = 0
    for row in sorted(range(len(lengths)), key=lambda row: (lengths[row], limits[row], row)):
        count = len(current) + 1
        answer = max(longest_answer, limits[row])
        over_budget = count * (lengths[row] + answer) > token_budget
        over_padding = own + lengths[row] < (1 - MOST_PADDING) * count * lengths[row]
        if current and (over_budget or over_padding):
            batches.append(current)
            current, own, answer = [], 0, limits[row]
        current.append(row)
        own, longest_answer = own + lengths[row], answer
    return [*batches, current] if current else batches


class _Decoder:
    """Cache and last tokens of the rows of one batch that are still being answered."""

    def __init__(
        self, network: Any, prompts: list[Ids], rows: list[int], decoding: Decoding, device: torch.device
    ) -> None:
        self.network = network
        self.decoding = decoding
        self.rows = rows
        self.draws = [self._draw(prompt) for prompt in prompts] if decoding.temperature else []
        batch = {name: value.to(device) for name, value in left_padded(prompts, decoding.pad).items()}
        self.mask = batch["attention_mask"]
        self.positions = batch["position_ids"][:, -1:]
        out = network(**batch, use_cache=True, logits_to_keep=1)
        self.cache = out.past_key_values
        self.tokens = self._choose(out.logits[:, -1])

    def advance(self, keep: list[int]) -> None:
        """Drop all rows but those at the places ``keep`` and compute the next token of each."""
        if len(keep) < len(self.rows):
            self.rows = [self.rows[place] for place in keep]
            self.draws = [self.draws[place] for place in keep] if self.draws else []
            if not keep:
                return
            places = torch.tensor(keep, device=self.mask.device)
            self.cache.batch_select_indices(places)
            self.mask, self.positions, self.tokens = self.mask[places], self.positions[places], self.tokens[places]
        self.mask = torch.cat([self.mask, self.mask.new_ones(len(self.rows), 1)], dim=1)
        self.positions = self.positions + 1
        out = self.network(
            input_ids=self.tokens[:, None],
            attention_mask=self.mask,
            position_ids=self.positions,
            past_key_values=self.cache,
            use_cache=True,
            logits_to_keep=1,
        )
        self.tokens = self._choose(out.logits[:, -1])

    def _draw(self, prompt: Ids) -> np.random.Generator:
        return numpy_generator(self.decoding.seed, "generation", prompt.tobytes().hex())

    def _choose(self, logits: Tensor) -> Tensor:
        """Next token of each row, (n,) from (n, vocabulary)."""
        if self.decoding.temperature == 0.0:
            return logits.argmax(dim=-1)
        shares = torch.softmax(logits.float() / self.decoding.temperature, dim=-1).cumsum(dim=-1)
        uniform = torch.tensor([draw.random() for draw in self.draws], device=logits.device, dtype=shares.dtype)
        chosen = torch.searchsorted(shares, uniform[:, None] * shares[:, -1:], right=True)
        return chosen[:, 0].clamp(max=logits.shape[-1] - 1)
