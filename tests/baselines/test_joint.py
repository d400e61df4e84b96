"""Joint fine-tuning: the loss of all tasks seen so far, each with equal weight."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from baselines.finetune import FinetuneConfig
from baselines.joint import Joint, JointConfig
from suite.benchmarks.stream import Stream
from trainables.method import Step, TaskContext
from trainables.stream_trainer import StreamTrainer


def context_of(trainer: StreamTrainer, index: int) -> TaskContext:
    return trainer.context(index)


def step_of(trainer: StreamTrainer, index: int) -> Step:
    context = context_of(trainer, index)
    trainer.learner.begin_task(index)
    trainer.method.begin_task(context)
    rows = torch.arange(8)
    current = trainer.learner.batch(torch.full_like(rows, index), rows, trainer.random["augment"])
    batches = [current, *trainer.method.extra_batches(context, current)]
    return Step(0, 8, 1e-3, batches, [trainer.learner.forward(batch) for batch in batches])


def test_first_task_is_plain_fine_tuning(make_trainer: Callable[..., StreamTrainer]) -> None:
    joint, plain = (next(make_trainer(config).rows(0)) for config in (JointConfig(), FinetuneConfig()))
    assert joint.result.train_loss == plain.result.train_loss


def test_every_task_seen_weighs_the_same(make_trainer: Callable[..., StreamTrainer]) -> None:
    trainer = make_trainer(JointConfig())
    step = step_of(trainer, 2)
    losses = [output.loss for output in step.outputs]
    assert torch.allclose(trainer.method.loss(step), (losses[0] + 2 * losses[1]) / 3)


def test_extra_rows_come_from_earlier_tasks_evenly(make_trainer: Callable[..., StreamTrainer]) -> None:
    trainer = make_trainer(JointConfig())
    assert isinstance(trainer.method, Joint)
    context = context_of(trainer, 2)
    trainer.learner.begin_task(2)
    rows = torch.arange(8)
    current = trainer.learner.batch(torch.full_like(rows, 2), rows, trainer.random["augment"])
    seen = torch.cat([trainer.method.extra_batches(context, current)[0].tasks for _ in range(60)])
    counts = torch.bincount(seen, minlength=3)
    assert counts[2] == 0
    assert counts[0].item() == pytest.approx(240, abs=60)  # binomial, 5 sigma


def test_union_streams_judge_earlier_rows_among_seen_classes(
    make_trainer: Callable[..., StreamTrainer], union_stream: Stream
) -> None:
    trainer = make_trainer(JointConfig(), stream=union_stream)
    step = step_of(trainer, 1)
    classes = sum(len(task.class_names) for task in union_stream.tasks[:2])
    assert step.outputs[1].logits.shape[1] == classes


def test_forgets_less_than_sequential_fine_tuning(make_trainer: Callable[..., StreamTrainer]) -> None:
    """What it is for: with equal budget the first task keeps more accuracy."""
    kept = []
    for config in (JointConfig(), FinetuneConfig()):
        last = list(make_trainer(config, steps=40, lr=1e-3).rows(0))[-1]
        first_task = last.outcomes["test"][0]
        assert first_task is not None
        kept.append(first_task.mean)
    assert kept[0] > kept[1]
