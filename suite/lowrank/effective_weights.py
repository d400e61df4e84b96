"""The effective weights of all small maps of a network at once: one batched product per shape instead of one per branch.

    W_e = W + sum over branches of  scale * B diag(gate) A        for every map in which the weight is small beside its input

A small network has dozens of them, and each product costs more to ask for than to compute. Here the maps of equal shape are rows of
one tensor: a stack of frozen weights, a stack of A and one of B. Backward, with G = dL/dW_e of each:

    dA = scale * (B diag(gate))^T G,    M = scale * G A^T,    dB = M diag(gate),    dgate = column sums of M * B

The plain twin is what ``FrozenMap`` does by itself where nobody has made its weight; the two differ by rounding alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import Any, NamedTuple

import psutil
import torch
from torch import Tensor, nn

from suite.lowrank.frozen_map import FrozenMap, enabled_branches, is_small
from suite.lowrank.joined_map import can_join, joined_weights
from suite.lowrank.layer import Branch
from suite.lowrank.rounded_factors import rounded_parts


class _Kind(NamedTuple):
    """Of a branch: what decides which others its product can be computed with."""

    rank: int
    gated: bool
    scale: float


class _Shape(NamedTuple):
    """Of a map: rows and columns of the blocks that its slots are, and the kinds of branches that each of them has, in order."""

    rows: int
    columns: int
    kinds: tuple[_Kind, ...]


class _Member(NamedTuple):
    """A map, and the branches of each of its slots; none for a slot that learns nothing beside others that do."""

    map: FrozenMap
    branches: tuple[Sequence[Branch], ...]


class EffectiveWeights:
    """The frozen maps below ``network`` whose effective weights are to be made together."""

    def __init__(self, network: nn.Module) -> None:
        self.maps = [found for module in network.modules() if isinstance(found := getattr(module, "map", None), FrozenMap)]

    @contextmanager
    def made(self) -> Iterator[None]:
        """For one forward pass: every small map finds its weight made, under autocast every map its branches' factors rounded.

        Nothing may be merged or switched off meanwhile.
        """
        made, rounded = self._make(), self._round()
        try:
            yield
        finally:
            for one in made:
                one.made = None
            for one in rounded:
                one.rounded = one.joined = None

    @contextmanager
    def merged(self, agreed: Callable[[float], float] = float) -> Iterator[None]:
        """For many forward passes without gradients: every map has its branches in its weight, but for those that see their own input.

        Each map whose branches learn something has a second weight meanwhile, or a second one of what lies here of it, as many of them
        as leave half of the free memory.

        Args:
            agreed: what all workers take for that number of bytes where they share the weights.
        """
        made: list[FrozenMap] = []
        left = agreed(_free_bytes(self.maps[0].weight.device) / 2) if self.maps else 0
        try:
            for one in self.maps:
                shard = one.slots[0].shard
                left -= (shard or one.weight).nbytes if any(slot.parts for slot in one.slots) else 0
                if left >= 0 and one.made is None and one.merge():
                    made.append(one)
            yield
        finally:
            for one in made:
                one.unmerge()

    def _round(self) -> list[FrozenMap]:
        if not self.maps or not torch.is_autocast_enabled(device := self.maps[0].weight.device.type):
            return []
        found = [(one, parts) for one in self.maps if one.rounded is None and (parts := one.parts_to_round())]
        if not found:
            return []
        rows = [len(one.weight) for one, _ in found]
        every = rounded_parts([parts for _, parts in found], rows, torch.get_autocast_dtype(device))
        for (one, _), rounded in zip(found, every, strict=True):
            one.rounded = rounded
        joining = [(one, parts) for (one, _), parts in zip(found, every, strict=True) if one.joins and can_join(parts)]
        weights = [one.rounded_weight() for one, _ in joining]
        for (one, _), joined in zip(joining, joined_weights(weights, [parts for _, parts in joining]), strict=True):
            one.joined = joined
        return [one for one, _ in found]

    def _make(self) -> list[FrozenMap]:
        groups: dict[_Shape, list[_Member]] = {}
        for one in self.maps:
            if one.made is None and (found := _small(one)) is not None:
                groups.setdefault(found[0], []).append(found[1])
        if not groups:
            return []
        layout = [_Group.of(shape, members) for shape, members in groups.items()]
        factors = [factor for shape, members in groups.items() for factor in _factors(shape, members)]
        weights = _EffectiveWeights.apply(layout, *factors)
        maps = [member.map for members in groups.values() for member in members]
        for one, weight in zip(maps, weights, strict=True):
            one.made = weight
        return maps


@dataclass(frozen=True)
class _Group:
    """Maps of one shape.

    Attributes:
        weights: the frozen weight of each, (slots of the map x rows, columns).
        blocks: slots of all maps.
    """

    shape: _Shape
    weights: list[Tensor]
    blocks: int

    @classmethod
    def of(cls, shape: _Shape, members: Sequence[_Member]) -> _Group:
        weights = [member.map.slots[0].weight.detach() for member in members]
        return cls(shape, weights, sum(len(member.branches) for member in members))

    @property
    def row_counts(self) -> list[int]:
        return [len(weight) for weight in self.weights]

    def factor_counts(self, kind: _Kind) -> tuple[int, int, int]:
        """How many A, B and gates there are of a kind of branch."""
        return self.blocks, self.blocks, self.blocks if kind.gated else 0

    def stacks(self, factors: Iterator[Tensor]) -> Iterator[tuple[_Kind, list[Tensor], list[Tensor], list[Tensor]]]:
        """For each kind of branch what the next of ``factors`` are: A, B and gates of every block."""
        for kind in self.shape.kinds:
            a, b, gates = (list(islice(factors, count)) for count in self.factor_counts(kind))
            yield kind, a, b, gates


def _small(one: FrozenMap) -> tuple[_Shape, _Member] | None:
    """A map that has an effective weight, None if it is to be computed another way or is not made of equal blocks."""
    if one.slots[0].shard is not None:
        return None
    weight = one.slots[0].weight
    if one.plain or weight.requires_grad or weight.dtype != torch.float32 or torch.is_autocast_enabled(weight.device.type):
        return None
    rows, columns = one.slots[0].out_features, weight.shape[1]
    branches, kinds = [], set()
    for slot in one.slots:
        found = enabled_branches(slot)
        if found is None or slot.out_features != rows:
            return None
        branches.append(found)
        if found:
            kinds.add(tuple(_Kind(len(branch.a), branch.gate is not None, branch.scale) for branch in found))
    if len(kinds) != 1 or rows * len(branches) != len(weight):
        return None
    of_all = kinds.pop()
    learned = sum(map(len, branches)) // len(of_all) * sum(kind.rank for kind in of_all) * (rows + columns)
    return (_Shape(rows, columns, of_all), _Member(one, tuple(branches))) if is_small(weight, learned) else None


def _factors(shape: _Shape, members: Sequence[_Member]) -> Iterator[Tensor]:
    """In the order in which ``_Group.stacks`` reads them; zeros for slots without branches."""
    device = members[0].map.slots[0].weight.device
    blocks = [found for member in members for found in member.branches]
    for place, kind in enumerate(shape.kinds):
        sizes = ((kind.rank, shape.columns), (shape.rows, kind.rank), (kind.rank,))
        no_a, no_b, no_gate = (torch.zeros(0 if all(blocks) else size, device=device) for size in sizes)
        yield from (found[place].a if found else no_a for found in blocks)
        yield from (found[place].b if found else no_b for found in blocks)
        if kind.gated:
            gates = (found[place].gate if found else None for found in blocks)
            yield from (no_gate if gate is None else gate for gate in gates)


class _EffectiveWeights(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, layout: Sequence[_Group], *factors: Tensor) -> tuple[Tensor, ...]:
        left = iter(factors)
        kept: list[Tensor] = []
        made: list[Tensor] = []
        for group in layout:
            whole = torch.cat(group.weights).view(group.blocks, group.shape.rows, group.shape.columns)
            for kind, *stacks in group.stacks(left):
                a, b = (torch.stack(stack) for stack in stacks[:2])
                gate = torch.stack(stacks[2])[:, None] if kind.gated else None
                gated = b if gate is None else b * gate
                whole.baddbmm_(gated, a, alpha=kind.scale)
                kept += [a, gated, *([] if gate is None else [b, gate])]
            made += whole.flatten(0, 1).unsafe_split_with_sizes(group.row_counts)
        ctx.save_for_backward(*kept)
        ctx.layout = layout
        return tuple(made)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        kept, given = iter(ctx.saved_tensors), iter(gradients)
        asked = iter(ctx.needs_input_grad[1:])
        found: list[Tensor | None] = []
        for group in ctx.layout:
            dw = torch.cat([next(given) for _ in group.weights]).view(group.blocks, group.shape.rows, group.shape.columns)
            for kind in group.shape.kinds:
                a, gated = next(kept), next(kept)
                of_a, of_b, of_gates = (sum(islice(asked, count)) for count in group.factor_counts(kind))
                found += _unbound(_scaled(torch.bmm(gated.mT, dw), kind.scale) if of_a else None, group.blocks)
                db = _scaled(torch.bmm(dw, a.mT), kind.scale) if of_b or of_gates else None
                if kind.gated:
                    b, gate = next(kept), next(kept)
                    found += _unbound(None if db is None else db * gate, group.blocks)
                    found += _unbound(None if db is None else (db * b).sum(dim=1), group.blocks)
                else:
                    found += _unbound(db, group.blocks)
        return (None, *found)


def _free_bytes(device: torch.device) -> int:
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return int(psutil.virtual_memory().available)


def _scaled(product: Tensor, scale: float) -> Tensor:
    return product if scale == 1.0 else product * scale


def _unbound(stack: Tensor | None, count: int) -> Sequence[Tensor | None]:
    return [None] * count if stack is None else stack.unbind()
