"""Small random language models of several architectures."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch


@pytest.fixture(scope="session")
def tiny() -> Callable[[str], Any]:
    """``tiny("MistralForCausalLM")``: two random layers, width 32, 50 tokens; all but Llama, GPT-2 and OPT look back 8 tokens only."""

    def make(name: str) -> Any:
        import transformers

        fields: dict[str, Any] = {"vocab_size": 50, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
        if name.startswith("GPT2"):
            config: Any = transformers.GPT2Config(n_embd=32, n_layer=2, n_head=4, **fields)
        else:
            shape = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, **fields}
            if name.startswith("OPT"):
                config = transformers.OPTConfig(ffn_dim=64, word_embed_proj_dim=32, **shape)
            else:
                shape.update(intermediate_size=64, num_key_value_heads=2, head_dim=8)
                shape |= {} if name.startswith("Llama") else {"sliding_window": 8}
                config = getattr(transformers, name.replace("ForCausalLM", "Config"))(**shape)
        with torch.random.fork_rng():
            torch.manual_seed(0)
            return getattr(transformers, name)(config).eval()

    return make
