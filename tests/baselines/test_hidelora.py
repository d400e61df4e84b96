"""HiDeLoRA in TreeLoRA's form: the contrast by its definition, with and without a history."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch

from baselines.hidelora import HideLora, HideLoraConfig
from baselines.lora import BRANCH
from trainables.stream_trainer import StreamTrainer

Make = Callable[..., StreamTrainer]


def hidelora(trainer: StreamTrainer) -> HideLora:
    assert isinstance(trainer.method, HideLora)
    return trainer.method


def by_hand(rows: torch.Tensor, temperature: float) -> float:
    total = 0.0
    for one in rows:
        exponents = [float(one @ other) / temperature for other in rows]
        total += math.log(sum(math.exp(value) for value in exponents)) - float(one @ one) / temperature
    return total / len(rows)


def test_rows_are_contrasted_with_those_of_earlier_tasks(make_either: Make) -> None:
    trainer = make_either(HideLoraConfig(rank=3, placement="q", temperature=0.5), lr=0.01)
    method = hidelora(trainer)
    trainer.sample_steps(0, 3)
    first = {slot.name: slot.branch(BRANCH).a.detach().clone() for slot in method.slots}
    assert all(torch.equal(method.past[name], rows) for name, rows in first.items())
    trainer.learner.begin_task(1)
    trainer.sample_steps(1, 3)
    assert {len(rows) for rows in method.past.values()} == {6}
    assert all(torch.equal(method.past[name][:3], rows) for name, rows in first.items())
    with torch.no_grad():
        wanted = sum(by_hand(torch.cat([method.past[s.name], s.branch(BRANCH).a]), 0.5) for s in method.slots)
    assert float(method.contrast().detach()) == pytest.approx(wanted, rel=1e-4)
    assert method.facts().carried_bytes > sum(rows.numel() for rows in method.past.values()) * 4


def test_the_contrast_lengthens_rows_and_turns_them_apart(make_trainer: Make) -> None:
    """Against the same run without the term, whose history is empty too."""
    found = []
    for strength in (0.0, 5.0):
        trainer = make_trainer(HideLoraConfig(rank=4, dropout=0.0, placement="vision:qv", strength=strength), lr=0.02)
        trainer.sample_steps(0, 6)
        rows = torch.stack([slot.branch(BRANCH).a.detach() for slot in hidelora(trainer).slots])
        product = rows @ rows.transpose(1, 2)
        found.append((product.diagonal(dim1=1, dim2=2).mean(), product[:, 0, 1:].mean()))
    (plain_length, plain_overlap), (length, overlap) = found
    assert length > 1.2 * plain_length
    assert overlap < plain_overlap


def test_the_released_history_stays_empty(make_trainer: Make) -> None:
    trainer = make_trainer(HideLoraConfig(rank=2, placement="vision:q", history="release"))
    trainer.sample_steps(0, 2)
    assert not hidelora(trainer).past
    assert not trainer.method.state()
    with torch.no_grad():
        wanted = sum(by_hand(slot.branch(BRANCH).a, 0.8) for slot in trainer.method.slots)
    assert float(hidelora(trainer).contrast().detach()) == pytest.approx(wanted, rel=1e-4)
