"""TreeLoRA: signatures, tree, draws and pull, each by its definition; the release where it differs."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from baselines.lora import BRANCH
from baselines.treelora import TreeLora, TreeLoraConfig, grow, softmax_of_range
from suite.backbones.learner import Output
from trainables.method import Step
from trainables.stream_trainer import StreamTrainer

Make = Callable[..., StreamTrainer]


def treelora(trainer: StreamTrainer) -> TreeLora:
    assert isinstance(trainer.method, TreeLora)
    return trainer.method


def values(method: TreeLora) -> list[Tensor]:
    return [slot.branch(BRANCH).a.detach().flatten().clone() for slot in method.slots]


@pytest.mark.parametrize("variant", ["mean", "release"])
def test_a_signature_is_the_mean_of_the_last_epoch(variant: str, make_trainer: Make) -> None:
    trainer = make_trainer(TreeLoraConfig(rank=2, placement="vision:q", variant=variant), lr=0.01)
    method = treelora(trainer)
    seen: list[list[Tensor]] = []
    inner = method.before_step

    def spy(index: int, lr: float) -> None:
        method.epoch = 3
        inner(index, lr)
        seen.append(values(method))

    method.before_step = spy  # type: ignore[method-assign]
    trainer.sample_steps(0, 6)
    factor = 1 if variant == "mean" else len(method.slots)
    for place, found in enumerate(method.signatures):
        wanted = torch.stack([step[place] for step in seen[3:6]]).mean(dim=0) * factor
        assert torch.allclose(found, wanted[None], atol=1e-6)
    assert not torch.equal(seen[3][0], seen[5][0])


def test_a_tree_parts_similar_tasks_from_others() -> None:
    """Two groups of tasks along opposite directions of slot 0; slot 1 parts each of them."""
    first = torch.tensor([[1.0, 0], [1.1, 0], [-0.2, 0], [-0.1, 0]])
    second = torch.tensor([[0, 2.0], [0, -1], [0, 3.0], [0, -1]])
    root = grow([first, second], (0, 1, 2, 3))
    assert root.tasks == (0, 1, 2, 3)
    assert [child.tasks for child in root.children] == [(0, 1), (2, 3)]
    assert [leaf.tasks for child in root.children for leaf in child.children] == [(0,), (1,), (2,), (3,)]
    assert root.median == pytest.approx(0.45 * (1 - 0.1) / 2)
    alike = grow([torch.ones(3, 2)] * 5, (0, 1, 2))
    assert [child.tasks for child in alike.children] == [(0,), (1, 2)], (
        "a side that would be empty takes half of them by number"
    )


@pytest.mark.parametrize(("variant", "nearest_first"), [("mean", True), ("release", False)])
def test_the_nearer_task_is_drawn_more_often(variant: str, nearest_first: bool, make_trainer: Make) -> None:
    """Mean distances 1, 5 and 9 at equal visits: 0.51, 0.31, 0.19, in the release the other way round."""
    trainer = make_trainer(TreeLoraConfig(rank=1, placement="vision:q@0", variant=variant))
    method = treelora(trainer)
    method.epoch, method.visits = 10, torch.full((3, 1), 4.0, dtype=torch.float64)
    method.distances = torch.tensor([[4.0], [20.0], [36.0]], dtype=torch.float64)
    shares = softmax_of_range(method.scores(5)[:, 0]).tolist()
    wanted = [0.5065, 0.3072, 0.1863]
    assert shares == pytest.approx(wanted if nearest_first else wanted[::-1], abs=1e-3)
    method.visits[2, 0], method.distances[2, 0] = 0, 0
    scores = method.scores(5)[:, 0]
    assert scores.argmax() == 2, "who was never visited is visited first"


@pytest.mark.parametrize("variant", ["mean", "release"])
def test_the_pull_is_towards_what_was_drawn(variant: str, make_trainer: Make) -> None:
    """Value pull j / N CE; gradient for A_l along G of the drawn task, of the release's sign where S is negative."""
    trainer = make_trainer(TreeLoraConfig(rank=2, dropout=0.0, placement="vision:qv", variant=variant), lr=0.01)
    method = treelora(trainer)
    for task in (0, 1):
        trainer.learner.begin_task(task)
        trainer.sample_steps(task, 2)
    method.begin_task(trainer.context(2))
    method.epoch = 4
    for index in range(4):
        method.before_step(index, 0.01)
    batch = next(trainer.learner.batches(2, "train", 8))
    drawn: list[list[int]] = []
    inner = method.draw

    def spy(j: int) -> list[int]:
        drawn.append(inner(j))
        return drawn[-1]

    method.draw = spy  # type: ignore[method-assign]
    for sign in (1, -1):
        method.signatures = [found.abs() * sign for found in method.signatures]
        for slot in method.slots:
            slot.branch(BRANCH).a.data.abs_()
        output = trainer.learner.forward(batch)
        task_loss = Output(output.loss.detach().requires_grad_(), output.compute_logits, output.compute_features)
        total = method.loss(Step(3, 4, 0.01, [batch], [task_loss]))
        ce = float(output.loss.detach())
        direction = sign if variant == "mean" else 1
        assert float(total.detach()) == pytest.approx(ce - 0.5 * 0.75 * ce * direction, rel=1e-3)
        gradients = torch.autograd.grad(total, [slot.branch(BRANCH).a for slot in method.slots])
        size = abs(float(method.agreement(drawn[-1]).detach()))
        for place, gradient in enumerate(gradients):
            away = 1 if variant == "mean" or sign > 0 else -1
            wanted = -0.5 * 0.75 * ce * away * method.signatures[place][drawn[-1][place]] / size
            assert torch.allclose(gradient.flatten(), wanted, rtol=1e-3, atol=1e-7)
    assert int(method.visits.sum()) == 2 * len(method.slots)


def test_the_tree_is_descended_slot_by_slot(make_trainer: Make) -> None:
    """The task of each slot lies in the node of its depth, whatever is drawn; past the leaf it stays."""
    trainer = make_trainer(TreeLoraConfig(rank=1, placement="vision:qv"))
    method = treelora(trainer)
    method.random = trainer.random
    generator = torch.Generator().manual_seed(0)
    method.signatures = [torch.randn(6, found.shape[1], generator=generator) for found in method.signatures]
    method.tree = grow(method.signatures, tuple(range(6)))
    ends = set()
    for _ in range(40):
        node = method.tree
        chosen = method._descended(torch.zeros(6, len(method.slots), dtype=torch.float64))
        for task in chosen:
            assert task in node.tasks
            node = next((child for child in node.children if task in child.tasks), node)
        assert len(node.tasks) == 1
        ends.add(chosen[-1])
    assert len(ends) > 3


def test_both_backbones_carry_one_branch_and_its_optimizer(make_either: Make) -> None:
    trainer = make_either(TreeLoraConfig(rank=2))
    trainer.sample_steps(0, 3)
    trainer.learner.begin_task(1)
    before = values(treelora(trainer))
    trainer.sample_steps(1, 3)
    assert trainer.method.carry_optimizer
    assert not trainer.journal.tasks[1]
    assert all(len(found) == 2 for found in treelora(trainer).signatures)
    assert max(float((a - b).abs().max()) for a, b in zip(before, values(treelora(trainer)), strict=True)) > 1e-6
