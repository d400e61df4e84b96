"""The device a run is computed on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from suite.errors import ConfigError


def choose_device(name: str) -> torch.device:
    """``auto`` takes the first GPU if there is one, else the CPU.

    Raises:
        ConfigError: a device that this machine lacks.
    """
    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if name == "auto":
        return torch.device("cuda" if gpus else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        device = torch.device("meta")
    if device.type not in ("cpu", "cuda"):
        raise ConfigError(f"device: '{name}' is not a device; use 'auto', 'cpu', 'cuda' or 'cuda:0'.")
    if device.type == "cuda" and (device.index or 0) >= gpus:
        there = f"cuda:0 to cuda:{gpus - 1}" if gpus else "no usable GPU"
        raise ConfigError(f"device: '{name}' is asked for but this machine has {there}; use one it has, 'cpu' or 'auto'.")
    return device


@contextmanager
def at_most_threads(count: int | None) -> Iterator[None]:
    """Meanwhile this process computes with no more threads than ``count`` on a CPU; None changes nothing."""
    before = torch.get_num_threads()
    if count is not None and count < before:
        torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
