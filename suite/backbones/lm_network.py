"""A causal language model of transformers as the learner needs it: loaded, checked, with slots, without dropout."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from logging import ERROR, getLogger
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from suite.backbones.answer_loss import LOGITS_AT_ONCE
from suite.backbones.answer_window import taken
from suite.backbones.lm_gguf import gguf_config, gguf_file, require_readable, unpacking
from suite.data.text import Tokenizer
from suite.errors import ConfigError, library_reason
from suite.lowrank.decoder import AdaptedProjection, placement_rows
from suite.lowrank.layer import Slot

Loaded = TypeVar("Loaded")
CHANGED_LOGITS = (
    "final_logit_softcapping",
    "logits_scaling",
    "logit_scale",
)  # of configs whose logits are not the product alone
NEEDED = "config.json, tokenizer.json and safetensors weights of a causal language model"
MINI_LM = Path(__file__).parent / "weights" / "mini_lm"


def load_causal_lm(model: str, dtype: torch.dtype = torch.float32) -> tuple[Any, Tokenizer]:
    """Network in eval mode, without dropout, and its fast tokenizer; from the cache when it is there, else from the hub.

    Raises:
        ConfigError: nothing there, not a causal language model, code in the place of a class, no safetensors weights, or
            weights that are not all there.
    """

    def load(place: str, options: Mapping[str, Any]) -> tuple[Any, Tokenizer]:
        from transformers import AutoModelForCausalLM, AutoTokenizer

        config = _without_dropout(_config(place, options))
        tokenizer = AutoTokenizer.from_pretrained(place, **options)
        with unpacking() if "gguf_file" in options else nullcontext({"use_safetensors": True}) as how:
            loaded: Any = AutoModelForCausalLM.from_pretrained(
                place, config=config, dtype=dtype, output_loading_info=True, **how, **options
            )
        network, report = loaded
        if report["missing_keys"]:  # transformers would fill them with random numbers
            absent = sorted(report["missing_keys"])
            raise ValueError(f"its weights lack {len(absent)} of those {type(network).__name__} needs, first {absent[0]}")
        return network.eval(), tokenizer

    return _from_cache_or_hub(model, load, NEEDED)


def unpack(file: str, folder: str) -> None:
    """A model's GGUF file as a folder in transformers' layout, which loads in a fraction of the time; weights in fp32.

    Raises:
        ConfigError: as ``load_causal_lm``.
    """
    network, tokenizer = load_causal_lm(file)
    network.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def placement_map(model: str) -> list[tuple[str, str, str]]:
    """Rows of ``suite.lowrank.decoder.placement_rows`` for a model, without loading its weights.

    Raises:
        ConfigError: the model's config is not to be had, or its projections are not known.
    """
    place = str(MINI_LM) if model == "mini-lm" else model
    return placement_rows(_from_cache_or_hub(place, _without_weights, "config.json of a causal language model"))


def causal_lm_shape(model: str) -> tuple[Any, Tokenizer]:
    """Network without weights (on torch's ``meta`` device) and its fast tokenizer.

    Raises:
        ConfigError: no config or tokenizer to be had, or a folder without safetensors weights.
    """

    def load(place: str, options: Mapping[str, Any]) -> tuple[Any, Tokenizer]:
        from transformers import AutoTokenizer

        if "gguf_file" not in options and Path(place).is_dir() and not any(Path(place).glob("*.safetensors")):
            raise ValueError("there are no safetensors weights in it")
        return _without_weights(place, options), AutoTokenizer.from_pretrained(place, **options)

    return _from_cache_or_hub(model, load, NEEDED)


def _without_weights(place: str, options: Mapping[str, Any]) -> nn.Module:
    from transformers import AutoModelForCausalLM

    config = _config(place, options)
    with torch.device("meta"):
        network: nn.Module = AutoModelForCausalLM.from_config(config, trust_remote_code=False)
    return network


def _config(place: str, options: Mapping[str, Any]) -> Any:
    from transformers import AutoConfig

    if "gguf_file" in options:
        return gguf_config(Path(place) / options["gguf_file"])
    return AutoConfig.from_pretrained(place, **options)


def _from_cache_or_hub(model: str, load: Callable[[str, Mapping[str, Any]], Loaded], needed: str) -> Loaded:
    """What ``load(place, options of from_pretrained)`` gives: of a file or folder, of the cache, or of the hub, in this order.

    The options keep transformers from running a folder's own code, and from asking on the terminal whether it should.
    """
    from transformers.utils import logging

    logging.disable_progress_bar()
    getLogger("huggingface_hub").setLevel(ERROR)  # its retries need no comment, the error below says what to do
    folder = Path(model).expanduser()
    local: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
    if (file := gguf_file(model)) is not None:
        require_readable(file)
        folder, local = file.parent, {**local, "gguf_file": file.name}
    if not folder.is_dir() and (folder.is_absolute() or model.startswith((".", "~")) or model.count("/") > 1):
        raise ConfigError(f"backbone.model: '{model}' is not a folder; give one with {needed}, a .gguf file, or a hub id.")
    try:
        try:
            return load(str(folder) if folder.is_dir() else model, local)
        except OSError:
            if folder.is_dir():
                raise
            return load(model, {"local_files_only": False, "trust_remote_code": False})
    except ConfigError:
        raise
    except Exception as error:  # files from elsewhere make the libraries that read them raise anything
        raise ConfigError(
            f"backbone.model: '{model}' cannot be loaded ({library_reason(error)}); give a hub id that is cached or reachable, a "
            f".gguf file, or a folder with {needed} of a class that transformers has (code in a folder is never run)."
        ) from None


class AnswerHead:
    """Lets the vocabulary projection of a network see only the positions that predict answers.

    A small share of the work and memory when prompts are longer than answers. With ``apart`` the projection sees nothing at all:
    the hidden states are kept for a loss that does without logits.
    """

    def __init__(self, network: Any) -> None:
        self.network = network
        self.projection: nn.Module = network.get_output_embeddings()

    @property
    def weight(self) -> Tensor:
        """(vocabulary, width) of the projection."""
        found = self.projection.weight
        assert isinstance(found, Tensor)
        return found

    def can_do_apart(self, rows: int) -> bool:
        """True when the projection is a frozen plain matrix and the logits of ``rows`` positions are worth avoiding."""
        layer, config = self.projection, self.network.config.get_text_config()
        if not isinstance(layer, nn.Linear) or layer.bias is not None or layer.weight.requires_grad:
            return False
        changed = any(getattr(config, name, None) not in (None, 1, 1.0) for name in CHANGED_LOGITS)
        return not changed and rows * layer.weight.shape[0] > LOGITS_AT_ONCE

    @contextmanager
    def window(self, mask: Tensor, count: int, *, apart: bool) -> Iterator[list[Tensor]]:
        """For one forward pass: each row's last ``count`` tokens are predicted; the list receives their states (n, count, width).

        ``mask`` (n, tokens) has ones for a row's own tokens, which stand in front of its padding.
        """
        kept: list[Tensor] = []

        def cut(_: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
            kept.append(taken(inputs[0], mask, count))
            return (kept[0][:, :0] if apart else kept[0], *inputs[1:])

        handle = self.projection.register_forward_pre_hook(cut)
        try:
            yield kept
        finally:
            handle.remove()


def windows(network: Any, prompt_tokens: int, answer_tokens: int, put: int = 0) -> tuple[int, int]:
    """Prompt and answer tokens as asked for; in a smaller window of the model answers keep at most half of it.

    ``put`` tokens that a method puts in front of every row are taken off that window.
    """
    own = getattr(network.config.get_text_config(), "max_position_embeddings", None)
    whole = own - put if own else prompt_tokens + answer_tokens
    if whole < 16:
        less = f", less {put} that the method puts in front," if put else ""
        raise ConfigError(
            f"backbone: a window of {own or whole} tokens{less} is too small for a prompt and an answer; use another."
        )
    if prompt_tokens + answer_tokens <= whole:
        return prompt_tokens, answer_tokens
    answer = min(answer_tokens, whole // 2)
    return min(prompt_tokens, whole - answer), answer


def raise_to_fp32(network: nn.Module, slots: Sequence[Slot]) -> None:
    """Store the weights behind ``slots`` in fp32, in place; a bf16 weight would round small updates away."""
    for slot in slots:
        if slot.shard is not None:
            slot.shard.raise_to_fp32()
        else:
            slot.weight.data = slot.weight.data.float()
    for module in network.modules():
        if isinstance(module, AdaptedProjection):
            module.relink()


def checkpoint_layers(network: Any) -> None:
    """Keep layers' inputs alone for the backward pass; transformers 5.17 has it under its former name."""
    enable = getattr(network, "activation_checkpointing_enable", None) or network.gradient_checkpointing_enable
    enable({"use_reentrant": False})


def _without_dropout(config: Any) -> Any:
    """Fine-tuning is deterministic but for the branches' own dropout; ``config`` with those of its towers, if it has several."""
    for part in (config, *(getattr(config, name) for name in config.sub_configs)):
        for name, value in vars(part).items() if part is not None else ():
            if "drop" in name and isinstance(value, float):
                setattr(part, name, 0.0)
    return config
