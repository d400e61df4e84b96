"""Networks of open_clip by name, with weights by tag or file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from suite.errors import ConfigError, library_reason, unknown_name
from suite.loggers import quieted
from suite.randomness import derived_seed

Tokenizer = Callable[[Sequence[str]], Tensor]


def open_clip_models() -> list[str]:
    """Names of all open_clip architectures."""
    import open_clip

    names: list[str] = open_clip.list_models()
    return names


def load_open_clip(model: str, pretrained: str | None) -> tuple[nn.Module, Tokenizer]:
    """Network in fp32 and its tokenizer.

    Raises:
        ConfigError: unknown architecture, unknown tag, weights that are neither cached nor reachable, damaged or foreign ones, or
            weights that belong to another activation function.
    """
    import open_clip

    _require_names(model, pretrained)
    try:
        # open_clip writes to the root logger, and warns of random weights also where a config asks for them
        with quieted([None] if pretrained is None else []), torch.random.fork_rng(devices=[]):
            torch.manual_seed(derived_seed("open_clip", model))  # weights that are not loaded are the same for every run
            network = open_clip.create_model(model, pretrained=pretrained, precision="fp32")
    except Exception as error:  # files from elsewhere make the libraries that read them raise anything
        raise ConfigError(
            f"backbone.pretrained: weights '{pretrained}' of '{model}' cannot be loaded ({library_reason(error)}); give a safetensors "
            "file, or a PyTorch file of tensors, of this very architecture, or a tag that is cached or reachable."
        ) from None
    return network, open_clip.get_tokenizer(model)


def open_clip_inputs(model: str, pretrained: str | None) -> tuple[tuple[int, int], Tokenizer]:
    """Height and width of the pictures that an architecture reads, and its tokenizer; no weights are loaded.

    Raises:
        ConfigError: unknown architecture, unknown tag, or weights that belong to another activation function.
    """
    import open_clip

    _require_names(model, pretrained)
    size: int | tuple[int, int] = open_clip.get_model_config(model)["vision_cfg"]["image_size"]
    return (size, size) if isinstance(size, int) else (size[0], size[1]), open_clip.get_tokenizer(model)


def _require_names(model: str, pretrained: str | None) -> None:
    import open_clip

    if model not in open_clip.list_models():
        raise unknown_name("open_clip model", model, open_clip.list_models(), where="backbone.model")
    tags = open_clip.list_pretrained_tags_by_model(model)
    if pretrained is not None and pretrained not in tags and not Path(pretrained).is_file():
        raise unknown_name("pretrained tag or weight file", pretrained, tags or ["null"], where="backbone.pretrained")
    if pretrained == "openai" and "quickgelu" not in model:
        raise ConfigError(
            f"backbone.model: '{model}' has the plain GELU but OpenAI's weights need the quick one; use '{model}-quickgelu'."
        )
