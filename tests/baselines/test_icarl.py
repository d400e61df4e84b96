"""iCaRL: what herding takes, what the memory holds, whom the network is held to, and who answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest
import torch
from torch import Tensor

from baselines.icarl import BELOW_ALL, Icarl, IcarlConfig, NearestMeanIcarl
from suite.backbones.learner import Output
from suite.config import RunConfig, validate
from suite.errors import ConfigError
from trainables.method import Step
from trainables.stream_trainer import StreamTrainer

Make = Callable[..., StreamTrainer]


def icarl(trainer: StreamTrainer) -> Icarl:
    assert isinstance(trainer.method, Icarl)
    return trainer.method


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, [[12], [6, 6], [4, 4, 4]]),
        ({"shares": "release"}, [[12], [6, 6], [4, 4, 8]]),
        ({"herding": "class"}, [[12], [6, 6], [4, 4, 4]]),
    ],
)
def test_shares_of_the_memory(make_trainer: Make, fields: Mapping[str, str], expected: list[list[int]]) -> None:
    """12 rows; earlier shares lose the rows chosen last, and with classes in turn each class gives its best before any gives two."""
    trainer = make_trainer(IcarlConfig.model_validate({"rank": 2, "memory_size": 12, **fields}))
    method, before = icarl(trainer), torch.empty(0, 2, dtype=torch.int64)
    for index, counts in enumerate(expected):
        trainer.sample_steps(index, 1)
        assert [int((method.memory.rows[:, 0] == task).sum()) for task in range(index + 1)] == counts
        for task in range(index):
            kept = method.memory.rows[method.memory.rows[:, 0] == task, 1]
            assert torch.equal(kept, before[before[:, 0] == task, 1][: len(kept)])
        before = method.memory.rows
        newest = before[before[:, 0] == index, 1]
        assert len(newest.unique()) == len(newest)
        labels = torch.from_numpy(trainer.stream.tasks[index].train.labels)  # type: ignore[union-attr]
        if fields.get("herding") == "class":
            first = labels[newest[: len(labels.unique())]]
            assert len(first.unique()) == len(first)


@pytest.mark.parametrize("teacher", ["zero_shot", "previous"])
def test_the_teacher_is_an_earlier_network(make_trainer: Make, teacher: str) -> None:
    """Its features and prompts are those that were; a student that equals it feels nothing, one that has moved does."""
    trainer = make_trainer(IcarlConfig.model_validate({"rank": 4, "teacher": teacher, "memory_size": 20}), lr=1e-2)
    method, learner = icarl(trainer), trainer.learner
    (probe,) = learner.batches(0, "train", 1000)

    def now() -> tuple[Tensor, Tensor]:
        with torch.no_grad():
            return learner.forward(probe.without_labels()).features, learner.class_features([1], judged=False)

    untouched = now()
    trainer.sample_steps(0, 4)
    features, prompts = untouched if teacher == "zero_shot" else now()
    learner.begin_task(1)
    context = trainer.context(1)
    method.begin_task(context)
    assert torch.allclose(method._wanted, prompts, atol=1e-5)
    current = next(learner.batches(1, "train", 8))
    batches = [current, *method.extra_batches(context, current)]
    assert len(batches[1]) == 8 and set(batches[1].tasks.tolist()) == {0}

    def gradient() -> float:
        outputs = [learner.forward(batch) for batch in batches]
        term = method.loss(Step(0, 1, 0.0, batches, outputs)) - outputs[0].loss
        (found,) = torch.autograd.grad(term, [method.slots[0].branch("task").b])
        return float(found.norm())

    with torch.no_grad(), learner.without(*method._not_teaching):
        assert torch.allclose(learner.forward(probe.without_labels()).features, features, atol=1e-5)
    start = gradient()
    for slot in method.slots:
        slot.branch("task").b.data.normal_(std=0.1, generator=torch.Generator().manual_seed(0))
    moved = gradient()
    assert (start < 1e-4 * moved) if teacher == "previous" else (start > 1e-3 * moved)


def test_nearest_means(make_trainer: Make) -> None:
    """Means are those of the exemplars, and have a say where the nearest prompt is that of a learned class."""
    trainer = make_trainer(IcarlConfig(rank=2, memory_size=60, herding="class", classifier="nearest_mean"))
    method = icarl(trainer)
    assert isinstance(method, NearestMeanIcarl)
    trainer.sample_steps(0, 2)
    (batch,) = trainer.learner.batches(0, "train", 1000)
    rows = method.memory.rows[:, 1]
    with torch.no_grad():
        features = trainer.learner.forward(batch.without_labels()).features[rows]
    labels = batch.inputs["labels"][rows]
    for label in labels.unique():
        mean = torch.nn.functional.normalize(features[labels == label].mean(0), dim=0)
        assert torch.allclose(method.means[label], mean, atol=1e-5)
    method.means = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]])
    images = torch.tensor([[0.6, 0.8], [0.6, 0.8], [0.6, 0.8]])
    logits = torch.tensor([[9.0, 1.0, 2.0, 3.0], [1.0, 2.0, 9.0, 3.0], [1.0, 2.0, 3.0, 9.0]])
    found = method.answer(Output(None, lambda: logits, lambda: images), torch.tensor([0, 1, 2, 3]))
    assert torch.allclose(found[0], torch.tensor([0.6, 0.8, BELOW_ALL, BELOW_ALL]))
    assert torch.equal(found[1:], logits[1:])  # a learned class without exemplars, and one that is not learned


def test_nearest_means_need_exemplars_of_every_class(make_trainer: Make) -> None:
    with pytest.raises(
        ConfigError, match=r"needs exemplars of every class, and a memory_size of 4 leaves 1 for the \d+ classes"
    ):
        make_trainer(IcarlConfig(rank=2, memory_size=4, herding="class", classifier="nearest_mean"))
    with pytest.raises(ConfigError, match="classifier nearest_mean needs exemplars of every class; set herding to class"):
        validate(RunConfig, {"benchmark": "mini-mtil", "method": {"name": "icarl", "classifier": "nearest_mean"}}, where="test")
