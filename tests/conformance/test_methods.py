"""What every registered method must hold, whatever it is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from baselines.lora import LoraConfig
from baselines.olora import OLoraConfig
from baselines.replay import ReplayConfig
from suite.config import RunConfig
from suite.parts import MethodConfig
from suite.registry import METHODS
from suite.runs.outcomes import read_outcomes
from suite.runs.record import Record
from trainables.checkpoint import branch_tensors
from trainables.method import tensor_bytes
from trainables.run import Surroundings, execute
from trainables.stream_trainer import StreamTrainer

NAMES = sorted(METHODS)
WHOLE_NETWORK = ("finetune", "joint")
QUICK = {"codyra": {"kappa_levels": 3}}


def config_of(name: str) -> MethodConfig:
    return METHODS[name].model_validate({"name": name, **QUICK.get(name, {})})


def numbers(record: Record) -> tuple[object, ...]:
    """Everything of a record that a repetition must reproduce."""
    results = [(r.row, r.effective_rank, r.update_norm, r.cumulative_norm, r.train_loss) for r in record.results]
    return record.run_id, record.validation, record.test, results, record.status


@pytest.mark.parametrize("name", NAMES)
def test_frozen_tensors_stay_and_merged_network_is_stock_shaped(
    name: str, make_trainer: Callable[..., StreamTrainer]
) -> None:
    trainer = make_trainer(config_of(name))
    adapted = {slot.weight.data_ptr() for slot in trainer.method.slots}
    if name in WHOLE_NETWORK:
        adapted = {p.data_ptr() for key, p in trainer.learner.network.named_parameters() if key != "logit_scale"}
    before = {key: value.clone() for key, value in trainer.learner.network.state_dict().items()}
    next(trainer.rows(0))
    after = trainer.learner.network.state_dict()
    for key, value in before.items():
        if after[key].data_ptr() not in adapted:
            assert torch.equal(after[key], value), key
    changed = [key for key in before if not torch.equal(after[key], before[key])]
    assert bool(changed) == (name != "zero-shot")
    assert not any(parameter.requires_grad for parameter in trainer.learner.network.parameters())


@pytest.mark.parametrize("name", NAMES)
def test_trainable_count_is_the_formula(name: str, make_trainer: Callable[..., StreamTrainer]) -> None:
    trainer = make_trainer(config_of(name))
    result = next(trainer.rows(0)).result
    gates = 16 if name == "codyra" else 0
    if name in WHOLE_NETWORK:
        every = dict(trainer.learner.network.named_parameters())
        assert result.costs.trainable_parameters == sum(p.numel() for key, p in every.items() if key != "logit_scale")
        return
    if name == "inflora":  # one factor of rank 10 is frozen
        assert result.costs.trainable_parameters == sum(10 * slot.out_features for slot in trainer.method.slots)
        return
    expected = sum(16 * (slot.in_features + slot.out_features) + gates for slot in trainer.method.slots)
    assert result.costs.trainable_parameters == expected


@pytest.mark.parametrize("name", NAMES)
def test_training_moves_towards_the_task(name: str, make_trainer: Callable[..., StreamTrainer]) -> None:
    """The task loss of the second half is below that of the first steps for every method that trains."""
    trainer = make_trainer(config_of(name), steps=40)
    seen: list[float] = []
    trainer.on_step = lambda task, step, steps, loss: seen.append(loss)
    first = next(make_trainer(config_of(name), steps=8 if name == "codyra" else 1).rows(0)).result.train_loss
    last = next(trainer.rows(0)).result.train_loss
    if name == "zero-shot":
        assert last is None
    else:
        assert first is not None
        assert last is not None
        assert last < first


@pytest.mark.parametrize("name", NAMES)
def test_carried_bytes_are_the_bytes_of_the_state(name: str, make_trainer: Callable[..., StreamTrainer]) -> None:
    trainer = make_trainer(config_of(name))
    result = next(trainer.rows(0)).result
    state = trainer.method.state()
    if name in WHOLE_NETWORK:  # its state is the network itself, which is not carried beside it
        state = {}
    if name == "replay":  # references into the training data, plus one counter
        state = {key: value for key, value in state.items() if key == "memory"}
    branches, _ = branch_tensors(trainer.learner.slots)
    assert result.costs.carried_bytes == tensor_bytes([*state.values(), *branches.values()])


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        *((name, {}) for name in NAMES),
        ("lora", {"between": "carry", "dropout": 0.5}),
        ("lora", {"between": "stack"}),
        ("replay", {"selection": "balanced"}),
    ],
)
def test_stopped_and_resumed_run_equals_whole_run(
    name: str, fields: dict[str, Any], make_config: Callable[..., RunConfig], tmp_path: Path
) -> None:
    config = make_config(name, **fields)
    whole = execute(config, Surroundings(tmp_path / "whole", tmp_path, "cpu"))
    parts = Surroundings(tmp_path / "parts", tmp_path, "cpu")
    for last in (0, 1, 2):
        stopped = execute(config, parts, lambda report, last=last: report.row < last)  # type: ignore[misc]
        assert (stopped.status, stopped.tasks_done) == ("stopped", last)
    assert numbers(execute(config, parts)) == numbers(whole)
    one, other = (read_outcomes(tmp_path / place / "runs" / whole.run_id) for place in ("whole", "parts"))
    assert one.keys() == other.keys()
    assert all(np.array_equal(one[key], other[key]) for key in one)


@pytest.mark.parametrize("name", NAMES)
def test_seed_decides_the_run(name: str, make_config: Callable[..., RunConfig], tmp_path: Path) -> None:
    first = execute(make_config(name), Surroundings(tmp_path / "a", tmp_path, "cpu"))
    again = execute(make_config(name), Surroundings(tmp_path / "b", tmp_path, "cpu"))
    other = execute(make_config(name, seed=1), Surroundings(tmp_path / "b", tmp_path, "cpu"))
    assert numbers(first) == numbers(again)
    assert other.run_id != first.run_id
    assert (other.test == first.test) == (name == "zero-shot")


@pytest.mark.parametrize(
    ("degenerate", "parent"),
    [
        (OLoraConfig(lambda1=0.0), LoraConfig()),
        (ReplayConfig(memory_size=0), LoraConfig()),
        (ReplayConfig(weight=0.0), LoraConfig()),
        (LoraConfig(alpha=16.0), LoraConfig()),
    ],
)
def test_degenerate_setting_equals_its_parent(
    degenerate: MethodConfig, parent: MethodConfig, make_trainer: Callable[..., StreamTrainer]
) -> None:
    """Bit for bit over the whole stream: what is switched off must not touch the carrier's generators either."""
    one, other = make_trainer(degenerate), make_trainer(parent)
    for _ in zip(one.rows(0), other.rows(0), strict=True):
        for name, slot in one.learner.slots.items():
            assert torch.equal(slot.weight, other.learner.slots[name].weight), name
