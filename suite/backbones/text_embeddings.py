"""Embeddings of class prompts: kept while the text encoder is what it was, shared between runs while it is untouched."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import FunctionType, MethodType
from typing import Protocol, runtime_checkable

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from suite.files import atomic_write
from suite.hardware import hardware

OF_EVERY_MODULE = vars(nn.Module()).keys()  # registries and the training mode, which is told apart where it matters
OPAQUE = (FunctionType, MethodType, partial)


class TextEmbeddings:
    """What the text encoder made of some tokens, until anything in it is written to, put in, taken out or switched.

    Args:
        modules: every module of the encoder as it is at the moment of the call.

    Attributes:
        shelf: folder in which runs on the same backbone and data find what the untouched encoder said; None = they share nothing.
    """

    def __init__(self, modules: Callable[[], Iterable[nn.Module]], device: torch.device) -> None:
        self.modules = modules
        self.device = device
        self.shelf: Path | None = None
        self._kept: dict[Hashable, tuple[EncoderState, Tensor]] = {}
        self._untouched = encoder_state(modules())

    def get(self, name: str, tokens: Tensor, compute: Callable[[], Tensor]) -> Tensor:
        """``compute()`` without gradients, or what it returned under ``name`` in this precision while nothing has changed.

        With gradients, and not kept, while something in the encoder learns.
        """
        key, state = (name, torch.is_autocast_enabled(self.device.type)), encoder_state(self.modules())
        if state.learns and torch.is_grad_enabled():
            return compute()
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


@dataclass(frozen=True)
class EncoderState:
    """Equal to another while nothing in the encoder has changed in between.

    Attributes:
        learns: whether a tensor asks for gradients.
        alive: the tensors and modules that ``seen`` names by address, which nothing else may be given as long as they live.
    """

    seen: Hashable
    learns: bool
    alive: tuple[object, ...] = field(compare=False)


def encoder_state(modules: Iterable[nn.Module]) -> EncoderState:
    """Which modules and tensors there are, how often each tensor was written to, and how the modules are set.

    Torch counts the writes to every tensor, steps count theirs themselves. A module that holds a function may compute with
    anything, so its encoder is never as it was.
    """
    seen: list[Hashable] = []
    alive: list[object] = []
    learns = False
    for module in modules:  # asked in every step, hence as few calls as there can be
        alive.append(module)
        fields, tensors = vars(module), [*module._parameters.values(), *module._buffers.values()]
        seen.append((id(module), *module._forward_pre_hooks, *module._forward_hooks))
        for name in sorted(fields.keys() - OF_EVERY_MODULE):
            value = fields[name]
            if isinstance(value, bool | int | float | str):
                seen.append((name, value))
            elif isinstance(value, OPAQUE):
                seen.append(object())
        for tensor in tensors:
            if tensor is not None:
                seen.append((id(tensor), tensor._version, tensor.data_ptr()))
                alive.append(tensor)
                learns = learns or tensor.requires_grad
    return EncoderState(tuple(seen), learns, tuple(alive))


@runtime_checkable
class EmbedsTexts(Protocol):
    """A learner that judges images by embeddings of prompts."""

    embeddings: TextEmbeddings
