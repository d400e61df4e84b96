import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from suite.backbones.lm_network import MINI_LM, load_causal_lm
from suite.backbones.pretrain_lm import VOCABULARY, build_tokenizer, pretrain_mini_lm


def test_shipped_files_are_small_and_of_the_committed_architecture() -> None:
    size = sum(file.stat().st_size for file in MINI_LM.iterdir())
    assert size <= 8 * 2**20
    network, tokenizer = load_causal_lm(str(MINI_LM))
    assert type(network).__name__ == "LlamaForCausalLM"
    assert sum(parameter.numel() for parameter in network.parameters()) < 500_000
    assert len(tokenizer) == network.config.vocab_size <= VOCABULARY


def test_committed_code_builds_the_shipped_tokenizer(tmp_path: Path) -> None:
    build_tokenizer().save_pretrained(tmp_path)
    assert (tmp_path / "tokenizer.json").read_text() == (MINI_LM / "tokenizer.json").read_text()


@pytest.mark.parametrize("text", ["plain words", "Grüezi 你好 🙂", "tabs\tand\nlines", "def f ( ) : <EOL>", "35 + 7 = 42"])
def test_any_text_survives_the_tokenizer(text: str) -> None:
    tokenizer = build_tokenizer()
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    assert tokenizer.decode(ids) == text
    assert all(ids)


@pytest.mark.slow
def test_same_seed_same_weights_and_a_loadable_folder(tmp_path: Path) -> None:
    torch.manual_seed(1)
    state = torch.get_rng_state()
    seen: list[tuple[int, int]] = []
    folders = [
        pretrain_mini_lm(tmp_path / name, seed=seed, steps=20, progress=lambda step, of, loss: seen.append((step, of)))
        for name, seed in (("a", 0), ("b", 0), ("c", 1))
    ]
    first, second, other = (load_file(folder / "model.safetensors") for folder in folders)
    assert all(torch.equal(first[key], second[key]) for key in first)
    assert not torch.equal(first["model.embed_tokens.weight"], other["model.embed_tokens.weight"])
    assert seen == [(20, 20)] * 3
    assert json.loads((folders[0] / "made_by.json").read_text())["steps"] == 20
    assert load_causal_lm(str(folders[0]))[0].config.vocab_size == load_causal_lm(str(MINI_LM))[0].config.vocab_size
    assert torch.equal(torch.get_rng_state(), state)
