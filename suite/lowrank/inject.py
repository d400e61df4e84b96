"""Put slots into a network: linear layers and fused attention are replaced by modules that keep the same parameters.

Parameter names and objects stay those of the stock network, so its state dict loads and saves unchanged.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from suite.errors import ConfigError
from suite.lowrank.adapted_linear import AdaptedLinear
from suite.lowrank.frozen_map import FrozenMap
from suite.lowrank.joined_map import Wide
from suite.lowrank.layer import Site, Slot


class AdaptedAttention(nn.Module):
    """Multi-head self-attention over the fused projection of ``nn.MultiheadAttention``; q, k, v are row ranges of it.

    Called like the module it replaces and returns a pair, the weights always None. ``causal`` says that a mask, when one is
    passed, is the causal mask, so that the kernel need not read it.
    """

    def __init__(self, attention: nn.MultiheadAttention, name: str, *, causal: bool) -> None:
        super().__init__()
        width = attention.embed_dim
        self.in_proj_weight = attention.in_proj_weight
        self.in_proj_bias = attention.in_proj_bias
        self.out_proj = AdaptedLinear(attention.out_proj, f"{name}.o", joins=True)
        self.heads = attention.num_heads
        self.causal = causal
        rows = {letter: slice(i * width, (i + 1) * width) for i, letter in enumerate("qkv")}
        self.slots = nn.ModuleDict({key: Slot(f"{name}.{key}", self.in_proj_weight, rows[key]) for key in rows})
        self.map = FrozenMap([slot for slot in self.slots.values() if isinstance(slot, Slot)], joins=True)
        self.site = Site(f"{name}.attn")
        self._rows = rows

    def project(self, x: Tensor, letters: str) -> list[Tensor]:
        """The projections named by ``letters`` (a run of ``qkv``) of x (batch, tokens, width), split into heads."""
        rows = None if letters == "qkv" else slice(self._rows[letters[0]].start, self._rows[letters[-1]].stop)
        sizes = [x.shape[-1]] * len(letters)
        full = self.map.split(x, self.in_proj_weight, self.in_proj_bias, rows, sizes)
        return [part.view(*x.shape[:2], self.heads, -1).transpose(1, 2) for part in full]

    def forward(
        self, query: Tensor, key: Tensor, value: Tensor, need_weights: bool = False, attn_mask: Tensor | None = None
    ) -> tuple[Tensor, None]:
        return self.site(self.out_proj(self._mixed(query, attn_mask)), query), None

    def wide(self, x: Tensor, attn_mask: Tensor | None) -> Wide:
        """The result for x without what stands on the site, with columns behind it."""
        return self.out_proj.wide(self._mixed(x, attn_mask))

    def _mixed(self, x: Tensor, attn_mask: Tensor | None) -> Tensor:
        """What the output projection maps."""
        causal = self.causal and attn_mask is not None
        q, k, v = self.project(x, "qkv")
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=None if causal else attn_mask, is_causal=causal)
        return mixed.transpose(1, 2).reshape(x.shape)

    def pooled(self, one: Tensor, tokens: Tensor, seen: Tensor | None) -> Tensor:
        """Attention result of one token per row only: ``one`` (batch, 1, width) over ``tokens`` (batch, n, width).

        ``seen`` (batch, n) marks the tokens the one may look at, None = all. Equal to that row of ``forward``.
        """
        (q,), (k, v) = self.project(one, "q"), self.project(tokens, "kv")
        mask = None if seen is None else seen[:, None, None, :]
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        projected: Tensor = self.site(self.out_proj(mixed.transpose(1, 2).reshape(one.shape)), one)
        return projected


class AdaptedMlp(nn.Module):
    """The two maps of a block's MLP with the activation between them; children keep the names of the stock module's.

    Attributes:
        quick: s where the activation is x sigmoid(s x) = silu(s x) / s. Where nothing stands between the maps both scales are inside their
            products, and the activation is one kernel each way.
    """

    quick: float | None = None

    def __init__(self, mlp: Any, name: str) -> None:
        super().__init__()
        self.c_fc = AdaptedLinear(mlp.c_fc, f"{name}.in", joins=True)
        self.gelu = mlp.gelu
        self.c_proj = AdaptedLinear(mlp.c_proj, f"{name}.out", joins=True)
        self.site = Site(f"{name}.mlp")

    def forward(self, x: Tensor) -> Tensor:  # (..., width) -> the same
        hidden, scale = self._hidden(x)
        y = self.c_proj(hidden) if scale == 1.0 else self.c_proj.scaled(hidden, scale)
        found: Tensor = self.site(y, x)
        return found

    def wide(self, x: Tensor) -> Wide:
        """The result for x without what stands on the site, with columns behind it."""
        return self.c_proj.wide(*self._hidden(x))

    def _hidden(self, x: Tensor) -> tuple[Tensor, float]:
        """What the second map maps, and the scale of its product."""
        if self.quick is not None and self.c_fc.map.is_product and self.c_proj.map.is_product:
            return self.c_fc.silu(x, self.quick), 1 / self.quick
        return self.gelu(self.c_fc(x)), 1.0


def adapt_open_clip_tower(blocks: nn.ModuleList, encoder: str, *, causal: bool) -> dict[str, Site]:
    """Replace attention and MLP of an open_clip tower's residual blocks; returns its slots and its other sites by name.

    Raises:
        ConfigError: for a block class whose projections this suite does not know.
    """
    sites: dict[str, Site] = {}
    block: Any
    for layer, block in enumerate(blocks):
        attention = getattr(block, "attn", None)
        if not isinstance(attention, nn.MultiheadAttention) or attention.in_proj_weight is None:
            raise ConfigError(
                f"backbone: {encoder} block {layer} has attention of class {type(attention).__name__}; use an open_clip model "
                "whose blocks are ResidualAttentionBlock with nn.MultiheadAttention."
            )
        name = f"{encoder}.{layer}"
        adapted = AdaptedAttention(attention, name, causal=causal)
        block.attn = adapted
        block.mlp = AdaptedMlp(block.mlp, name)
        slots = [*adapted.slots.values(), adapted.out_proj.slot, block.mlp.c_fc.slot, block.mlp.c_proj.slot]
        sites |= {site.name: site for site in (*slots, adapted.site, block.mlp.site) if isinstance(site, Site)}
    return sites


def add_branches_late(network: nn.Module) -> None:
    """Leave the branches of an adapted open_clip network to the kernels behind its maps, where there are such (``suite.lowrank.late_branch``)."""
    for module in network.modules():
        if isinstance(module, AdaptedLinear):
            module.map.adds_late = True


@torch.no_grad()
def snapshot(slots: dict[str, Slot]) -> dict[str, Tensor]:
    """fp32 CPU copies of the slots' frozen weights, to measure the cumulative shift from."""
    return {name: slot.weight[slot.rows].detach().float().cpu().clone() for name, slot in slots.items()}
