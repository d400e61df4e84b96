"""What a learner without classes and without a text encoder says when it is asked for either."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

NO_CLASSES = "a language model embeds no classes and no texts; a method that compares with them needs a CLIP"


class WithoutClasses:
    """Part of ``Learner`` that only a CLIP has; TypeError throughout."""

    def class_features(self, tasks: Sequence[int], *, judged: bool) -> Tensor:
        raise TypeError(NO_CLASSES)

    def compare(self, features: Tensor, classes: Tensor) -> Tensor:
        raise TypeError(NO_CLASSES)

    def encode_texts(self, tokens: Tensor) -> Tensor:
        raise TypeError(NO_CLASSES)

    def random_texts(self, count: int, length: int, generator: torch.Generator) -> Tensor:
        raise TypeError(NO_CLASSES)
