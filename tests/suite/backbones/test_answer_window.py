"""States of right-padded rows: those that predict the answers, whatever stands behind a row, and their gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from suite.backbones.answer_window import taken
from suite.data.text import IGNORED, TokenRow, training_batch


def mask_of(ends: list[int], length: int) -> Tensor:
    return (torch.arange(length) < torch.tensor(ends)[:, None]).long()


def test_the_window_ends_where_the_row_does() -> None:
    states = torch.arange(3 * 6).view(3, 6, 1).float()
    assert taken(states, mask_of([6, 4, 3], 6), 2).flatten(1).tolist() == [[3, 4], [7, 8], [12, 13]]
    assert taken(states, mask_of([5, 3, 2], 5), 2).flatten(1).tolist() == [[3, 4], [7, 8], [12, 13]]  # one token in front


def test_gradients_are_those_of_indexing() -> None:
    """Also of a row with fewer tokens than the window: its first places are read behind the row, each another one."""
    generator = torch.Generator().manual_seed(0)
    states = torch.randn(3, 7, 4, generator=generator, dtype=torch.float64, requires_grad=True)
    ends, window = [7, 5, 3], 5
    weight = torch.randn(3, window, 4, generator=generator, dtype=torch.float64)
    places = (torch.tensor(ends)[:, None] - 1 - window + torch.arange(window)) % 7
    indexed = states[torch.arange(3)[:, None], places]
    found = taken(states, mask_of(ends, 7), window)
    assert torch.equal(found, indexed)
    (a,), (b,) = (torch.autograd.grad((one * weight).sum(), states) for one in (found, indexed))
    assert torch.equal(a, b)
    assert torch.autograd.gradcheck(lambda x: taken(x, mask_of(ends, 7), window), (states,))


@pytest.mark.parametrize(
    "name", ["LlamaForCausalLM", "MistralForCausalLM", "Gemma2ForCausalLM", "GPT2LMHeadModel", "OPTForCausalLM"]
)
@torch.no_grad()
def test_without_a_mask_padding_changes_nothing(name: str, tiny: Callable[[str], Any]) -> None:
    """Against each row alone, and against the network with a mask; windows of 8 tokens are shorter than the rows."""
    network = tiny(name)
    rows = [
        TokenRow(np.random.default_rng(length).integers(3, 50, size=length), answers)
        for length, answers in ((4, 3), (17, 2), (11, 5))
    ]
    batch = training_batch(rows, 0, multiple=8)
    mask, window = batch["attention_mask"], batch["answer_ids"].shape[1]
    bare = taken(network(batch["input_ids"]).logits, mask, window)
    masked = taken(network(batch["input_ids"], attention_mask=mask).logits, mask, window)
    learned = batch["answer_ids"] != IGNORED
    assert learned.sum(dim=1).tolist() == [3, 2, 5]
    assert torch.allclose(bare[learned], masked[learned], atol=1e-5)
    for line, row in enumerate(rows):
        alone = network(torch.from_numpy(row.ids)[None]).logits[0, -row.answer_tokens - 1 : -1]
        assert torch.allclose(bare[line, -row.answer_tokens :], alone, atol=1e-5)
