"""Low-rank parts of a frozen linear map: branch (one A, B, gate) and slot (frozen weight with its branches).

    y = W x + b + sum over branches of  scale * B (gate * (A x)),      A (r, in), B (out, r), gate (r,)

Source: LoRA, arXiv 2106.09685; gated form of SoRA, arXiv 2311.11696, and CoDyRA, arXiv 2412.01004.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from suite.errors import ConfigError
from suite.lowrank.sharded import WeightShard

Middle = Callable[[Tensor, Tensor], Tensor]  # (x, A x) -> what B is applied to, shaped like A x


class Factors(NamedTuple):
    """fp32 factors of one update with gate and scale folded into ``b``: delta = b @ a, a (r, in), b (out, r)."""

    a: Tensor
    b: Tensor


def stacked(parts: Sequence[Factors]) -> Factors:
    """One pair whose product is the sum of all: rows of a below each other, columns of b beside each other."""
    return Factors(torch.cat([part.a for part in parts]), torch.cat([part.b for part in parts], dim=1))


class Part(nn.Module):
    """Anything that stands on a site: a low-rank branch, an adapter, a prompt, a router."""

    def __init__(self) -> None:
        super().__init__()
        self.enabled = True

    def forward(self, y: Tensor, x: Tensor) -> Tensor:
        """The site's result, from what stood there before ``y`` and the input ``x``."""
        raise TypeError(f"{type(self).__name__} does not say what it makes of its site's result")

    def factors(self) -> Factors | None:
        """The part as a low-rank update of its site's weight; None: it has no merged form."""
        return None


class Branch(Part):
    """One low-rank part. Parameters are fp32, whatever the backbone's dtype.

    Args:
        gate: importance weight of each rank-1 part, (r,), or None for plain LoRA.
        middle: what stands between A x and B: an input-dependent choice, a mixing matrix. A branch that has one cannot be merged.
            A module's tensors are part of a checkpoint, its code is not: the method's ``load_state`` puts it back.
    """

    gate: nn.Parameter | None

    def __init__(
        self, a: Tensor, b: Tensor, gate: Tensor | None = None, *, scale: float = 1.0, middle: Middle | None = None
    ) -> None:
        super().__init__()
        self.a = nn.Parameter(a.float())
        self.b = nn.Parameter(b.float())
        self.gate = nn.Parameter(gate.float()) if gate is not None else None
        self.scale = scale
        self.middle = middle
        self.dropout = 0.0

    @property
    def rank(self) -> int:
        return self.a.shape[0]

    def forward(self, y: Tensor, x: Tensor) -> Tensor:  # y (..., out), x (..., in) -> y + scale B (gate * A x)
        if self.dropout and self.training:
            x = F.dropout(x, self.dropout)
        low = F.linear(x, self.a)
        if self.gate is not None:
            low = low * self.gate
        if self.middle is not None:
            low = self.middle(x, low)
        if self.scale != 1.0:
            low = low * self.scale
        # One fused product and sum: a separate sum of full-size tensors costs as much as the product itself.
        return torch.addmm(y.reshape(-1, y.shape[-1]), low.reshape(-1, self.rank).to(y.dtype), self.b.T).view(y.shape)

    @torch.no_grad()
    def factors(self) -> Factors | None:
        """fp32 copies with zero-gate parts dropped, so that rank counts what is really there; None: no one matrix holds the branch."""
        if self.middle is not None:
            return None
        a, b = self.a.detach().clone(), self.b.detach() * self.scale
        if self.gate is not None:
            kept = self.gate.detach() != 0
            a, b = a[kept], b[:, kept] * self.gate.detach()[kept]
        return Factors(a, b)

    @torch.no_grad()
    def effective_rank(self) -> int:
        """Parts with a non-zero gate; the full rank without gates."""
        return self.rank if self.gate is None else int(torch.count_nonzero(self.gate))


def merged_form(slot: Slot, key: str) -> Factors:
    """Factors of a branch that is to be merged or joined with another.

    Raises:
        ConfigError: the branch depends on the input; no single matrix holds it.
    """
    factors = slot.part(key).factors()
    if factors is None:
        raise ConfigError(f"branch '{key}' of {slot.name} depends on the input; this method has no merged form.")
    return factors


