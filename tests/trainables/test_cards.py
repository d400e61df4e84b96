"""GPUs that a run cannot use, or only slowly: one sentence with the numbers."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from suite.errors import ConfigError
from trainables.cards import GIB, Card, card_of, filled, has_bf16, refused, require_card, tell_of_kernels
from trainables.crashes import ran_out_of_memory

BUILT_FOR = ["sm_75", "sm_80", "sm_90", "sm_120", "compute_120"]
CARD = Card("cuda:0", "NVIDIA H200", (9, 0), free=100 * GIB, whole=140 * GIB, own=10 * GIB)


def test_a_card_that_fits_is_taken() -> None:
    assert refused(CARD, BUILT_FOR) is None
    assert refused(replace(CARD, capability=(7, 5)), BUILT_FOR) is None
    assert refused(replace(CARD, capability=(12, 0)), BUILT_FOR) is None
    assert refused(CARD, []) is None  # a torch that does not tell


def test_a_card_older_than_the_kernels_of_this_torch_is_refused() -> None:
    told = refused(replace(CARD, name="Tesla V100", capability=(7, 0)), BUILT_FOR)
    assert told is not None
    assert "'cuda:0' (Tesla V100, compute capability 7.0) is too old" in told
    assert "begin with capability 7.5" in told


def test_a_card_that_another_process_fills_is_refused_with_the_numbers() -> None:
    told = refused(replace(CARD, free=GIB // 2, own=0), BUILT_FOR)
    assert told is not None
    assert "0.5 of 140.0 GiB are free, other processes hold 139.5" in told
    assert ran_out_of_memory(told)  # a trial beside others gets a larger share


def test_too_little_memory_is_said_with_the_numbers_and_known_as_such_by_carriers() -> None:
    told = filled(replace(CARD, free=GIB // 4, own=90 * GIB))
    assert "of 140.0 GiB this run holds 90.0, other processes 49.8, and 0.2 are free" in told
    assert ran_out_of_memory(told)
    assert "\n" not in told


def test_products_in_bf16_are_those_of_the_card() -> None:
    assert CARD.has_bf16
    assert not replace(CARD, capability=(7, 5)).has_bf16
    assert not has_bf16(torch.device("cpu"))


def test_a_cpu_is_asked_for_nothing() -> None:
    require_card(torch.device("cpu"), "bf16")


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_a_card_that_cannot_be_reached_is_one_sentence() -> None:
    with pytest.raises(ConfigError, match=r"^device: 'cuda' cannot be used \(.*\); end the process") as told:
        card_of(torch.device("cuda"))
    assert "\n" not in str(told.value)


def test_a_cpu_says_that_it_takes_no_kernels_of_triton(caplog: pytest.LogCaptureFixture) -> None:
    tell_of_kernels(torch.device("cpu"))
    assert caplog.messages == ["training.kernels: a cpu takes no kernels of Triton; torch computes the same, more slowly"]
