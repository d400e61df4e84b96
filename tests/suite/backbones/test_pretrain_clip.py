"""The shipped mini CLIP is what the committed code makes, and its captions are as loose as they say."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import open_clip
import pytest
import torch
from safetensors.torch import load_file

from suite.backbones import pretrain_clip
from suite.backbones.mini_captions import ANY_NAME, OWN_NAME, Captions
from suite.backbones.pretrain_clip import CONTEXT, NAME, STEPS, WEIGHTS, load_mini_clip, pretrain_mini_clip
from suite.data.drawn_images import DOMAINS, class_names_of

CLASSES = sum(len(class_names_of(domain)) for domain in DOMAINS)


def test_shipped_files_are_small_and_made_by_the_committed_code() -> None:
    files = list(WEIGHTS.glob(f"{NAME}.*"))
    assert sum(file.stat().st_size for file in files) <= 8 * 2**20
    network, tokenizer = load_mini_clip()
    assert type(network) is open_clip.CLIP
    assert tokenizer == Captions([0], CONTEXT, 0).tokenizer
    assert json.loads((WEIGHTS / f"{NAME}.json").read_text())["steps"] == STEPS


def test_rebuilt_weights_have_the_shipped_structure_and_follow_their_seed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pretrain_clip, "PER_CLASS", 1)
    torch.manual_seed(1)
    state = torch.get_rng_state()
    made = [pretrain_mini_clip(tmp_path / name, seed=seed, steps=2) for name, seed in (("a", 0), ("b", 0), ("c", 1))]
    assert torch.equal(torch.get_rng_state(), state)
    first, second, other = (load_file(path) for path in made)
    shipped = load_file(WEIGHTS / f"{NAME}.safetensors")
    assert {key: value.shape for key, value in first.items()} == {key: value.shape for key, value in shipped.items()}
    assert all(torch.equal(first[key], second[key]) for key in first)
    assert not torch.equal(first["token_embedding.weight"], other["token_embedding.weight"])
    assert load_mini_clip(tmp_path / "a")[1] == load_mini_clip()[1]


def test_captions_in_other_words_are_right_and_those_in_the_tasks_words_are_loose() -> None:
    labels = [label for label in range(CLASSES) for _ in range(100)]
    captions = Captions(labels, CONTEXT, 0)
    generator = torch.Generator().manual_seed(0)
    rows = torch.arange(len(labels))
    right: Counter[bool] = Counter()
    for _ in range(8):
        tokens, targets = captions.of(rows, generator)
        assert len(tokens.unique(dim=0)) == len(tokens) == CLASSES
        share = float((targets == torch.tensor(labels)).float().mean())
        right[share == 1.0] += 1
        loose = (1 - ANY_NAME) * sum(OWN_NAME) / 2 + ANY_NAME / CLASSES * len(DOMAINS)
        assert share == 1.0 or share == pytest.approx(loose, abs=0.02)
    assert set(right) == {True, False}
