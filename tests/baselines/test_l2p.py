"""L2P: who gets which prompts, what is learned, and what stays, on images and on texts."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from pydantic import ValidationError

from baselines.l2p import L2P, PART, L2PConfig
from suite.backbones.learner import Batch
from trainables.stream_trainer import StreamTrainer

Make = Callable[..., StreamTrainer]


def begun(trainer: StreamTrainer) -> tuple[L2P, Batch]:
    method = trainer.method
    assert isinstance(method, L2P)
    method.begin_task(trainer.context(0))
    return method, next(trainer.learner.batches(0, "train", 6))


def test_each_row_gets_the_prompts_of_the_closest_keys(make_either: Make) -> None:
    """Top and loss from their definitions; the keys' gradient is the pull's alone, the prompts' the task loss's alone."""
    trainer = make_either(L2PConfig(pool=6, length=2, top=2, pull=0.5))
    method, batch = begun(trainer)
    with trainer.learner.without(PART), torch.no_grad():
        untouched = trainer.learner.query(batch.inputs)
        method.pool.keys[0] = untouched[3] * 5
    output = trainer.learner.forward(batch)
    cosines = torch.stack([F.cosine_similarity(untouched, key[None]) for key in method.pool.keys], dim=1)
    assert torch.equal(method.pool.chosen, cosines.topk(2, dim=1).indices)
    assert method.pool.chosen[3, 0] == 0
    wanted = cosines.topk(2, dim=1).values.sum() / 6
    assert float(method.agreement(output)) == pytest.approx(float(wanted), abs=1e-5)
    (-0.5 * method.agreement(output)).backward()
    pulled = method.pool.keys.grad
    assert method.pool.prompts.grad is None
    assert float(pulled.abs().max()) > 1e-5
    output.loss.backward()
    assert torch.equal(method.pool.keys.grad, pulled)
    learned = method.pool.prompts.grad.abs().flatten(1).amax(dim=1) > 0
    assert learned.nonzero().flatten().tolist() == sorted(set(method.pool.chosen.flatten().tolist()))
    assert not any(parameter.requires_grad for parameter in trainer.learner.network.parameters())


def test_without_its_prompts_the_network_is_what_it_was(make_either: Make) -> None:
    trainer = make_either(L2PConfig(pool=4, length=2, top=1), lr=0.05)
    batch = next(trainer.learner.batches(0, "train", 6))
    with torch.no_grad():
        before = trainer.learner.forward(batch).logits
    trainer.sample_steps(0, 3)
    with torch.no_grad():
        after = trainer.learner.forward(batch).logits
        with trainer.learner.without(PART):
            assert torch.equal(trainer.learner.forward(batch).logits, before)
    assert float((after - before).abs().max()) > 1e-2
    assert method_bytes(trainer) == trainer.method.facts().carried_bytes > 0
    assert not trainer.journal.tasks[0]


def method_bytes(trainer: StreamTrainer) -> int:
    return sum(value.numel() * 4 for module in trainer.method.modules().values() for value in module.state_dict().values())


def test_pull_brings_keys_to_what_chooses_them(make_trainer: Make) -> None:
    """With a pull the cosines of the chosen keys grow; without one the keys stay where they were drawn."""
    for pull in (1.0, 0.0):
        trainer = make_trainer(L2PConfig(pool=5, length=1, top=2, pull=pull), lr=0.05)
        method, batch = begun(trainer)
        output = trainer.learner.forward(batch)
        before, keys = float(method.agreement(output)), method.pool.keys.detach().clone()
        trainer.sample_steps(0, 6)
        output = trainer.learner.forward(batch)
        assert (float(method.agreement(output)) > before + 0.05) == (pull > 0)
        assert torch.equal(keys, method.pool.keys) == (pull == 0)


def test_more_prompts_than_the_pool_has_are_refused() -> None:
    with pytest.raises(ValidationError, match="top is 5, and the pool has 3 prompts; use at most as many"):
        L2PConfig(pool=3)
