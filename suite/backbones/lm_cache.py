"""Key-value cache that grows in chunks and can be joined: the stock one copies everything at every new token."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor
from transformers.cache_utils import DynamicCache, DynamicLayer

CHUNK = 64  # tokens by which a layer's storage grows; copies become rare and little memory is wasted


class ChunkedLayer(DynamicLayer):
    """Keys and values as views into larger storage, (batch, heads, length, head size) each."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.storage: list[Tensor] = []

    def update(
        self,
        key_states: Tensor,
        value_states: Tensor,
        *args: Any,
        **kwargs: Any,
    ) -> tuple[Tensor, Tensor]:
        """Append the new tokens and return everything kept so far."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        start = self.get_seq_length()
        end = start + key_states.shape[-2]
        if not self.storage or end > self.storage[0].shape[-2]:
            kept = [part[:, :, :start] for part in self.storage]
            self.storage = [_room(new, len(new), end + CHUNK) for new in (key_states, value_states)]
            for part, old in zip(self.storage, kept, strict=False):
                part[:, :, :start] = old
        for part, new in zip(self.storage, (key_states, value_states), strict=True):
            part[:, :, start:end] = new
        return self._show(end)

    def batch_select_indices(self, indices: Tensor) -> None:
        """Keep some rows of the batch."""
        if self.storage:
            self.storage = [part[indices] for part in self.storage]
            self._show(self.get_seq_length())

    def join(self, layers: Sequence[ChunkedLayer]) -> None:
        """Become the rows of all ``layers``, one after the other; all end together, the left is filled with 0."""
        end = max(layer.get_seq_length() for layer in layers)
        rows = sum(len(layer.storage[0]) for layer in layers)
        self.storage = [_room(part, rows, end + CHUNK) for part in layers[0].storage]
        self.lazy_initialization(*self.storage)
        first = 0
        for layer in layers:
            length, last = layer.get_seq_length(), first + len(layer.storage[0])
            for part, old in zip(self.storage, layer.storage, strict=True):
                part[first:last, :, end - length : end] = old[:, :, :length]
            first = last
        self._show(end)

    def _show(self, end: int) -> tuple[Tensor, Tensor]:
        keys, values = (part[:, :, :end] for part in self.storage)
        self.keys, self.values = keys, values
        return keys, values


def _room(like: Tensor, rows: int, length: int) -> Tensor:
    return like.new_zeros(rows, like.shape[1], length, like.shape[-1])


def chunked_cache(config: Any) -> Any:
    """The cache the model's own code would make, with every plain layer replaced by a chunked one."""
    cache = DynamicCache(config=config)
    cache.layers = [ChunkedLayer() if type(layer) is DynamicLayer else layer for layer in cache.layers]
    return cache


def can_join(config: Any) -> bool:
    """False for models whose layers keep only a window of the past."""
    return all(type(layer) is ChunkedLayer for layer in chunked_cache(config).layers)


def joined(caches: Sequence[Any], config: Any) -> Any:
    """One cache over the rows of several."""
    cache = chunked_cache(config)
    for index, layer in enumerate(cache.layers):
        layer.join([part.layers[index] for part in caches])
    return cache
