"""What a GPU can do for a run, and one sentence where it cannot: too old for this torch, too full, slow in bf16, out of memory."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from suite.errors import ConfigError
from suite.lowrank.late_branch import has_triton

GIB = 2**30
LEAST_FREE = GIB  # of a card; torch and its libraries alone take half of it
BF16_SINCE = (8, 0)  # compute capability of the first cards that multiply bf16 (Ampere); torch imitates it on older ones

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Card:
    """A GPU at one moment.

    Attributes:
        device: its name for torch, ``cuda:0``.
        capability: of its arithmetic, as NVIDIA counts it.
        free, whole, own: bytes that nobody holds, that it has, and that this process's tensors hold.
    """

    device: str
    name: str
    capability: tuple[int, int]
    free: int
    whole: int
    own: int = 0

    def __str__(self) -> str:
        return f"'{self.device}' ({self.name}, compute capability {self.capability[0]}.{self.capability[1]})"

    @property
    def others(self) -> int:
        """Bytes that neither are free nor hold this process's tensors."""
        return max(0, self.whole - self.free - self.own)

    @property
    def has_bf16(self) -> bool:
        return self.capability >= BF16_SINCE


def card_of(device: torch.device) -> Card:
    """The card behind a CUDA device.

    Raises:
        ConfigError: it cannot be used at all, as where another process has it alone.
    """
    try:
        free, whole = torch.cuda.mem_get_info(device)
        properties = torch.cuda.get_device_properties(device)
        own = torch.cuda.memory_reserved(device)
    except RuntimeError as error:
        reason = str(error).splitlines()[0].rstrip(".")
        raise ConfigError(
            f"device: '{device}' cannot be used ({reason}); end the process that holds it, name another device, or use 'cpu'."
        ) from None
    return Card(str(device), properties.name, (properties.major, properties.minor), free, whole, own)


def has_bf16(device: torch.device) -> bool:
    """Whether products in bf16 are fast on ``device``: a card that has them, not one on which torch imitates them."""
    return device.type == "cuda" and torch.cuda.get_device_capability(device) >= BF16_SINCE


def require_card(device: torch.device, precision: str) -> None:
    """Refuse a card that cannot hold or compute a run, and say in one line of the log what it will be slow in.

    Args:
        precision: of the run's training.

    Raises:
        ConfigError: with the numbers.
    """
    if device.type != "cuda":
        return
    card = card_of(device)
    if (reason := refused(card, torch.cuda.get_arch_list())) is not None:
        raise ConfigError(reason)
    if precision == "bf16" and not card.has_bf16:
        log.warning(
            "device: %s has no bf16 products, torch imitates them; training.precision=fp32 is faster there, and another run",
            card,
        )


def tell_of_kernels(device: torch.device) -> None:
    """One line of the log where a run that asks for Triton's kernels is computed by torch alone."""
    if device.type != "cuda":
        log.warning("training.kernels: a %s takes no kernels of Triton; torch computes the same, more slowly", device.type)
    elif not has_triton():
        log.warning("training.kernels: Triton is not installed; torch computes the same, more slowly ('pip install triton')")


def refused(card: Card, architectures: Sequence[str]) -> str | None:
    """Why no run can begin on ``card`` with a torch whose kernels are for ``architectures`` (``sm_75``, ``compute_90``)."""
    known = [(int(found[1]), int(found[2])) for each in architectures if (found := re.match(r"\D+(\d+)(\d)", each))]
    if known and card.capability < min(known):
        return (
            f"device: {card} is too old for this torch, whose kernels begin with capability {min(known)[0]}.{min(known)[1]}; use 'cpu', "
            "another card, or an older torch."
        )
    if card.free < LEAST_FREE:
        return (
            f"device: {card} is full, a run would be out of memory: {_gib(card.free)} of {_gib(card.whole)} GiB are free, other processes hold "
            f"{_gib(card.others)}; end them, name another device, or use 'cpu'."
        )
    return None


def filled(card: Card) -> str:
    """What is said of a run that ``card`` had too little memory for."""
    return (
        f"device: {card} is out of memory: of {_gib(card.whole)} GiB this run holds {_gib(card.own)}, other processes {_gib(card.others)}, "
        f"and {_gib(card.free)} are free; set training.micro_batch_size lower, end other processes, or take a larger card."
    )


def _gib(count: int) -> str:
    return f"{count / GIB:.1f}"
