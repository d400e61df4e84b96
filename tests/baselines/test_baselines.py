"""Invariants of zero-shot, fixed-rank LoRA, O-LoRA and replay."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from baselines.lora import LoraConfig
from baselines.memory import RowMemory
from baselines.olora import OLora, OLoraConfig
from baselines.replay import Replay, ReplayConfig
from baselines.zero_shot import ZeroShotConfig
from suite.benchmarks.stream import Stream
from suite.errors import SuiteError
from suite.lowrank.journal import Journal
from suite.lowrank.layer import fresh_branch
from suite.randomness import RandomStreams
from trainables.checkpoint import Checkpoints
from trainables.method import TaskContext
from trainables.stream_trainer import StreamTrainer


def weights(trainer: StreamTrainer) -> dict[str, torch.Tensor]:
    """Effective weight of every slot: frozen weight plus live branches."""
    found = {}
    for name, slot in trainer.learner.slots.items():
        value = slot.weight[slot.rows].clone()
        for key in slot.parts:
            a, b = slot.branch(key).factors()
            value += b @ a
        found[name] = value
    return found


def test_zero_shot_rows_are_all_equal(make_trainer: Callable[..., StreamTrainer]) -> None:
    trainer = make_trainer(ZeroShotConfig())
    first = trainer.first_row().outcomes["test"]
    trainer.row_zero = {"test": first, "validation": first}
    for report in trainer.rows(0):
        for one, other in zip(first, report.outcomes["test"], strict=True):
            assert np.array_equal(one.scores, other.scores)
        assert report.result.costs.trainable_parameters == 0
        assert report.result.costs.steps == 0


def test_merge_and_stack_are_one_function(make_trainer: Callable[..., StreamTrainer]) -> None:
    merge, stack = make_trainer(LoraConfig(between="merge")), make_trainer(LoraConfig(between="stack"))
    list(merge.rows(0))
    list(stack.rows(0))
    for name, value in weights(merge).items():
        assert torch.allclose(value, weights(stack)[name], atol=2e-4), name
    assert all(slot.branch("past").rank == 48 for slot in stack.method.slots)


def test_several_updates_of_a_slot_are_repeated_in_their_order(
    make_trainer: Callable[..., StreamTrainer], tmp_path: Path
) -> None:
    """Bit for bit, which their sum in one product would not be."""
    trainer, again = make_trainer(LoraConfig(between="stack")), make_trainer(LoraConfig(between="stack"))
    method, slot = trainer.method, trainer.method.slots[0]
    for key in ("one", "two", "three"):
        slot.parts[key] = fresh_branch(slot, 3, torch.Generator().manual_seed(0))
        slot.branch(key).b.data.normal_(generator=torch.Generator().manual_seed(len(key)))
        method.merge(slot, key)
    trainer.journal.add(method.added)
    checkpoints = Checkpoints(tmp_path, "r")
    digests = checkpoints.save(1, trainer.journal, method, trainer.random, {})
    result = trainer.first_row().result.model_copy(update={"row": 1, "digests": digests})
    checkpoints.load([result], again.journal, again.method, again.random)
    assert torch.equal(again.learner.slots[slot.name].weight, slot.weight)
    assert len(again.journal.tasks[0][slot.name]) == 3


def test_an_alpha_of_the_rank_is_a_scale_of_one(make_trainer: Callable[..., StreamTrainer]) -> None:
    plain, scaled = make_trainer(LoraConfig()), make_trainer(LoraConfig(alpha=16.0))
    next(plain.rows(0))
    next(scaled.rows(0))
    for name, value in weights(plain).items():
        assert torch.equal(value, weights(scaled)[name]), name


def test_carry_with_one_task_equals_merge(make_trainer: Callable[..., StreamTrainer]) -> None:
    merge, carry = make_trainer(LoraConfig(between="merge")), make_trainer(LoraConfig(between="carry"))
    next(merge.rows(0))
    next(carry.rows(0))
    for name, value in weights(merge).items():
        assert torch.allclose(value, weights(carry)[name], atol=1e-6), name


def test_carry_keeps_branch_and_optimizer(make_trainer: Callable[..., StreamTrainer]) -> None:
    trainer = make_trainer(LoraConfig(between="carry"))
    rows = trainer.rows(0)
    next(rows)
    branch = trainer.method.slots[0].branch("task")
    steps = float(trainer.optimizer_state["0/step"])
    next(rows)
    assert trainer.method.slots[0].branch("task") is branch
    assert float(trainer.optimizer_state["0/step"]) == 2 * steps == 16


def test_dropout_follows_the_seed_alone(make_trainer: Callable[..., StreamTrainer]) -> None:
    """Equal seeds give equal masks, whatever was drawn before; only the generator ``dropout`` moves them."""

    def last_loss(seed: int) -> float | None:
        trainer = make_trainer(LoraConfig(dropout=0.5))
        trainer.random.generators["dropout"] = RandomStreams(seed)["dropout"]
        torch.rand(3)
        return list(trainer.rows(0))[-1].result.train_loss

    assert last_loss(0) == last_loss(0) != last_loss(1)


def test_update_norms_agree_between_policies(make_trainer: Callable[..., StreamTrainer]) -> None:
    """Size of each task's update and the cumulative shift do not depend on whether updates are merged or stacked."""
    merged = [r.result for r in make_trainer(LoraConfig(between="merge")).rows(0)]
    stacked = [r.result for r in make_trainer(LoraConfig(between="stack")).rows(0)]
    for one, other in zip(merged, stacked, strict=True):
        for name in one.update_norm:
            assert one.update_norm[name] == pytest.approx(other.update_norm[name], rel=2e-2)
            assert one.cumulative_norm[name] == pytest.approx(other.cumulative_norm[name], rel=2e-2)


