"""Tokens of a tokenizer that a model must agree with: which it has, which end an answer, which lie outside the embedding."""

from __future__ import annotations

from typing import Any

from suite.backbones.lm_config import LanguageModelConfig
from suite.benchmarks.stream import LabelSpace, Stream, TextTask
from suite.counting import counted
from suite.data.examples import SPLITS
from suite.data.text import Tokenizer, in_chat_template
from suite.errors import ConfigError, library_reason

PROBE = "What is asked?"


def require_prompts(stream: Stream, backbone: str) -> str:
    """The scoring rule of ``stream``; ConfigError unless it holds prompts to be answered."""
    if stream.protocol is not LabelSpace.GENERATION or stream.scoring is None:
        raise ConfigError(
            f"backbone '{backbone}' answers prompts; benchmark '{stream.name}' holds images and needs a CLIP backbone."
        )
    return stream.scoring


def require_tokens(tokenizer: Tokenizer, network: Any, stream: Stream, backbone: str) -> None:
    """Refuse a tokenizer with which this model cannot read the stream's texts or end an answer.

    A pad token outside the embedding is none of its faults: ``pad_token`` takes another.

    Raises:
        ConfigError: no end token, no character offsets, or tokens outside the embedding: the end or begin token, the vocabulary of
            another model, or an added token that the texts use.
    """
    where = f"backbone '{backbone}': the tokenizer"
    if tokenizer.eos_token_id is None:
        raise ConfigError(f"{where} has no end token, so no answer could end; set eos_token in its tokenizer_config.json.")
    if not tokenizer.is_fast:
        raise ConfigError(
            f"{where} gives no character offsets, which the label boundary needs; convert it to a tokenizer.json."
        )
    rows = embedding_rows(network)
    for kind, number in (("end", tokenizer.eos_token_id), ("begin", tokenizer.bos_token_id)):
        if number is not None and number >= rows:
            field = {"end": "eos_token", "begin": "bos_token"}[kind]
            raise ConfigError(
                f"{where}'s {kind} token has the number {number}, the model's embedding has {rows} rows; set {field} in its "
                "tokenizer_config.json to a token that the model knows."
            )
    outside = {token: number for token, number in tokenizer.get_vocab().items() if number >= rows}
    added = tokenizer.get_added_vocab()
    foreign = sorted((number, token) for token, number in outside.items() if token not in added)
    if foreign:
        raise ConfigError(
            f"{where} has {counted(len(foreign), 'token')} beyond the {rows} rows of the model's embedding, first '{foreign[0][1]}'; use the "
            "tokenizer that belongs to the model."
        )
    for token in sorted(outside):
        if (found := _user_of(token, stream)) is not None:
            raise ConfigError(
                f"{where}'s added token '{token}' has the number {outside[token]}, the model's embedding has {rows} rows, and task "
                f"'{found}' uses it; remove the token from the tokenizer, or use a model that has learned it."
            )


def require_template(tokenizer: Tokenizer, config: LanguageModelConfig) -> None:
    """Refuse ``chat_template`` with a tokenizer that has none, or one that does not hold what it is given.

    Raises:
        ConfigError: one sentence with what helps.
    """
    if not config.chat_template:
        return
    remedy = "leave it out, or name an instruction-tuned model"
    if not getattr(tokenizer, "chat_template", None):
        raise ConfigError(f"backbone.chat_template: the model of backbone '{config.name}' has no chat template; {remedy}.")
    try:
        text = in_chat_template(tokenizer, PROBE)
    except Exception as error:  # a template is a program of others: it raises what it likes
        raise ConfigError(
            f"backbone.chat_template: the model's template cannot lay out a user's message ({library_reason(error)}); {remedy}."
        ) from None
    if PROBE not in text:
        raise ConfigError(f"backbone.chat_template: the model's template leaves a user's message out; {remedy}.")


def embedding_rows(network: Any) -> int:
    """Tokens that the model can read."""
    return int(network.get_input_embeddings().weight.shape[0])


def pad_token(tokenizer: Tokenizer, network: Any) -> tuple[int, str]:
    """Number of the token that fills shorter rows, which nothing looks at, and where it comes from, for the record."""
    if tokenizer.pad_token_id is None:
        return tokenizer.eos_token_id, "end token, the tokenizer has no pad token"
    if tokenizer.pad_token_id >= embedding_rows(network):
        return tokenizer.eos_token_id, "end token, the tokenizer's pad token lies outside the model's embedding"
    return tokenizer.pad_token_id, "own"


def end_tokens(network: Any, tokenizer: Tokenizer) -> frozenset[int]:
    """The tokenizer's end token and those the model's generation config names (chat models have an end of turn)."""
    more = getattr(network.generation_config, "eos_token_id", None)
    return frozenset({tokenizer.eos_token_id, *([] if more is None else [more] if isinstance(more, int) else more)})


def _user_of(token: str, stream: Stream) -> str | None:
    """The first task with ``token`` in a prompt or an answer."""
    for task in stream.tasks:
        if isinstance(task, TextTask):
            texts = (text for split in SPLITS for part in (getattr(task, split),) for text in (*part.prompts, *part.answers))
            if any(token in text for text in texts):
                return task.name
    return None
