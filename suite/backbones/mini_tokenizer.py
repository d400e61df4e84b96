"""Word tokenizer of the mini CLIP: a closed list of words, deterministic, no download."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

PAD, START, UNKNOWN, FIRST_WORD = 0, 1, 2, 3
_WORD = re.compile(r"[a-z0-9]+")


@dataclass(frozen=True)
class MiniTokenizer:
    """Lower-case words to ids; words outside the vocabulary share one id.

    The end token has the highest id, which is how open_clip finds the token it pools.

    Attributes:
        vocabulary: word -> id, from ``FIRST_WORD`` on.
        context_length: tokens per text, start and end included; longer texts are cut before the end token.
    """

    vocabulary: Mapping[str, int]
    context_length: int

    @property
    def end(self) -> int:
        return FIRST_WORD + len(self.vocabulary)

    def __call__(self, texts: Sequence[str]) -> Tensor:
        """(n, context_length) int64, zeros behind the end token."""
        tokens = torch.full((len(texts), self.context_length), PAD, dtype=torch.int64)
        for row, text in enumerate(texts):
            words = [self.vocabulary.get(word, UNKNOWN) for word in _WORD.findall(text.lower())]
            ids = [START, *words[: self.context_length - 2], self.end]
            tokens[row, : len(ids)] = torch.tensor(ids)
        return tokens


def vocabulary_of(texts: Sequence[str]) -> dict[str, int]:
    """Every word of ``texts`` in alphabetical order."""
    words = sorted({word for text in texts for word in _WORD.findall(text.lower())})
    return {word: FIRST_WORD + index for index, word in enumerate(words)}
