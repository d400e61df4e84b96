"""Prompts and answers to token rows and padded batches; only answer tokens are learned.

Source: BeyonderXX/TRACE utils/data/data_collator.py (commit 462e39f), with the label boundary taken from character
offsets unless the released rule is asked for.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Tokenizer = Any  # a fast tokenizer of transformers; that package is imported by the language model files only
Boundary = Literal["exact", "release"]
Ids = NDArray[np.int64]
IGNORED = -100  # target of positions that are not learned, as in torch


@dataclass(frozen=True, eq=False)
class TokenRow:
    """One training example: prompt and answer glued, the last ``answer_tokens`` ids are supervised.

    Attributes:
        prompt_cut: the prompt was longer than its window and lost tokens on the left.
        answer_cut: the answer was longer than its window and lost tokens.
        straddles: one token holds the prompt's last and the answer's first character; it is supervised.
    """

    ids: Ids
    answer_tokens: int
    prompt_cut: bool = False
    answer_cut: bool = False
    straddles: bool = False


@dataclass(frozen=True, eq=False)
class PromptRow:
    """One prompt to be answered; ``cut`` says that it lost tokens on the left."""

    ids: Ids
    cut: bool


def decode_answers(tokenizer: Tokenizer, ids: Sequence[Sequence[int]]) -> list[str]:
    """Answers as they are scored: without special tokens, nothing tidied up."""
    texts: list[str] = tokenizer.batch_decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)
    return texts


def in_chat_template(tokenizer: Tokenizer, prompt: str) -> str:
    """``prompt`` as a user's message in the tokenizer's own template, up to where the answer begins."""
    message = [{"role": "user", "content": prompt}]
    text: str = tokenizer.apply_chat_template(message, tokenize=False, add_generation_prompt=True)
    return text


@dataclass(frozen=True)
class TextEncoder:
    """Turns texts into ids, without special tokens in the text.

    Attributes:
        prompt_window: most prompt tokens, the begin token included; longer prompts lose their beginning.
        answer_window: most answer tokens, the end token included.
        boundary: ``exact`` supervises the tokens that hold answer characters and cuts prompt and answer each to its
            window; ``release`` counts the tokens of the answer tokenised alone (off by one for many tokenizers) and
            cuts the joint row to the sum of both windows.
        chat: prompts stand in the tokenizer's own template, which has a begin token of its own where it wants one; it is part of
            the prompt that the window cuts.
    """

    tokenizer: Tokenizer
    prompt_window: int
    answer_window: int
    boundary: Boundary = "exact"
    chat: bool = False

    def training_rows(self, prompts: Sequence[str], answers: Sequence[str]) -> list[TokenRow]:
        """Token rows of glued prompts and answers."""
        prompts = self._as_given(prompts)
        joint = self.tokenizer(
            [prompt + answer for prompt, answer in zip(prompts, answers, strict=True)],
            add_special_tokens=False,
            return_offsets_mapping=True,
            verbose=False,
        )
        if self.boundary == "release":
            alone = self.tokenizer(list(answers), add_special_tokens=False, verbose=False)["input_ids"]
            rows = zip(joint["input_ids"], alone, strict=True)
            return [self._release_row(ids, len(answer)) for ids, answer in rows]
        parts = zip(prompts, joint["input_ids"], joint["offset_mapping"], strict=True)
        return [self._exact_row(prompt, ids, offsets) for prompt, ids, offsets in parts]

    def prompt_rows(self, prompts: Sequence[str]) -> list[PromptRow]:
        """Prompts as they are given to the model when it has to answer."""
        encoded = self.tokenizer(self._as_given(prompts), add_special_tokens=False, verbose=False)["input_ids"]
        return [PromptRow(np.array(self._prompt(ids)), len(ids) > self.prompt_window) for ids in encoded]

    def answer_lengths(self, answers: Sequence[str]) -> list[int]:
        """Tokens that each answer takes, its end token not counted."""
        return [len(ids) for ids in self.tokenizer(list(answers), add_special_tokens=False, verbose=False)["input_ids"]]

    def come_back(self, answers: Sequence[str], ends: Collection[int]) -> list[str]:
        """What each answer reads like when the model gives exactly its tokens, up to the first of ``ends``."""
        encoded = self.tokenizer(list(answers), add_special_tokens=False, verbose=False)["input_ids"]
        until = [next((place for place, token in enumerate(ids) if token in ends), len(ids)) for ids in encoded]
        given = [ids[:end] for ids, end in zip(encoded, until, strict=True)]
        return decode_answers(self.tokenizer, given)

    def _as_given(self, prompts: Sequence[str]) -> list[str]:
        """The texts that the model reads: prompts bare, or each in the template up to where the answer begins."""
        return [in_chat_template(self.tokenizer, prompt) for prompt in prompts] if self.chat else list(prompts)

    @property
    def _begin(self) -> int | None:
        return None if self.chat else self.tokenizer.bos_token_id

    def _prompt(self, ids: list[int]) -> list[int]:
        """The last ``prompt_window`` ids, with the begin token where there is room for it."""
        begin = self._begin
        if len(ids) < self.prompt_window and begin is not None:
            return [begin, *ids]
        return ids[-self.prompt_window :]

    def _exact_row(self, prompt: str, ids: list[int], offsets: list[tuple[int, int]]) -> TokenRow:
        first = next((place for place, (_, end) in enumerate(offsets) if end > len(prompt)), len(ids))
        straddles = first < len(ids) and offsets[first][0] < len(prompt)
        if straddles:
            # Bytes of one unknown run share an offset: what the prompt alone begins with belongs to the prompt.
            alone = self.tokenizer(prompt, add_special_tokens=False, verbose=False)["input_ids"]
            while alone[: first + 1] == ids[: first + 1] and first < len(alone):
                first += 1
            straddles = first < len(alone)
        answer = [*ids[first:], self.tokenizer.eos_token_id]
        kept = answer[: self.answer_window]
        return TokenRow(
            np.array(self._prompt(ids[:first]) + kept),
            len(kept),
            prompt_cut=first > self.prompt_window,
            answer_cut=len(answer) > self.answer_window,
            straddles=straddles,
        )

    def _release_row(self, ids: list[int], answer_length: int) -> TokenRow:
        """The released collator: cut jointly, then the end token and the begin token where there is room."""
        most = self.prompt_window + self.answer_window
        row = ids[-most:]
        if len(row) < most:
            row = [*row, self.tokenizer.eos_token_id]
        if len(row) < most and self._begin is not None:
            row = [self._begin, *row]
        supervised = min(answer_length, most)
        supervised += supervised < most
        return TokenRow(np.array(row), min(supervised, len(row)), prompt_cut=len(ids) > most, answer_cut=answer_length > most)


def left_padded(rows: Sequence[Ids], pad: int, *, multiple: int = 1) -> dict[str, Tensor]:
    """Rows as one batch: ``input_ids``, ``attention_mask`` and ``position_ids``, (n, longest) int64 each.

    Padding stands on the left, so that all rows end together; positions count a row's own tokens from 0.
    """
    longest = max(len(row) for row in rows)
    width = -(-longest // multiple) * multiple
    ids = np.full((len(rows), width), pad, dtype=np.int64)
    mask = np.zeros((len(rows), width), dtype=np.int64)
    for line, row in enumerate(rows):
        ids[line, width - len(row) :] = row
        mask[line, width - len(row) :] = 1
    positions = np.maximum(mask.cumsum(axis=1) - 1, 0)
    arrays = {"input_ids": ids, "attention_mask": mask, "position_ids": positions}
    return {name: torch.from_numpy(array) for name, array in arrays.items()}


def training_batch(
    rows: Sequence[TokenRow], pad: int, *, multiple: int = 1, least: tuple[int, int] = (1, 1)
) -> dict[str, Tensor]:
    """Rows to be learned as one batch: ``input_ids`` and ``attention_mask`` (n, longest), ``answer_ids`` (n, window), int64.

    Padding stands on the right, where a causal network's own tokens never see it, so that no mask has to hide it. ``answer_ids`` are
    the tokens whose prediction is learned: the last of each row, which end the window; ``IGNORED`` in front of them. Both are at
    the ``least`` so wide.
    """
    longest = max(least[0], *(len(row.ids) for row in rows))
    width = -(-longest // multiple) * multiple
    window = min(max(least[1], *(row.answer_tokens for row in rows)), width - 1)
    ids = np.full((len(rows), width), pad, dtype=np.int64)
    mask = np.zeros((len(rows), width), dtype=np.int64)
    answers = np.full((len(rows), window), IGNORED, dtype=np.int64)
    for line, row in enumerate(rows):
        ids[line, : len(row.ids)], mask[line, : len(row.ids)] = row.ids, 1
        learned = min(row.answer_tokens, len(row.ids) - 1)  # nothing predicts a row's first token
        answers[line, window - learned :] = row.ids[len(row.ids) - learned :]
    arrays = {"input_ids": ids, "attention_mask": mask, "answer_ids": answers}
    return {name: torch.from_numpy(array) for name, array in arrays.items()}
