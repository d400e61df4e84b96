"""Causal language models of transformers behind the learner interface."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import torch
from pydantic import Field

from suite.backbones.causal_learner import CausalLearner
from suite.backbones.learner import Learner
from suite.backbones.lm_config import LanguageModelConfig
from suite.backbones.lm_network import MINI_LM, causal_lm_shape, load_causal_lm, windows
from suite.backbones.model_files import model_content
from suite.backbones.special_tokens import require_prompts, require_template, require_tokens
from suite.benchmarks.stream import Stream

if TYPE_CHECKING:
    from torch.distributed.device_mesh import DeviceMesh


class CausalLMConfig(LanguageModelConfig):
    """Any Llama-, Gemma-, Qwen-, Mistral-, Phi- or GPT-2-style model: a hub id, or the path of a local folder or of a GGUF file."""

    can_shard: ClassVar[bool] = True
    name: Literal["causal-lm"] = "causal-lm"
    model: str

    def content(self) -> dict[str, str]:
        return {"model": model_content(self.model)}

    def build(self, stream: Stream, device: torch.device) -> Learner:
        network, tokenizer = load_causal_lm(self.model, self.torch_dtype)
        return CausalLearner(self, stream, device, network, tokenizer)

    def build_sharded(self, stream: Stream, device: torch.device, mesh: DeviceMesh) -> Learner:
        network, tokenizer = load_causal_lm(self.model, self.torch_dtype)
        return CausalLearner(self, stream, device, network, tokenizer, mesh)

    def check(self, stream: Stream) -> None:
        require_prompts(stream, self.name)
        network, tokenizer = causal_lm_shape(self.model)
        require_tokens(tokenizer, network, stream, self.name)
        require_template(tokenizer, self)
        windows(network, self.max_prompt_tokens, self.max_answer_tokens)


class MiniLMConfig(LanguageModelConfig):
    """The shipped Llama of less than half a million parameters; rebuilt by ``codyra-suite pretrain-mini``."""

    threads: ClassVar[int | None] = 1
    name: Literal["mini-lm"] = "mini-lm"
    max_prompt_tokens: Annotated[int, Field(ge=8)] = 192
    max_answer_tokens: Annotated[int, Field(ge=2)] = 64

    def content(self) -> dict[str, str]:
        return {"weights": model_content(str(MINI_LM))}

    def build(self, stream: Stream, device: torch.device) -> Learner:
        network, tokenizer = load_causal_lm(str(MINI_LM), self.torch_dtype)
        return CausalLearner(self, stream, device, network, tokenizer)

    def check(self, stream: Stream) -> None:
        self.build(stream, torch.device("cpu"))  # so small that it is its own check
