"""A frozen weight and the slots on its rows, applied to an input in the cheapest of three equal ways.

Branch by branch:   y = W x + b, then each branch adds scale B (gate * A x). The plain twin, and the only way for dropout and
                    whatever else stands there.
Effective weight:   y = (W + sum scale B diag(gate) A) x + b. Fewest operations where the weight is small beside its input, as in the
                    mini networks: the factors' gradients come out of the weight's. Made for all maps of a forward pass at once
                    (``suite.lowrank.effective_weights``), or anew for a call.
Fused:              branches inside the frozen map's own node of the graph (``suite.lowrank.fused``). Least arithmetic and memory
                    where the weight is large; exact for bf16 weights too, whose rounding would swallow small updates. Under
                    autocast the factors of all maps of a forward pass are rounded at once (``suite.lowrank.rounded_factors``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from suite.lowrank.fused import FusedPart, fused_map
from suite.lowrank.joined_map import TILE, Wide, joined_map, late_factor, silu, split_columns
from suite.lowrank.layer import Branch, Part, Slot, merged_form
from suite.lowrank.rounded_copy import RoundedCopy
from suite.lowrank.rounded_factors import RoundedParts, rounded_map
from suite.lowrank.sharded import WeightShard, frozen_linear

SMALL_WEIGHT = 8  # a weight with at most this many times the numbers of its factors is small; measured on a CPU


class FrozenMap:
    """Calls a frozen weight whose rows belong to ``slots``.

    Attributes:
        plain: compute branch by branch, whatever is cheaper.
        listener: told of every input (..., in) before it is mapped.
        made: the effective weight of all rows while ``suite.lowrank.effective_weights`` has made it, else None.
        rounded: the factors of its branches while they are there in the dtype of an autocast, else None.
        joined: the weight with all A below it while that is there too, else None (``suite.lowrank.joined_map``).
        joins: whether its inputs are so large beside the weight that ``joined`` pays.
        adds_late: leave its one branch to the kernel behind it where there is one (``suite.lowrank.late_branch``).
    """

    def __init__(self, slots: Sequence[Slot], *, joins: bool = False) -> None:
        self.slots = tuple(slots)
        self.joins = joins
        self.adds_late = False
        self.plain = False
        self.listener: Callable[[Tensor], None] | None = None
        self.made: Tensor | None = None
        self.rounded: RoundedParts | None = None
        self.joined: Tensor | None = None
        self._weight_copy, self._bias_copy, self._wide_bias_copy = RoundedCopy(), RoundedCopy(), RoundedCopy()

    @property
    def is_product(self) -> bool:
        """Whether the whole map is products alone, which may be scaled: nothing on it has to see its input or its result."""
        if self.plain or self.listener is not None or self.slots[0].weight.requires_grad:
            return False
        return self.made is not None or _parts(self.slots) is not None

    def scaled(self, x: Tensor, weight: Tensor, bias: Tensor | None, scale: float) -> Tensor:
        """x (..., in) -> (..., rows): the map of ``scale`` times x plus the bias as it is given, the scale inside the product."""
        if self.made is not None:
            return _scaled_linear(x, self.made, bias, scale)
        parts = _parts(self.slots) or []
        if _has_small_weight(x, weight, parts):
            return _scaled_linear(x, _effective_weight(weight, self.slots), bias, scale)
        return self._mapped(x, weight, bias, None, parts, scale)

    def __call__(self, x: Tensor, weight: Tensor, bias: Tensor | None, rows: slice | None = None) -> Tensor:
        """x (..., in) -> (..., rows of weight); ``rows`` must begin and end where slots do, None = all."""
        if self.listener is not None:
            self.listener(x)
        if self.made is not None:
            return F.linear(x, *_chosen(self.made, bias, rows))
        if (shard := self.slots[0].shard) is not None:
            return self._of_shards(x, weight, bias, shard)
        slots = self.slots
        if rows is not None:
            slots = tuple(slot for slot in slots if rows.start <= slot.rows.start and slot.rows.stop <= rows.stop)
        parts = None if self.plain or weight.requires_grad else _parts(slots)
        if parts is None:
            return _branch_by_branch(x, *_chosen(weight, bias, rows), slots)
        if _has_small_weight(x, weight, parts):
            weight, bias = _chosen(weight, bias, rows)
            return F.linear(x, _effective_weight(weight, slots), bias)
        return self._mapped(x, weight, bias, rows, parts, 1.0)

    def split(
        self, x: Tensor, weight: Tensor, bias: Tensor | None, rows: slice | None, sizes: Sequence[int]
    ) -> Sequence[Tensor]:
        """x (..., in) -> the map's result as tensors of so many columns."""
        if rows is None and self.listener is None and self.joined is not None:
            return split_columns(self._through_joined(x, bias, 1.0, spare=True), sizes)
        parts: Sequence[Tensor] = self(x, weight, bias, rows).split(list(sizes), dim=-1)
        return parts

    def silu(self, x: Tensor, weight: Tensor, bias: Tensor | None, scale: float) -> Tensor:
        """silu of ``scaled``."""
        if self.joined is not None:
            return silu(self._wide(x, bias, scale, TILE), len(weight))
        return F.silu(self.scaled(x, weight, bias, scale))

    def wide(self, x: Tensor, weight: Tensor, bias: Tensor | None, scale: float) -> Wide:
        """``scaled``, behind it as many columns as cost nothing."""
        if self.listener is None and self.joined is not None:
            return self._wide(x, bias, scale, len(weight))
        return Wide(self(x, weight, bias) if scale == 1.0 else self.scaled(x, weight, bias, scale))

    def _wide(self, x: Tensor, bias: Tensor | None, scale: float, at_once: int) -> Wide:
        assert self.rounded is not None
        late = late_factor(self.rounded, len(self.weight), at_once) if self.adds_late else None
        return Wide(self._through_joined(x, bias, scale, spare=True, late=late is not None), late)

    def _through_joined(self, x: Tensor, bias: Tensor | None, scale: float, *, spare: bool, late: bool = False) -> Tensor:
        assert self.joined is not None
        assert self.rounded is not None
        if bias is not None:
            bias = self._wide_bias_copy.of(bias, self.joined.dtype, zeros=len(self.rounded.a))
        return joined_map(x, self.joined, bias, self.rounded, scale, spare=spare, late=late)

    def _mapped(
        self, x: Tensor, weight: Tensor, bias: Tensor | None, rows: slice | None, parts: Sequence[FusedPart], scale: float
    ) -> Tensor:
        """By a weight that is large, or has no branches, in the dtype of the autocast in force."""
        if rows is None and self.joined is not None:
            return self._through_joined(x, bias, scale, spare=False)
        autocast = torch.is_autocast_enabled(x.device.type)
        weight, bias = _chosen(self._working_weight(weight, autocast), self._working_bias(bias, autocast), rows)
        if not parts:
            return F.linear(x, weight, bias) if scale == 1.0 else _scaled_linear(x, weight, bias, scale)
        rounded = self.rounded if self.rounded is None or rows is None else self.rounded.on(rows)
        if rounded is not None and autocast:
            return rounded_map(x, weight, bias, rounded, scale)
        return fused_map(x, weight, bias, parts, scale)

    def _of_shards(self, x: Tensor, weight: Tensor, bias: Tensor | None, shard: WeightShard) -> Tensor:
        """With a weight that is whole for this pass alone: fused, however small, since nothing of its size may be kept."""
        autocast = torch.is_autocast_enabled(x.device.type)
        kind, bias = _working_dtype(weight, autocast), self._working_bias(bias, autocast)
        parts = [] if shard.is_merged else None if self.plain else _parts(self.slots)
        if not parts:
            y = frozen_linear(x, weight, bias, kind)
            return _with_branches(y, x, self.slots) if parts is None else y
        if autocast and self.rounded is not None:
            return rounded_map(x, weight, bias, self.rounded, kind=kind)
        return fused_map(x, weight, bias, parts, kind=kind)

    @property
    def weight(self) -> Tensor:
        """(all rows, in), as the slots see it."""
        return self.slots[0].weight.detach()

    def effective(self) -> Tensor | None:
        """The weight of all rows with its branches in it, in the dtype of the autocast in force; None if a part has to see its own input.

        The weight itself stays as it is; where nothing stands on it, it is what is returned.
        """
        parts = None if self.plain or self.slots[0].weight.requires_grad else _parts(self.slots)
        if parts is None:
            return None
        autocast = torch.is_autocast_enabled(self.weight.device.type)
        if not parts:
            return self._working_weight(self.weight, autocast)
        whole = _effective_weight(self.weight.float(), self.slots)
        return whole.to(torch.get_autocast_dtype(whole.device.type) if autocast else self.weight.dtype)

    def merge(self) -> bool:
        """Until ``unmerge`` the map is its weight with its branches in it, if these do not see their own input; returns whether it is.

        Of a weight that lies over several workers each of them changes its part and keeps the old one; of any other a second one is made.
        """
        shard = self.slots[0].shard
        if shard is None:
            self.made = self.effective()
            return self.made is not None
        if self.plain or not _parts(self.slots):
            return False
        shard.keep()
        for slot in self.slots:
            for key in [key for key in slot.parts if slot.part(key).enabled]:
                slot.add_to_weight(merged_form(slot, key))
        return True

    def unmerge(self) -> None:
        """The weight as it was before ``merge``, bit for bit."""
        self.made = None
        if (shard := self.slots[0].shard) is not None:
            shard.restore()

    def _working_weight(self, weight: Tensor, autocast: bool) -> Tensor:
        """The weight in the dtype of the autocast in force; the copy is kept until the fp32 one is merged into."""
        return self._weight_copy.of(weight, _working_dtype(weight, autocast), self.slots[0].weight)  # which merges write to

    def _working_bias(self, bias: Tensor | None, autocast: bool) -> Tensor | None:
        if bias is None or bias.requires_grad:
            return bias
        return self._bias_copy.of(bias, _working_dtype(bias, autocast))

    def rounded_weight(self) -> Tensor:
        """(all rows, in) in the dtype of the autocast in force."""
        return self._working_weight(self.weight, autocast=True)

    def parts_to_round(self) -> list[FusedPart]:
        """The branches whose factors an autocast will round; none where the map is computed another way."""
        if self.plain or self.made is not None or self.slots[0].weight.requires_grad:
            return []
        return _parts(self.slots) or []


