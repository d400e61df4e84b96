"""Tokenizer of the mini CLIP: known words are one token, everything else is spelled in bytes; deterministic, no download.

Two texts that are heard differently (``heard``: case, Unicode form and kind of blanks do not count) never have the same tokens.
A text is read piece by piece (letters, digits, single other signs); a piece that is a known word becomes its token, any other
the bytes of its UTF-8 form. Bytes that begin a word and bytes inside one are different tokens, so that blanks need none. A text
longer than the context ends in a hash of the whole of it.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from suite.backbones.same_prompts import spoken

PAD, START, JOINED = 0, 1, 2  # no blank before the next known word
FIRST_BYTE = 3
BYTES = 256
FIRST_WORD = FIRST_BYTE + 2 * BYTES  # bytes that begin a word, bytes inside one
HASHED = 6  # bytes of the hash that ends a text which is too long
_PIECE = re.compile(r"[a-z]+|[0-9]+|.")


@dataclass(frozen=True)
class MiniTokenizer:
    """Texts to ids, one row each.

    The end token has the highest id, which is how open_clip finds the token it pools.

    Attributes:
        vocabulary: lower-case word -> id, from ``FIRST_WORD`` on.
        context_length: tokens per text, start and end included.
    """

    vocabulary: Mapping[str, int]
    context_length: int

    @property
    def end(self) -> int:
        return FIRST_WORD + len(self.vocabulary)

    def __call__(self, texts: Sequence[str], *, spelled: bool = False) -> Tensor:
        """(n, context_length) int64, zeros behind the end token; ``spelled``: as if no word were known."""
        vocabulary = {} if spelled else self.vocabulary
        tokens = torch.full((len(texts), self.context_length), PAD, dtype=torch.int64)
        for row, text in enumerate(texts):
            ids = [START, *self._fitting(text, vocabulary), self.end]
            tokens[row, : len(ids)] = torch.tensor(ids)
        return tokens

    def _fitting(self, text: str, vocabulary: Mapping[str, int]) -> list[int]:
        text = heard(text)
        ids = [token for word in text.split() for token in _word(word, vocabulary)]
        room = self.context_length - 2
        if len(ids) <= room:
            return ids
        digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=min(HASHED, room)).digest()
        return [*ids[: room - len(digest)], *_inside(digest)]


def heard(text: str) -> str:
    """``text`` as it is spoken; a blank before its last full stop, which a class name that ends in one leaves, is none."""
    return re.sub(r" \.$", ".", spoken(text))


def _word(word: str, vocabulary: Mapping[str, int]) -> Iterator[int]:
    for place, piece in enumerate(_PIECE.findall(word)):
        if piece in vocabulary:
            yield from [JOINED] if place else []
            yield vocabulary[piece]
        else:
            first, *others = piece.encode("utf-8", "surrogatepass")
            yield from _inside([first]) if place else [FIRST_BYTE + first]
            yield from _inside(others)


def _inside(values: Sequence[int] | bytes) -> list[int]:
    return [FIRST_BYTE + BYTES + value for value in values]


def vocabulary_of(texts: Sequence[str]) -> dict[str, int]:
    """Every word of ``texts`` in alphabetical order; single other signs are no words."""
    words = sorted({piece for text in texts for piece in _PIECE.findall(spoken(text)) if piece.isascii() and piece.isalnum()})
    return {word: FIRST_WORD + index for index, word in enumerate(words)}
