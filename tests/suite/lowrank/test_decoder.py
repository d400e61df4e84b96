"""Slots in ten architectures of transformers, tiny and random."""

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from suite.errors import ConfigError
from suite.lowrank.decoder import AdaptedProjection, adapt_decoder, find_projections, placement_rows
from suite.lowrank.layer import Slot, fresh_branch, slots_of

SHAPE = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 50,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
HEADS = {**SHAPE, "head_dim": 8}
GPT2 = {"n_embd": 32, "n_layer": 2, "n_head": 4, "vocab_size": 50, "bos_token_id": 1, "eos_token_id": 2}
OPT = {"hidden_size": 32, "ffn_dim": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "vocab_size": 50}
MODELS: dict[str, tuple[str, dict[str, Any]]] = {
    "LlamaForCausalLM": ("LlamaConfig", SHAPE),
    "GemmaForCausalLM": ("GemmaConfig", HEADS),
    "Gemma2ForCausalLM": ("Gemma2Config", HEADS),
    "Qwen2ForCausalLM": ("Qwen2Config", SHAPE),
    "Qwen3ForCausalLM": ("Qwen3Config", HEADS),
    "MistralForCausalLM": ("MistralConfig", SHAPE),
    "Phi3ForCausalLM": ("Phi3Config", SHAPE),
    "PhiForCausalLM": ("PhiConfig", SHAPE),
    "OPTForCausalLM": ("OPTConfig", {**OPT, "word_embed_proj_dim": 32, "dropout": 0.0}),
    "GPT2LMHeadModel": ("GPT2Config", GPT2),
}
LLAMA_NAMES = ["q", "k", "v", "o", "in.gate", "in.up", "out"]
PLAIN_NAMES = ["q", "k", "v", "o", "in", "out"]


def tiny(name: str) -> Any:
    import transformers

    config, fields = MODELS[name]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return getattr(transformers, name)(getattr(transformers, config)(**fields)).eval()


@torch.no_grad()
def logits(network: Any) -> Tensor:
    ids = torch.randint(3, 50, (2, 9), generator=torch.Generator().manual_seed(1))
    found: Tensor = network(ids).logits
    return found


def add_branches(slots: dict[str, Slot]) -> None:
    generator = torch.Generator().manual_seed(2)
    for slot in slots.values():
        branch = fresh_branch(slot, 4, generator)
        branch.b.data.normal_(generator=generator).mul_(0.05)
        slot.parts["task"] = branch


@pytest.mark.parametrize("name", MODELS)
def test_stock_logits_and_state_dict_without_branches(name: str) -> None:
    network = tiny(name)
    stock, keys = logits(network), set(network.state_dict())
    slots = slots_of(adapt_decoder(network))
    has_gate = name.startswith(("Llama", "Gemma", "Qwen", "Mistral", "Phi3"))
    expected = [f"layers.{layer}.{part}" for layer in (0, 1) for part in (LLAMA_NAMES if has_gate else PLAIN_NAMES)]
    assert sorted(slots) == sorted(expected)
    assert torch.equal(logits(network), stock)
    assert set(network.state_dict()) == keys


@pytest.mark.parametrize("name", MODELS)
def test_merged_equals_unmerged_and_loads_into_the_stock_class(name: str) -> None:
    network = tiny(name)
    fresh = copy.deepcopy(network)
    stock = logits(network)
    slots = slots_of(adapt_decoder(network))
    add_branches(slots)
    unmerged = logits(network)
    assert (unmerged - stock).abs().max() > 1e-2
    for slot in slots.values():
        slot.add_to_weight(slot.branch("task").factors())
        del slot.parts["task"]
    assert (logits(network) - unmerged).abs().max() <= 1e-5
    fresh.load_state_dict(network.state_dict(), strict=True)
    assert (logits(fresh) - unmerged).abs().max() <= 1e-5


@pytest.mark.parametrize("name", ["GPT2LMHeadModel", "Phi3ForCausalLM"])
def test_one_slot_of_a_fused_weight_moves_its_own_rows_only(name: str) -> None:
    network = tiny(name)
    slots = slots_of(adapt_decoder(network))
    fused = next(module for module in network.modules() if isinstance(module, AdaptedProjection) and len(module.slots) == 3)
    before = fused.weight.clone()
    x = torch.randn(5, 32, generator=torch.Generator().manual_seed(0))
    y = fused(x)
    add_branches({"k": slots["layers.0.k"]})
    rows = slots["layers.0.k"].rows
    moved = (fused(x) - y).abs().sum(dim=0) > 0
    assert moved.nonzero().flatten().tolist() == list(range(rows.start, rows.stop))
    slots["layers.0.k"].add_to_weight(slots["layers.0.k"].branch("task").factors())
    changed = (fused.weight != before).any(dim=0 if fused.is_transposed else 1).nonzero().flatten()
    assert changed.tolist() == list(range(rows.start, rows.stop))


def test_queries_with_more_heads_than_keys_get_their_rows() -> None:
    fused = next(part for part in find_projections(tiny("Phi3ForCausalLM")) if len(part.names) == 3)
    assert [(rows.start, rows.stop) for rows in fused.rows] == [(0, 32), (32, 48), (48, 64)]


def test_map_names_the_models_own_projections() -> None:
    assert placement_rows(tiny("LlamaForCausalLM"))[4:6] == [
        ("in", "layers 0-1 mlp.gate_proj", "64 x 32"),
        ("in", "layers 0-1 mlp.up_proj", "64 x 32"),
    ]
    assert placement_rows(tiny("GPT2LMHeadModel"))[1] == ("k", "layers 0-1 attn.c_attn rows 32 to 63", "32 x 32")
    assert placement_rows(tiny("GPT2LMHeadModel"))[5] == ("out", "layers 0-1 mlp.c_proj", "32 x 128")


def test_unknown_projections_are_named() -> None:
    from transformers import GPTNeoXConfig, GPTNeoXForCausalLM

    fields = {key: value for key, value in SHAPE.items() if key != "num_key_value_heads"}
    with pytest.raises(ConfigError, match=r"GPTNeoXForCausalLM has none .* attention\.query_key_value"):
        adapt_decoder(GPTNeoXForCausalLM(GPTNeoXConfig(**fields)))


def test_network_without_layers_is_refused() -> None:
    with pytest.raises(ConfigError, match="Linear has no decoder layers"):
        find_projections(nn.Linear(2, 2))
