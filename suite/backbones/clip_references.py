"""A reference set as a CLIP reads it: pictures at its size, captions as tokens."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from suite.backbones.learner import Batch
from suite.backbones.pixels import Normaliser, image_size
from suite.backbones.transfer import send
from suite.data.decode import decode_all
from suite.data.references import References


class ClipReferences:
    """Pictures in the host's memory, sent batch by batch; captions (texts, context) on the device."""

    def __init__(
        self, found: References, visual: Any, tokenize: Callable[[Sequence[str]], Tensor], device: torch.device
    ) -> None:
        height, _ = image_size(visual)
        self._pixels = torch.from_numpy(decode_all(found.images, height).pixels)
        self.texts = tokenize(found.texts).to(device)
        self.device = device
        self._normalised = Normaliser(device)

    def __len__(self) -> int:
        return len(self._pixels)

    def batch(self, rows: Tensor) -> Batch:
        """Pictures ``rows`` (n,), without labels; of no task."""
        pixels = self._normalised(send(self._pixels[rows], self.device))
        return Batch(torch.full_like(rows, -1), rows, {"pixels": pixels})
