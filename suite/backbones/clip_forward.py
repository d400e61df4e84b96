"""Forward passes of CLIP's encoders; the last block is computed only for the token that is pooled.

Exact: what the last block makes of the other tokens is thrown away by the pooling. ``plain`` runs every token through every
block, as open_clip does, and is what tests compare with.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from suite.backbones.frozen_norm import in_working_dtype
from suite.backbones.residual_blocks import through_blocks
from suite.lowrank.inject import AdaptedAttention
from suite.lowrank.layer import Site

QUICK = 1.702  # of the GELU that OpenAI's CLIP was trained with


class QuickGelu(nn.Module):
    """x sigmoid(1.702 x), written as silu(1.702 x) / 1.702: one activation kept for the backward pass instead of two.

    Attributes:
        plain: compute it as open_clip's module does.
    """

    def __init__(self) -> None:
        super().__init__()
        self.plain = False

    def forward(self, x: Tensor) -> Tensor:
        if self.plain:
            return x * torch.sigmoid(QUICK * x)
        return F.silu(QUICK * x) * (1 / QUICK)


def replace_quick_gelu(blocks: nn.ModuleList) -> None:
    """Put ``QuickGelu`` in the place of open_clip's own in the MLP of every block that has it."""
    block: Any
    for block in blocks:
        if type(block.mlp.gelu).__name__ == "QuickGELU":
            block.mlp.gelu, block.mlp.quick = QuickGelu(), QUICK


def encode_images(network: Any, pixels: Tensor, tokens: Site | None = None, *, plain: bool = False) -> Tensor:
    """Normalised pixels (n, 3, h, w) to unit embeddings (n, dim).

    Args:
        tokens: site between the embedded patches (n, class token and patches, width) and the first block.
    """
    visual = network.visual
    adapted = tokens is not None and len(tokens.parts) > 0
    if (plain and not adapted) or not pools_first_token(visual):
        return F.normalize(visual(pixels), dim=-1)
    x = visual._embeds(pixels)
    if tokens is not None:
        x = tokens(x, x)
    x = x if plain else in_working_dtype(x)
    blocks = visual.transformer.resblocks
    x = _through(blocks, x, None, plain=plain)
    pooled = visual.ln_post((x[:, :1] if plain else last_block(blocks[-1], x[:, :1], x, None))[:, 0])
    return F.normalize((pooled if visual.proj is None else pooled @ visual.proj).float(), dim=-1)


def mean_state(network: Any, pixels: Tensor, layers: int) -> Tensor:
    """(n, width): mean over class token and patches of images (n, 3, h, w) after the first ``layers`` blocks."""
    x: Tensor = network.visual._embeds(pixels)
    for block in network.visual.transformer.resblocks[:layers]:
        x = block(x)
    return x.float().mean(dim=1)


def encode_texts(network: Any, tokens: Tensor, site: Site | None = None, *, plain: bool = False) -> Tensor:
    """Token ids (n, length) to unit embeddings (n, dim).

    ``length`` may be shorter than the context: behind the end token a causal encoder changes nothing.

    Args:
        site: between the embedded tokens (n, length, width) and the first block; its parts may put tokens in front of them.
    """
    length = tokens.shape[1]
    end = tokens.argmax(dim=-1)
    rows = torch.arange(len(tokens), device=tokens.device)
    x = network.token_embedding(tokens) + network.positional_embedding[:length]
    if site is not None:
        x = site(x, x)
        end, length = end + x.shape[1] - length, x.shape[1]
    x = x if plain else in_working_dtype(x)
    # adapted attention is told by a mask to be causal, and reads no more; blocks want it in the dtype of x
    mask = network.attn_mask[: tokens.shape[1], : tokens.shape[1]].to(x.dtype)
    blocks = network.transformer.resblocks
    x = _through(blocks, x, mask, plain=plain)
    one = x[rows, end][:, None]
    if not plain:
        one = last_block(blocks[-1], one, x, torch.arange(length, device=tokens.device)[None, :] <= end[:, None])
    return F.normalize((network.ln_final(one[:, 0]) @ network.text_projection).float(), dim=-1)


def _through(blocks: Any, x: Tensor, mask: Tensor | None, *, plain: bool) -> Tensor:
    """x through all blocks as they are, or in the cheapest way through all but the last."""
    if not plain:
        return through_blocks(blocks[:-1], x, mask)
    for block in blocks:
        x = block(x, attn_mask=mask)
    return x


def text_modules(network: Any) -> Iterator[nn.Module]:
    """Every module of a CLIP but those of its vision encoder; the network itself, which owns some of the text encoder's tensors, too."""
    waiting: list[nn.Module] = [network]
    while waiting:
        module = waiting.pop()
        yield module
        waiting += [child for child in module.children() if child is not network.visual]


def last_block(block: Any, one: Tensor, tokens: Tensor, seen: Tensor | None) -> Tensor:
    """A residual block's result for one token per row: ``one`` (n, 1, width) among ``tokens`` (n, length, width)."""
    attention: AdaptedAttention = block.attn
    one = one + block.ls_1(attention.pooled(block.ln_1(one), block.ln_1(tokens), seen))
    result: Tensor = one + block.ls_2(block.mlp(block.ln_2(one)))
    return result


def pools_first_token(visual: Any) -> bool:
    """True for the plain vision transformer of CLIP: class token first, pooled before the last norm."""
    plain_pool = getattr(visual, "pool_type", None) == "tok" and getattr(visual, "attn_pool", None) is None
    return plain_pool and not getattr(visual, "final_ln_after_pool", False)