def require_ranks(rank: int, slots: Sequence[Slot]) -> None:
    """Refuse more directions than an input has.

    Raises:
        ConfigError: naming the narrowest of ``slots``.
    """
    narrowest = min(slots, key=lambda slot: slot.in_features, default=None)
    if narrowest is not None and rank > narrowest.in_features:
        raise ConfigError(
            f"method.rank: {narrowest.name} has {narrowest.in_features} inputs, so there are no {rank} directions in it; set it to at "
            f"most {narrowest.in_features}."
        )


def fresh_branch(
    slot: Slot, rank: int, generator: torch.Generator, *, gate: Tensor | None = None, scale: float = 1.0
) -> Branch:
    """A uniform in +-1/sqrt(in) (Kaiming uniform, a = sqrt 5), B zero: the update starts at exactly zero.

    Drawn on the CPU from ``generator``, so that the draw does not depend on the device.

    Raises:
        ConfigError: see ``require_ranks``.
    """
    require_ranks(rank, [slot])
    bound = 1.0 / math.sqrt(slot.in_features)
    a = torch.empty(rank, slot.in_features).uniform_(-bound, bound, generator=generator)
    b = torch.zeros(slot.out_features, rank)
    return Branch(a, b, gate, scale=scale).to(slot.weight.device)


class Site(nn.Module):
    """A place in the network on which parts can stand: ``vision.3.mlp``, ``layers.5.attn``, ``vision.tokens``.

    Attributes:
        parts: by name, applied in the order in which they were put there.
    """

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name
        self.parts = nn.ModuleDict()

    def part(self, key: str) -> Part:
        """The part ``key``; KeyError if there is none."""
        part = self.parts[key]
        assert isinstance(part, Part)
        return part

    def forward(self, y: Tensor, x: Tensor) -> Tensor:
        """What the enabled parts make of the module's result ``y`` and its input ``x``; ``y`` itself where there are none."""
        for part in self.parts.values():
            if part.enabled:
                y = part(y, x)
        return y


def slots_of(sites: Mapping[str, Site]) -> dict[str, Slot]:
    """Those of ``sites`` that are linear maps."""
    return {name: site for name, site in sites.items() if isinstance(site, Slot)}


class Slot(Site):
    """A site that is one adaptable linear map: a frozen weight, or a row range of a fused one, and its branches.

    Args:
        name: ``vision.3.q``, ``text.0.in``, ``layers.5.out``; with several projections behind one placement letter
            the projection follows (``layers.5.in.gate``).
        weight: the backbone's own parameter, (all rows, in); never replaced, changed only by ``add_to_weight``.
        rows: the rows of ``weight`` that belong to this slot.

    Attributes:
        shard: where the weight lies over several workers, this one's part; None where it is whole.
    """

    def __init__(self, name: str, weight: nn.Parameter, rows: slice | None = None) -> None:
        super().__init__(name)
        self.rows = rows if rows is not None else slice(0, weight.shape[0])
        # A plain tuple keeps the shared parameter out of this module's own state dict.
        self._weight: tuple[nn.Parameter, ...] = (weight,)
        self.shard: WeightShard | None = None

    @property
    def weight(self) -> nn.Parameter:
        return self._weight[0] if self.shard is None else self.shard.weight

    def lies_sharded(self, shard: WeightShard) -> None:
        """From now on the weight is where ``shard`` says; the whole one is let go."""
        self._weight, self.shard = (), shard

    @property
    def in_features(self) -> int:
        return int(self.weight.shape[1])

    @property
    def out_features(self) -> int:
        return int(self.rows.stop - self.rows.start)

    def branch(self, key: str) -> Branch:
        """The branch ``key``; KeyError if there is no part of that name."""
        branch = self.part(key)
        assert isinstance(branch, Branch)
        return branch

    @torch.no_grad()
    def add_to_weight(self, factors: Factors) -> None:
        """W <- W + b a, computed in fp32 and stored in the weight's own dtype (keep it fp32: bf16 loses the update)."""
        if factors.a.shape[0]:
            delta = factors.b.to(self.weight.device) @ factors.a.to(self.weight.device)
            if self.shard is not None:
                self.shard.add(self.rows, delta)
            else:
                self.weight[self.rows] += delta

    def extra_repr(self) -> str:
        return f"{self.name}, in={self.in_features}, out={self.out_features}"