def compute_plainly(network: nn.Module, plain: bool) -> None:
    """Switch every frozen map of a network between branch by branch and the cheapest way."""
    for module in network.modules():
        found = getattr(module, "map", None)
        if isinstance(found, FrozenMap):
            found.plain = plain


def _scaled_linear(x: Tensor, weight: Tensor, bias: Tensor | None, scale: float) -> Tensor:
    flat = x.reshape(-1, x.shape[-1]).to(weight.dtype)
    nothing = flat.new_zeros(()) if bias is None else bias.to(weight.dtype)
    return torch.addmm(nothing, flat, weight.T, beta=0 if bias is None else 1, alpha=scale).view(*x.shape[:-1], len(weight))


def _working_dtype(tensor: Tensor, autocast: bool) -> torch.dtype:
    return torch.get_autocast_dtype(tensor.device.type) if autocast else tensor.dtype


def _has_small_weight(x: Tensor, weight: Tensor, parts: Sequence[FusedPart]) -> bool:
    """Whether a product with the effective weight is the cheapest way; rounded, it would swallow small updates."""
    if not parts or weight.dtype != torch.float32 or torch.is_autocast_enabled(x.device.type):
        return False
    return is_small(weight, _numbers(parts))


def _chosen(weight: Tensor, bias: Tensor | None, rows: slice | None) -> tuple[Tensor, Tensor | None]:
    if rows is None:
        return weight, bias
    return weight[rows], None if bias is None else bias[rows]


