"""Fields that all language models share."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field

from suite.data.text import Boundary
from suite.errors import ConfigError
from suite.parts import BackboneConfig


class LanguageModelConfig(BackboneConfig):
    """Fields shared by all language models.

    Attributes:
        max_prompt_tokens: longer prompts lose their beginning; less where the model's own window leaves less room.
        max_answer_tokens: window of the answer with its end token, in training and as a cap in generation.
        label_boundary: ``exact``, or ``release`` = off by one for many tokenizers (see ``suite.data.text``).
        pad_multiple: training batches are padded to a multiple of this many tokens (8 in the TRACE release).
        demonstrations: training rows put before every prompt that is to be answered (in-context learning).
        temperature: 0 = greedy; 0.1 in the TRACE release.
        sampling_seed: of the draws when the temperature is not 0.
        generation_tokens: tokens held in the cache at once; smaller needs less memory.
        gradient_checkpointing: recompute activations in the backward pass; slower, needs less memory.
        chat_template: lay every prompt out as a user's message in the model's own instruction template, in training as in generation.
        dtype: how the frozen weights are stored; adapted ones always stay fp32, so that merges lose nothing.
    """

    kind: ClassVar[Literal["lm"]] = "lm"

    max_prompt_tokens: Annotated[int, Field(ge=8)] = 1024
    max_answer_tokens: Annotated[int, Field(ge=2)] = 512
    label_boundary: Boundary = "exact"
    pad_multiple: Annotated[int, Field(ge=1)] = 1
    demonstrations: Annotated[int, Field(ge=0)] = 0
    temperature: Annotated[float, Field(ge=0)] = 0.0
    sampling_seed: Annotated[int, Field(ge=0)] = 1234
    generation_tokens: Annotated[int, Field(ge=1)] = 32768
    gradient_checkpointing: bool = False
    dtype: Literal["fp32", "bf16"] = "fp32"
    chat_template: bool = Field(default=False, exclude_if=lambda on: not on)  # stands in a config only where it is on

    @property
    def torch_dtype(self) -> torch.dtype:
        return torch.bfloat16 if self.dtype == "bf16" else torch.float32


def no_references(backbone: str) -> ConfigError:
    """What a run is refused with that names reference pictures for the language model ``backbone``."""
    return ConfigError(f"references: backbone '{backbone}' reads no reference pictures; leave the field out or use a CLIP.")
