"""Greedy (or sampled) decoding with a key-value cache: prompts are read in groups of similar length, answered together.

Each row's answer is a function of its own prompt, so batches give what one-by-one generation gives (in fp32, unless two
logits differ by rounding only). A sampled row draws from a generator keyed by its prompt for the same reason.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from suite.backbones.learner import BeforeForward, no_choice
from suite.backbones.token_sites import with_tokens
from suite.data.text import Ids, left_padded
from suite.lowrank.layer import Site
from suite.randomness import numpy_generator

WHOLE = 2.0**40  # probabilities are counted in parts of this size when a token is drawn
MOST_PADDING = 0.2  # a group of prompts is closed before more of its tokens than this would be padding
READ_TOKENS = 2048  # and before it holds more tokens than this; larger groups gain nothing and fall out of caches
MOST_FINISHED = (
    0.25  # rows that are answered wait until they are this share of a batch: a copy of the cache costs more than they do
)


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
    network: Any,
    prompts: Sequence[Ids],
    limits: Sequence[int],
    decoding: Decoding,
    device: torch.device,
    before_forward: BeforeForward = no_choice,
    tokens: Site | None = None,
) -> list[list[int]]:
    """Answer ids of every prompt, at most ``limits[i]`` each, in the order given; ``network`` is in eval mode.

    Parts on the site ``tokens`` stand in front of each prompt; the cache holds them for the tokens that follow.
    """
    from suite.backbones.lm_cache import can_join

    lengths = [len(prompt) for prompt in prompts]
    answers: list[list[int]] = [[] for _ in prompts]
    for batch in answer_batches(lengths, limits, decoding.token_budget):
        groups = similar_lengths(batch, lengths)
        for together in [groups] if can_join(network.config) else [[group] for group in groups]:
            state = _Decoder(network, prompts, together, decoding, device, before_forward, tokens)
            _answer(state, answers, limits, decoding.end)
    return answers


@torch.no_grad()
def stock_answers(
    network: Any, prompts: Sequence[Ids], limit: int, decoding: Decoding, device: torch.device, tokens: Site | None = None
) -> list[list[int]]:
    """Greedy answers up to their first end tokens, by the ``generate`` of transformers as one batch: the plain twin of ``generate``."""
    rows = left_padded(prompts, decoding.pad)
    inputs = with_tokens(network, tokens, {name: value.to(device) for name, value in rows.items()})
    known = inputs["input_ids"].shape[1] if "input_ids" in inputs else 0  # of embeddings it returns the answers alone
    del inputs["position_ids"]
    found = network.generate(**inputs, max_new_tokens=limit, do_sample=False, pad_token_id=decoding.pad)
    return [_until(answer, decoding.end) for answer in found[:, known:].tolist()]


def _until(answer: list[int], end: Collection[int]) -> list[int]:
    ends = [place for place, token in enumerate(answer) if token in end]
    return answer[: ends[0]] if ends else answer


def answer_batches(lengths: Sequence[int], limits: Sequence[int], token_budget: int) -> list[list[int]]:
    """Rows from the shortest prompt to the longest, cut where the cache would hold more than the budget."""
    batches: list[list[int]] = []
    longest_answer = 0
    for row in sorted(range(len(lengths)), key=lambda row: (lengths[row], limits[row], row)):
        longest_answer = max(longest_answer, limits[row])
        if not batches or (len(batches[-1]) + 1) * (lengths[row] + longest_answer) > token_budget:
            batches.append([])
            longest_answer = limits[row]
        batches[-1].append(row)
    return batches


def similar_lengths(rows: Sequence[int], lengths: Sequence[int]) -> list[list[int]]:
    """``rows``, sorted by length, cut into groups that keep to ``MOST_PADDING`` and ``READ_TOKENS``."""
    groups: list[list[int]] = []
    own = 0
    for row in rows:
        laid_out = (len(groups[-1]) + 1) * lengths[row] if groups else 0
        if not groups or own + lengths[row] < (1 - MOST_PADDING) * laid_out or laid_out > READ_TOKENS:
            groups.append([])
            own = 0
        groups[-1].append(row)
        own += lengths[row]
    return groups


def _answer(state: _Decoder, answers: list[list[int]], limits: Sequence[int], end: Collection[int]) -> None:
    """Decode until every row has met an end token or its limit."""
    going: Sequence[int] = range(len(state.rows))  # places of the rows that have met neither
    while going:
        tokens = state.tokens.tolist()
        keep = []
        for place in going:
            row, token = state.rows[place], tokens[place]
            if token not in end:
                answers[row].append(token)
                if len(answers[row]) < limits[row]:
                    keep.append(place)
        going = state.advance(keep) if keep else ()


class _Decoder:
    """Cache and last tokens of the rows that are being answered, and of those that have been since the last copy."""

    def __init__(
        self,
        network: Any,
        prompts: Sequence[Ids],
        groups: Sequence[Sequence[int]],
        decoding: Decoding,
        device: torch.device,
        before_forward: BeforeForward,
        tokens: Site | None,
    ) -> None:
        from suite.backbones.lm_cache import joined

        self.network = network
        self.site = tokens
        self.decoding = decoding
        self.before_forward = before_forward
        self.rows = [row for group in groups for row in group]
        self.draws = [self._draw(prompts[row]) for row in self.rows] if decoding.temperature else []
        read = [self._read(prompts, group, device) for group in groups]
        self.cache = joined([part.cache for part in read], network.config) if len(read) > 1 else read[0].cache
        width = max(part.mask.shape[1] for part in read)
        self.mask = torch.cat([F.pad(part.mask, (width - part.mask.shape[1], 0)) for part in read])
        self.positions = torch.cat([part.positions for part in read])
        self.tokens = self._choose(torch.cat([part.logits for part in read]))

    def _read(self, prompts: Sequence[Ids], group: Sequence[int], device: torch.device) -> _Prompts:
        """Fill a cache with one group of prompts."""
        from suite.backbones.lm_cache import chunked_cache

        batch = {
            name: value.to(device) for name, value in left_padded([prompts[row] for row in group], self.decoding.pad).items()
        }
        self.before_forward({**batch, "example": torch.tensor(group, device=device)}, training=False)
        cache, inputs = chunked_cache(self.network.config), with_tokens(self.network, self.site, batch)
        out = self.network(**inputs, past_key_values=cache, use_cache=True, logits_to_keep=1)
        return _Prompts(cache, inputs["attention_mask"], inputs["position_ids"][:, -1:], out.logits[:, -1])

    def advance(self, keep: Sequence[int]) -> Sequence[int]:
        """Compute the next token of the rows at the places ``keep``; returns where they stand then.

        The others leave the batch, at the cost of a copy of the cache, once they are ``MOST_FINISHED`` of it.
        """
        if len(keep) <= (1 - MOST_FINISHED) * len(self.rows):
            self._drop_all_but(keep)
            keep = range(len(keep))
        self._next()
        return keep

    def _drop_all_but(self, keep: Sequence[int]) -> None:
        self.rows = [self.rows[place] for place in keep]
        self.draws = [self.draws[place] for place in keep] if self.draws else []
        places = torch.tensor(keep, device=self.mask.device)
        self.cache.batch_select_indices(places)
        self.mask, self.positions, self.tokens = self.mask[places], self.positions[places], self.tokens[places]

    def _next(self) -> None:
        self.mask = F.pad(self.mask, (0, 1), value=1)
        self.positions = self.positions + 1
        ids, example = self.tokens[:, None], torch.tensor(self.rows, device=self.mask.device)
        self.before_forward({"input_ids": ids, "attention_mask": self.mask, "example": example}, training=False)
        out = self.network(
            input_ids=ids,
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
        shares = torch.softmax(logits.float() / self.decoding.temperature, dim=-1)
        heights = (shares.double() * WHOLE).long().cumsum(dim=-1)  # whole numbers: their sums are the same in any order
        uniform = torch.tensor([draw.random() for draw in self.draws], device=logits.device, dtype=torch.float64)
        wanted = (uniform * heights[:, -1]).long()
        return torch.searchsorted(heights, wanted[:, None], right=True)[:, 0]


@dataclass(frozen=True)
class _Prompts:
    """One group after reading: cache, mask (n, length), last positions (n, 1), logits of the first answer token."""

    cache: Any
    mask: Tensor
    positions: Tensor
    logits: Tensor
