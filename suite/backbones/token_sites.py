"""The sites between embedded tokens and a network's first block, on which prompts stand: ``vision.tokens`` and ``layers.tokens``.

Behind an embedding table no module can tell a network that its row has grown, so a language model is called with the embeddings, mask
and positions of the longer row instead of its ids.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from suite.backbones.learner import Learner
from suite.data.text import IGNORED
from suite.errors import ConfigError
from suite.lowrank.layer import Site

NAMES = {"clip": "vision.tokens", "lm": "layers.tokens"}


def token_site(learner: Learner, method: str) -> tuple[Site, int]:
    """The site on which a method's prompts stand, and how many of the network's own tokens stay in front of them.

    Raises:
        ConfigError: the images of this CLIP do not become a row of tokens with the pooled one first.
    """
    site = learner.sites.get(NAMES[learner.kind])
    if site is None:
        raise ConfigError(
            f"{method}: puts tokens in front of those of an image, and this backbone is no vision transformer that pools its first "
            "token; use a ViT of open_clip, such as ViT-B-16-quickgelu."
        )
    return site, 1 if learner.kind == "clip" else 0


def words(learner: Learner, count: int, bound: float, generator: torch.Generator) -> Tensor:
    """(count, width) as tokens have it on the token site: embeddings of random words, or for images uniform in +-``bound``."""
    network: Any = learner.network
    if learner.kind == "clip":
        return torch.empty(count, network.visual.class_embedding.shape[0]).uniform_(-bound, bound, generator=generator)
    table: Tensor = network.get_input_embeddings().weight.detach()
    return table[torch.randint(len(table), (count,), generator=generator).to(table.device)].float().cpu()


def is_continued(inputs: Mapping[str, Tensor]) -> bool:
    """Whether ``inputs`` of ``before_forward`` go on with an answer whose prompt the network has read already."""
    return "input_ids" in inputs and inputs["attention_mask"].shape[1] > inputs["input_ids"].shape[1]


def prompt_mask(inputs: Mapping[str, Tensor]) -> Tensor:
    """(n, tokens) bool: neither padding nor, in training, answer."""
    mask = inputs["attention_mask"]
    if (answers := inputs.get("answer_ids")) is None:
        return mask.bool()
    learned = (answers != IGNORED).sum(dim=1, keepdim=True)  # the last of each row, behind which is padding
    return torch.arange(mask.shape[1], device=mask.device) < mask.sum(dim=1, keepdim=True) - learned


def in_front(network: Any, site: Site, ids: Tensor) -> dict[str, Tensor]:
    """Right-padded rows ``ids`` (n, tokens) as a language model is called with them where parts on ``site`` put tokens in front."""
    if not _is_on(site):
        return {"input_ids": ids}
    own = network.get_input_embeddings()(ids)
    return {"inputs_embeds": site(own, own)}


def _is_on(site: Site) -> bool:
    return any(site.part(key).enabled for key in site.parts)


def with_tokens(network: Any, site: Site | None, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
    """What a language model that is to answer is called with where parts stand on ``site``: as it is where they do not.

    What parts put in front of a left-padded row is moved behind its padding, so that the row is what it would be without any.

    Args:
        inputs: ``input_ids``, ``attention_mask``, ``position_ids``, (n, tokens) each.

    Returns:
        ``inputs_embeds`` (n, put and own tokens, width), ``attention_mask`` and ``position_ids`` of them.
    """
    if site is None or not _is_on(site):
        return inputs
    ids, mask = inputs["input_ids"], inputs["attention_mask"]
    own = network.get_input_embeddings()(ids)
    row = site(own, own)
    put = row.shape[1] - own.shape[1]
    padding = ids.shape[1] - mask.sum(dim=1, keepdim=True)
    place = torch.arange(row.shape[1], device=ids.device).expand(len(ids), -1)
    source = torch.where(place < padding, place + put, torch.where(place < padding + put, place - padding, place))
    longer = (place >= padding).to(mask.dtype)
    return {
        "inputs_embeds": row.gather(1, source[:, :, None].expand_as(row)),
        "attention_mask": longer,
        "position_ids": (longer.cumsum(dim=1) - 1).clamp(min=0),
    }