@pytest.mark.parametrize(("penalty", "expected"), [("abs", 5.0), ("square", 13.0)])
def test_orthogonality_penalty_vector(penalty: str, expected: float, make_trainer: Callable[..., StreamTrainer]) -> None:
    """A_past = I_2, A = [[2, -3]] gives |2| + |-3| = 5 (released code) or 4 + 9 = 13 (paper)."""
    trainer = make_trainer(OLoraConfig(rank=1, placement="vision:q@0-0", penalty=penalty))
    method = trainer.method
    assert isinstance(method, OLora)
    (slot,) = method.slots
    method.begin_task(trainer.context(0))
    method.past[slot.name] = torch.eye(2, slot.in_features)
    slot.branch("task").a.data.zero_()
    slot.branch("task").a.data[0, :2] = torch.tensor([2.0, -3.0])
    overlap = method.overlap()
    assert float(overlap.detach()) == expected
    overlap.backward()
    assert slot.branch("task").b.grad is None


def overlap_share(trainer: StreamTrainer) -> float:
    """||A_past A^T|| / (||A_past|| ||A||) of the second task's A against the first's, over all slots."""
    method = trainer.method
    assert isinstance(method, OLora)
    parts = [method.past[slot.name].split(16) for slot in method.slots]
    top = sum(float((new @ old.T).square().sum()) for old, new in parts) ** 0.5
    return top / (sum(float(o.square().sum()) * float(n.square().sum()) for o, n in parts) ** 0.5)


def test_penalty_makes_subspaces_orthogonal(make_trainer: Callable[..., StreamTrainer]) -> None:
    shares = {}
    for strength in (0.0, 0.5):
        trainer = make_trainer(OLoraConfig(lambda1=strength, placement="vision:qkvo"), steps=150, lr=5e-3)
        rows = trainer.rows(0)
        next(rows)
        next(rows)
        shares[strength] = overlap_share(trainer)
    assert shares[0.5] < shares[0.0] / 5


def test_orthogonal_lora_without_history_is_refused(make_trainer: Callable[..., StreamTrainer]) -> None:
    trainer = make_trainer(OLoraConfig())
    with pytest.raises(SuiteError, match="without the subspaces"):
        next(trainer.rows(1))


def filled(config: ReplayConfig, make_trainer: Callable[..., StreamTrainer]) -> tuple[StreamTrainer, Replay]:
    trainer = make_trainer(config)
    assert isinstance(trainer.method, Replay)
    return trainer, trainer.method


@pytest.mark.parametrize("selection", ["reservoir", "balanced"])
def test_memory_is_bounded_and_holds_finished_tasks_only(selection: str, make_trainer: Callable[..., StreamTrainer]) -> None:
    trainer, method = filled(ReplayConfig(memory_size=25, selection=selection), make_trainer)
    for report in trainer.rows(0):
        done = report.result.row
        assert len(method.memory) <= 25
        assert set(method.memory.rows[:, 0].tolist()) <= set(range(done))
        assert len({tuple(item) for item in method.memory.rows.tolist()}) == len(method.memory)


def test_current_task_is_never_replayed(make_trainer: Callable[..., StreamTrainer]) -> None:
    trainer, method = filled(ReplayConfig(), make_trainer)
    seen: list[tuple[int, set[int]]] = []
    inner = method.extra_batches

    def spy(context, current):  # type: ignore[no-untyped-def]
        batches = inner(context, current)
        seen.extend((context.index, set(batch.tasks.tolist())) for batch in batches)
        return batches

    method.extra_batches = spy  # type: ignore[method-assign]
    list(trainer.rows(0))
    assert seen
    assert all(max(tasks) < index for index, tasks in seen)


def test_reservoir_keeps_every_row_equally_often(mini_stream: Stream) -> None:
    """20 of 200 rows in 1,500 draws: each row's share lies around 0.1; six standard errors, false alarms below 1e-6."""
    counts = torch.zeros(200)
    items = torch.stack([torch.zeros(200, dtype=torch.int64), torch.arange(200)], dim=1)
    draws = 1500
    random = RandomStreams(0)
    context = TaskContext(0, mini_stream.tasks[0], 8, 8, None, random, Journal({}))  # type: ignore[arg-type]
    for _ in range(draws):
        memory = RowMemory(20, "reservoir")
        memory._reservoir(items, context)
        counts[memory.rows[:, 1]] += 1
    share = counts / draws
    assert float((share - 0.1).abs().max()) < 6 * (0.09 / draws) ** 0.5


def test_balanced_memory_has_equal_shares_per_class(make_trainer: Callable[..., StreamTrainer]) -> None:
    trainer, method = filled(ReplayConfig(memory_size=30, selection="balanced"), make_trainer)
    next(trainer.rows(0))
    labels = trainer.stream.tasks[0].train.labels[method.memory.rows[:, 1].numpy()]  # type: ignore[union-attr]
    counts = np.bincount(labels)
    assert counts.max() - counts.min() <= 1


def test_union_protocol_replays_among_all_seen_classes(
    union_stream: Stream, make_trainer: Callable[..., StreamTrainer]
) -> None:
    trainer, method = filled(ReplayConfig(), lambda config: make_trainer(config, stream=union_stream))
    next(trainer.rows(0))
    context = trainer.context(1)
    trainer.learner.begin_task(1)
    current = trainer.learner.batch(torch.ones(8, dtype=torch.int64), torch.arange(8), torch.Generator())
    (batch,) = method.extra_batches(context, current)
    assert batch.label_space == "seen"
    assert len(batch) == 4
    seen = sum(len(task.class_names) for task in union_stream.tasks[:2])  # type: ignore[union-attr]
    assert trainer.learner.forward(batch).logits.shape == (4, seen)
