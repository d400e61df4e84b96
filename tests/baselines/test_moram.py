"""MoRAM: which memories a token reads and how much of each, what stays, and what it says of itself."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from baselines.moram import Memories, Moram, MoramConfig
from suite.lowrank.layer import Branch
from trainables.stream_trainer import StreamTrainer

Make = Callable[..., StreamTrainer]


def drawn(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def memories(**fields: object) -> Memories:
    """Five old and three new memories, of 7 inputs and 4 outputs."""
    config = MoramConfig.model_validate({"rank": 5, **fields})
    found = Memories(drawn(5, 7, seed=0), drawn(4, 5, seed=1), config)
    found.learn(drawn(3, 7, seed=2), drawn(4, 3, seed=3))
    return found


@torch.no_grad()
def test_a_token_reads_as_the_formula_says() -> None:
    """Token by token and memory by memory, at test time with its threshold."""
    part = memories(top=3, tau=0.1, theta=0.3, alpha=10.0).eval()
    x, y = drawn(2, 6, 7, seed=4), drawn(2, 6, 4, seed=5)
    a, b = torch.cat([part.old_a, part.a]), torch.cat([part.old_b, part.b], dim=1)
    found = part(y, x)
    dropped = 0
    for row in range(2):
        for token in range(6):
            z = [float(key @ x[row, token]) for key in a]
            length = sum(value**2 for value in z) ** 0.5
            kept = sorted(range(8), key=lambda i, z=z: -z[i])[:3]  # type: ignore[misc]
            total = sum(torch.tensor(z[i] / length / 0.1).exp() for i in kept)
            wanted = y[row, token].clone()
            for i in kept:
                dropped += z[i] / length < 0.3
                if z[i] / length >= 0.3:
                    wanted += 2.0 * torch.tensor(z[i] / length / 0.1).exp() / total * z[i] * b[:, i]
            assert torch.allclose(found[row, token], wanted, atol=1e-4)
    assert dropped > 3
    assert not torch.allclose(part.train()(y, x), found, atol=1e-3)


@torch.no_grad()
def test_limits_of_the_choice() -> None:
    """Evenly weighed memories are LoRA over r; one memory is the largest; the order does not matter; without theta tests compute as training."""
    x, y = drawn(5, 7, seed=4), torch.zeros(5, 4)
    a, b = drawn(6, 7, seed=0), drawn(4, 6, seed=1)
    even = Memories(a, b, MoramConfig(rank=6, tau=1e6, theta=0)).eval()
    assert torch.allclose(even(y, x), Branch(a, b, scale=1 / 6)(y, x), atol=1e-4)
    one = Memories(a, b, MoramConfig(rank=6, top=1, theta=0)).eval()
    z = x @ a.T
    best = z.argmax(dim=1)
    assert torch.allclose(one(y, x), z.gather(1, best[:, None]) * b[:, best].T, atol=1e-5)
    order = torch.tensor([3, 1, 5, 0, 4, 2])
    shuffled = Memories(a[order], b[:, order], MoramConfig(rank=6, top=3, theta=0)).eval()
    plain = Memories(a, b, MoramConfig(rank=6, top=3, theta=0)).eval()
    assert torch.allclose(shuffled(y, x), plain(y, x), atol=1e-5)
    assert torch.equal(plain.train()(y, x), plain.eval()(y, x))


def test_old_memories_stay_and_new_ones_learn(make_either: Make) -> None:
    trainer = make_either(MoramConfig(rank=3, placement="qv", tau=0.3))
    method = trainer.method
    assert isinstance(method, Moram)
    trainer.sample_steps(0, 3)
    kept = [(method.memories(slot).a.clone(), method.memories(slot).b.clone()) for slot in method.slots]
    assert max(float(b.abs().max()) for _, b in kept) > 1e-4
    trainer.learner.begin_task(1)
    trainer.sample_steps(1, 3)
    for slot, (a, b) in zip(method.slots, kept, strict=True):
        part = method.memories(slot)
        assert torch.equal(part.old_a, a)
        assert torch.equal(part.old_b, b)
    assert max(float(method.memories(slot).b.abs().max()) for slot in method.slots) > 1e-4
    found = method.facts()
    assert set(found.effective_rank.values()) == {6}
    assert 0 < found.chosen["memories_over_theta"] <= 1
    assert 1 <= found.chosen["memories_read_per_token"] <= 3
    assert not trainer.journal.tasks[1]


def test_a_colder_choice_reads_fewer_memories(make_trainer: Make) -> None:
    read = []
    for tau in (0.01, 1.0):
        trainer = make_trainer(MoramConfig(rank=8, placement="vision:q", tau=tau))
        trainer.sample_steps(0, 1)
        read.append(trainer.method.facts().chosen["memories_read_per_token"])
    assert read[0] < 2 < read[1]
    assert read[1] == pytest.approx(8, abs=1)
