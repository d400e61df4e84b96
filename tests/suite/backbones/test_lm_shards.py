"""Two real processes that hold one language model together pass and change it as one process with the whole model does."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).with_name("shards_of_two_workers.py")
SMALL: dict[str, dict[str, Any]] = {
    "Llama": {  # 33 rows do not divide by 2
        "hidden_size": 24,
        "intermediate_size": 33,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
    },
    "GPT2": {"n_embd": 24, "n_layer": 2, "n_head": 4, "n_positions": 32},  # fused, and stored transposed
    "Phi3": {"hidden_size": 24, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4},  # fused
}
HEADS = {"Llama": "LlamaForCausalLM", "GPT2": "GPT2LMHeadModel", "Phi3": "Phi3ForCausalLM"}


def saved(folder: Path, kind: str) -> Path:
    """A tiny random model with the shipped tokenizer."""
    import torch
    import transformers

    from suite.backbones.lm_network import MINI_LM

    torch.manual_seed(0)
    tokens = {"vocab_size": 710, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
    config = getattr(transformers, f"{kind}Config")(**tokens, **SMALL[kind])
    getattr(transformers, HEADS[kind])(config).save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).write_bytes((MINI_LM / name).read_bytes())
    return folder


@pytest.mark.slow
def test_two_workers_with_shards_compute_what_one_whole_model_does(tmp_path: Path) -> None:
    folders = [str(saved(tmp_path / kind, kind)) for kind in SMALL]
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        port = server.getsockname()[1]
    command = [sys.executable, str(SCRIPT)]
    workers = [
        subprocess.Popen([*command, str(rank), str(port), *folders], stderr=subprocess.PIPE, text=True) for rank in range(2)
    ]
    said = [worker.communicate(timeout=280)[1] for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0], "\n".join(said)
