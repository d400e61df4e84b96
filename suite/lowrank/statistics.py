"""What data does at the adapted maps: second moments of their inputs, gradients of their weights."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from suite.lowrank.frozen_map import FrozenMap
from suite.lowrank.layer import Part, Site, Slot


@contextmanager
def second_moments(network: nn.Module, slots: Sequence[Slot], seen: Callable[[], Tensor | None]) -> Iterator[dict[str, Tensor]]:
    """While the context is open, gather x x^T over everything that enters the maps of ``slots``.

    Slots on one input (q, k and v of an attention) share one tensor, whether they are one map or several that are handed one input.

    Args:
        network: whose maps are listened to.
        seen: tells, whenever an input (n, tokens, in) comes by, which of its tokens count, (n, tokens) bool; None: all.

    Yields:
        Slot name -> (in, in), fp64 on the CPU of a CPU network and fp32 elsewhere; sums while batches pass, means once the context is
        closed.
    """
    wanted = {slot.name for slot in slots}
    maps = [found for module in network.modules() if isinstance(found := getattr(module, "map", None), FrozenMap)]
    totals: dict[str, Tensor] = {}
    counts: dict[int, Tensor] = {}  # id of a sum -> inputs in it, on the sum's device
    latest: list[tuple[Tensor, Tensor]] = []  # the input that came by last and its sum
    for found in maps:
        names = [slot.name for slot in found.slots if slot.name in wanted]
        if not names:
            continue
        weight = found.slots[0].weight
        kind = torch.float64 if weight.device.type == "cpu" else torch.float32
        total = torch.zeros(weight.shape[1], weight.shape[1], dtype=kind, device=weight.device)
        counts[id(total)] = torch.zeros((), dtype=kind, device=weight.device)
        totals.update(dict.fromkeys(names, total))

        def add(x: Tensor, total: Tensor = total, names: Sequence[str] = names) -> None:
            if latest and latest[0][0] is x:
                totals.update(dict.fromkeys(names, latest[0][1]))
                return
            latest[:] = [(x, total)]
            mask = seen()
            rows = x.detach().reshape(-1, x.shape[-1]).to(total.dtype)
            if mask is None or x.dim() < 3:
                counts[id(total)] += len(rows)
            else:
                mask = F.pad(mask, (x.shape[1] - mask.shape[1], 0), value=True)  # what parts have put in front of the tokens
                # a row of zeros adds nothing, and asks the device for nothing as picking rows would
                rows = rows * mask.reshape(-1, 1)
                counts[id(total)] += mask.sum()
            total.addmm_(rows.T, rows)

        found.listener = add
    try:
        yield totals
    finally:
        latest.clear()
        for found in maps:
            found.listener = None
    for total in {id(total): total for total in totals.values()}.values():
        total /= counts[id(total)].clamp(min=1)


def weight_gradients(
    slots: Sequence[Slot], losses: Iterator[tuple[int, Callable[[], Tensor]]], *, squares: bool
) -> dict[str, Tensor]:
    """Mean gradient of a loss for the frozen weights of ``slots``, or the mean of its squares.

    Args:
        losses: (weight of it in the mean, forward pass that returns a mean loss) of each batch, one after the other.
        squares: square each batch's gradient before the mean: with batches of one example the diagonal of the empirical Fisher matrix.

    Returns:
        Slot name -> (rows, in) fp32.
    """
    weights = list({id(slot.weight): slot.weight for slot in slots}.values())
    totals = {slot.name: torch.zeros(slot.out_features, slot.in_features, device=slot.weight.device) for slot in slots}
    count = 0
    for weight in weights:
        weight.requires_grad_(True)
    try:
        for rows, forward in losses:
            found = torch.autograd.grad(forward(), weights, allow_unused=True)
            gradients = dict(zip(map(id, weights), found, strict=True))
            count += rows
            for slot in slots:
                gradient = gradients[id(slot.weight)]
                if gradient is not None:
                    own = gradient[slot.rows].float()
                    totals[slot.name] += rows * (own.square() if squares else own)
    finally:
        for weight in weights:
            weight.requires_grad_(False)
    return {name: total / max(1, count) for name, total in totals.items()}


@contextmanager
def parts_off(sites: Mapping[str, Site], keys: Sequence[str]) -> Iterator[None]:
    """The network without the parts named ``keys``, such as what it was before the task; afterwards they are as they were."""
    found: list[Part] = [site.part(key) for site in sites.values() for key in keys if key in site.parts]
    before = [part.enabled for part in found]
    for part in found:
        part.enabled = False
    try:
        yield
    finally:
        for part, enabled in zip(found, before, strict=True):
            part.enabled = enabled