def _branch_by_branch(x: Tensor, weight: Tensor, bias: Tensor | None, slots: Sequence[Slot]) -> Tensor:
    return _with_branches(F.linear(x, weight, bias), x, slots)


def _with_branches(y: Tensor, x: Tensor, slots: Sequence[Slot]) -> Tensor:
    if len(slots) == 1:
        return cast(Tensor, slots[0](y, x))
    if not any(slot.parts for slot in slots):
        return y
    sizes = [slot.out_features for slot in slots]
    return torch.cat([slot(part, x) for slot, part in zip(slots, y.split(sizes, dim=-1), strict=True)], dim=-1)


def enabled_branches(slot: Slot) -> list[Branch] | None:
    """The branches of ``slot`` that are on; None if one of its parts has to see its own input."""
    found = []
    for part in slot.parts.values():
        if not isinstance(part, Part) or not part.enabled:
            continue
        if not isinstance(part, Branch) or part.middle is not None or (part.dropout and part.training):
            return None
        found.append(part)
    return found


def _parts(slots: Sequence[Slot]) -> list[FusedPart] | None:
    """The enabled branches of ``slots`` as columns of the map they make up; None if one has to see its own input."""
    parts, start = [], 0
    for slot in slots:
        columns = slice(start, start + slot.out_features)
        branches = enabled_branches(slot)
        if branches is None:
            return None
        parts += [FusedPart(columns, branch.a, branch.b, branch.gate, branch.scale) for branch in branches]
        start = columns.stop
    return parts


def _numbers(parts: Sequence[FusedPart]) -> int:
    return sum(part.a.numel() + part.b.numel() for part in parts)


def is_small(weight: Tensor, learned: int) -> bool:
    """Whether a weight is small beside so many numbers of its factors."""
    return weight.numel() <= SMALL_WEIGHT * learned


def _effective_weight(weight: Tensor, slots: Sequence[Slot]) -> Tensor:
    """(rows, in) fp32: the weight plus every branch's product."""
    blocks = []
    for slot, block in zip(slots, weight.split([slot.out_features for slot in slots]), strict=True):
        for branch in map(slot.branch, slot.parts):
            if not branch.enabled:
                continue
            b = branch.b if branch.gate is None else branch.b * branch.gate
            block = torch.addmm(block, b, branch.a, alpha=branch.scale)
        blocks.append(block)
    return blocks[0] if len(blocks) == 1 else torch.cat(blocks)
