"""What a trained run leaves as files that other software reads: a merged state dict, or one PEFT adapter per task."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file, save
from torch import Tensor, nn

from suite.errors import ConfigError
from suite.files import atomic_write
from suite.lowrank.journal import Journal
from suite.lowrank.layer import Factors, merged_form


@torch.no_grad()
def merge_live_branches(journal: Journal) -> None:
    """Add what is still unmerged (carried or stacked branches) to the weights in fp32 and remove the branches.

    Raises:
        ConfigError: a branch whose size depends on the input; no single matrix holds it.
    """
    for slot in journal.slots.values():
        for key in list(slot.parts):
            slot.add_to_weight(merged_form(slot, key))
            del slot.parts[key]


def merged_state(network: nn.Module) -> dict[str, Tensor]:
    """State dict with the stock network's keys: adapted modules keep the names of what they replaced.

    A matrix that the network uses under two names (a vocabulary projection tied to the embedding) is written once.
    """
    first: dict[tuple[int, torch.Size], str] = {}
    state = network.state_dict()
    for key, value in state.items():
        first.setdefault((value.data_ptr(), value.shape), key)
    return {key: state[key].detach().cpu().contiguous().clone() for key in first.values()}


def write_state(state: Mapping[str, Tensor], path: Path) -> None:
    """One safetensors file, written atomically."""
    atomic_write(path, save(dict(state)))


def write_peft_adapter(factors: Mapping[str, Factors], modules: Mapping[str, str], base_model: str, folder: Path) -> None:
    """One task's update as a PEFT LoRA adapter (gate and scale folded into B, ``rank_pattern`` for pruned ranks).

    Args:
        factors: slot name -> (a, b).
        modules: slot name -> module path in the stock model (``model.layers.0.self_attn.q_proj``).

    Raises:
        ConfigError: a slot that is a part of a fused matrix; PEFT has no adapter for a row range.
    """
    fused = [name for name in factors if name not in modules]
    if fused:
        raise ConfigError(
            f"export: '{fused[0]}' is a row range of a fused matrix, which PEFT cannot adapt; use --format open_clip or hf."
        )
    tensors: dict[str, Tensor] = {}
    ranks = {modules[name]: len(f.a) for name, f in factors.items() if len(f.a)}
    for name, (a, b) in factors.items():
        if len(a):
            stem = f"base_model.model.{modules[name]}"
            tensors[f"{stem}.lora_A.weight"] = a.cpu().contiguous()
            tensors[f"{stem}.lora_B.weight"] = b.cpu().contiguous()
    highest = max(ranks.values(), default=1)
    config = {
        "peft_type": "LORA",
        "base_model_name_or_path": base_model,
        "r": highest,
        "lora_alpha": highest,
        "rank_pattern": {path: rank for path, rank in ranks.items() if rank != highest},
        "alpha_pattern": {path: rank for path, rank in ranks.items() if rank != highest},
        "target_modules": sorted(ranks),
        "lora_dropout": 0.0,
        "bias": "none",
        "inference_mode": True,
    }
    atomic_write(folder / "adapter_model.safetensors", save(tensors))
    atomic_write(folder / "adapter_config.json", json.dumps(config, indent=1).encode())


def read_peft_adapter(modules: Mapping[str, str], folder: Path) -> dict[str, Factors]:
    """Inverse of ``write_peft_adapter``: slot name -> (a, b)."""
    tensors = load_file(folder / "adapter_model.safetensors")
    stems = {name: f"base_model.model.{path}" for name, path in modules.items()}
    return {
        name: Factors(tensors[f"{stem}.lora_A.weight"], tensors[f"{stem}.lora_B.weight"])
        for name, stem in stems.items()
        if f"{stem}.lora_A.weight" in tensors
    }
