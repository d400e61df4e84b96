"""One root seed, many named generators. A generator's stream depends on (root seed, name) alone."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch


def derived_seed(*parts: object) -> int:
    """A 63-bit seed from the text of ``parts``; the same on every machine and Python version."""
    digest = hashlib.sha256("\x1f".join(str(part) for part in parts).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def numpy_generator(*parts: object) -> np.random.Generator:
    """NumPy generator (PCG64) keyed by the text of ``parts``."""
    return np.random.Generator(np.random.PCG64(derived_seed(*parts)))


@dataclass
class RandomStreams:
    """Named CPU generators of one run (``order``, ``init``, ``batch``, ``memory``, ...), made on first use."""

    seed: int
    generators: dict[str, torch.Generator] = field(default_factory=dict)

    def __getitem__(self, name: str) -> torch.Generator:
        if name not in self.generators:
            self.generators[name] = torch.Generator().manual_seed(derived_seed(self.seed, name))
        return self.generators[name]

    def state(self) -> dict[str, torch.Tensor]:
        """State of every generator used so far, ready for safetensors."""
        return {name: generator.get_state().clone() for name, generator in self.generators.items()}

    def load(self, state: dict[str, Any]) -> None:
        """Put every generator of ``state`` back to exactly where it was."""
        for name, value in state.items():
            self[name].set_state(value)
