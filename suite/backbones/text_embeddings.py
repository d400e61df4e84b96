"""Embeddings of class prompts: kept while the text encoder is what it was, shared between runs while it is untouched."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Hashable, Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from suite.files import atomic_write
from suite.hardware import hardware
from suite.lowrank.layer import Slot


class TextEmbeddings:
    """What the text encoder made of some tokens, until a merge, a step or a branch changes it.

    Args:
        slots: the encoder's slots; all that can change it.

    Attributes:
        shelf: folder in which runs on the same backbone and data find what the untouched encoder said; None = they share nothing.
    """

    def __init__(self, slots: Sequence[Slot], device: torch.device) -> None:
        self.slots = tuple(slots)
        self.device = device
        self.shelf: Path | None = None
        self._kept: dict[Hashable, tuple[Hashable, Tensor]] = {}
        self._untouched = self._state()

    def get(self, name: str, tokens: Tensor, compute: Callable[[], Tensor]) -> Tensor:
        """``compute()`` without gradients, or what it returned under ``name`` in this precision while nothing has changed."""
        key, state = (name, torch.is_autocast_enabled(self.device.type)), self._state()
        known = self._kept.get(key)
        if known is None or known[0] != state:
            with torch.no_grad():
                known = state, self._shared(name, tokens, compute) if state == self._untouched else compute()
            self._kept[key] = known
        return known[1]

    def begin_task(self) -> None:
        """Forget what the untouched encoder did not say: the task will change it anyway."""
        self._kept = {key: kept for key, kept in self._kept.items() if kept[0] == self._untouched}

    def _shared(self, name: str, tokens: Tensor, compute: Callable[[], Tensor]) -> Tensor:
        if self.shelf is None:
            return compute()
        path = self.shelf / f"text-{self._fingerprint(name, tokens)}.safetensors"
        try:
            return load_file(path)["embeddings"].to(self.device)
        except (FileNotFoundError, SafetensorError):  # nobody has come by yet, or the file is damaged
            found = compute()
            atomic_write(path, save({"embeddings": found.cpu().contiguous()}))
            return found

    def _fingerprint(self, name: str, tokens: Tensor) -> str:
        """16 hex digits of all that decides the numbers beside the weights: prompts, precision, hardware, torch."""
        autocast = torch.is_autocast_enabled(self.device.type)
        facts = (
            name,
            tuple(tokens.shape),
            str(torch.get_autocast_dtype(self.device.type)) if autocast else "fp32",
            torch.backends.cuda.matmul.allow_tf32,
            torch.are_deterministic_algorithms_enabled(),
            torch.__version__,
            hardware(self.device),
        )
        return hashlib.sha256(repr(facts).encode() + tokens.cpu().numpy().tobytes()).hexdigest()[:16]

    def _state(self) -> Hashable:
        """Equal while weights and branches are: torch counts the writes to every tensor, steps count theirs themselves."""
        return tuple(
            (slot.weight._version, *((key, *_versions(slot, key)) for key in slot.branches)) for slot in self.slots
        )


def _versions(slot: Slot, key: str) -> tuple[Hashable, ...]:
    branch = slot.branch(key)
    return (branch.enabled, *(parameter._version for parameter in branch.parameters()))


@runtime_checkable
class EmbedsTexts(Protocol):
    """A learner that judges images by embeddings of prompts."""

    embeddings: TextEmbeddings
