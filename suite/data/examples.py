"""Examples: the rows of one split of a task, as arrays of pixels or as texts, each with an identity. No torch."""

from __future__ import annotations

import hashlib
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from suite.data.limit import first_rows

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = ("train", "validation", "test")
ROWS_AT_ONCE = 256  # images of a memory map that are hashed at a time


@dataclass(frozen=True, eq=False)
class ImageExamples:
    """One split of an image task.

    Attributes:
        pixels: uint8, (n, 3, height, width); may be a memory map. All images of a task have one size.
        labels: int64, (n,), indices into the task's class names.
        ids: n stable identities of the items (file name, index in the official list); part of the fingerprint.
        content: hash over the stored image files, so that a replaced file changes the fingerprint; None = the pixels' own hash.
        aspects: float32 (n,), width / height of pictures that were squeezed whole into their square, for the training
            crop; None where the square shows the picture undistorted.
        digests: n digests of the stored files, equal for exact copies; empty where pixels are all there is.
    """

    pixels: NDArray[np.uint8]
    labels: NDArray[np.int64]
    ids: tuple[str, ...]
    content: str | None = None
    aspects: NDArray[np.float32] | None = None
    digests: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.ids)

    def first(self, most: int) -> ImageExamples:
        """At most ``most`` of the examples, of every class equally many where there are enough (``suite.data.limit``)."""
        if len(self) <= most:
            return self
        rows = first_rows(self.labels, most)
        return replace(
            self,
            pixels=self.pixels[rows],
            labels=self.labels[rows],
            ids=tuple(self.ids[row] for row in rows.tolist()),
            aspects=None if self.aspects is None else self.aspects[rows],
            digests=tuple(self.digests[row] for row in rows.tolist()) if self.digests else (),
        )

    def contents(self) -> Sequence[Hashable]:
        """What each example is whatever it is called; equal for exact copies."""
        return self.digests or [hashlib.sha256(image.tobytes()).digest() for image in self.pixels]

    def identity(self) -> Iterator[str]:
        yield self._pixel_hash() if self.content is None else self.content
        yield from (f"{item}\t{label}" for item, label in zip(self.ids, self.labels.tolist(), strict=True))

    def _pixel_hash(self) -> str:
        digest = hashlib.sha256(repr((self.pixels.shape, str(self.pixels.dtype))).encode())
        for rows in range(0, len(self.pixels), ROWS_AT_ONCE):
            digest.update(np.ascontiguousarray(self.pixels[rows : rows + ROWS_AT_ONCE]).data)
        if self.aspects is not None:
            digest.update(np.ascontiguousarray(self.aspects).data)
        return digest.hexdigest()


@dataclass(frozen=True, eq=False)
class TextExamples:
    """One split of a text task: n prompts, n answers and n stable identities."""

    prompts: tuple[str, ...]
    answers: tuple[str, ...]
    ids: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.ids)

    def first(self, most: int) -> TextExamples:
        """At most ``most`` of the examples, the first ones."""
        return TextExamples(self.prompts[:most], self.answers[:most], self.ids[:most])

    def contents(self) -> Sequence[Hashable]:
        """What each example is whatever it is called; equal for exact copies."""
        return list(zip(self.prompts, self.answers, strict=True))

    def identity(self) -> Iterator[str]:
        rows = zip(self.ids, self.prompts, self.answers, strict=True)
        return (f"{item}\t{prompt}\t{answer}" for item, prompt, answer in rows)
