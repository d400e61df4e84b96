"""The device a run is computed on."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from suite.errors import ConfigError

NAME = re.compile(r"(cpu|cuda)(?::(0|[1-9][0-9]{0,8}))?")


def choose_device(name: str) -> torch.device:
    """``auto`` takes the first GPU if there is one, else the CPU.

    Raises:
        ConfigError: a device that this machine lacks.
    """
    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if name == "auto":
        return torch.device("cuda" if gpus else "cpu")
    found = NAME.fullmatch(name)  # torch itself would take cuda:256 for cuda:0
    if found is None:
        raise ConfigError(f"device: '{name}' is not a device; use 'auto', 'cpu', 'cuda' or 'cuda:0'.")
    kind, number = found[1], int(found[2] or 0)
    if kind == "cpu" and number > 0:
        raise ConfigError(
            f"device: '{name}' is asked for but all cores of a machine are one device, 'cpu'; use that or 'auto'."
        )
    if kind == "cuda" and number >= gpus:
        there = f"cuda:0 to cuda:{gpus - 1}" if gpus else "no usable GPU"
        raise ConfigError(f"device: '{name}' is asked for but this machine has {there}; use one it has, 'cpu' or 'auto'.")
    return torch.device(name if kind == "cuda" else "cpu")


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
