"""DualPrompt: what each task learns, what stays, and which expert answers, on images and on texts."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F

from baselines.dualprompt import PART, DualPrompt, DualPromptConfig
from suite.backbones.learner import Batch
from trainables.stream_trainer import StreamTrainer

Make = Callable[..., StreamTrainer]


def dualprompt(trainer: StreamTrainer) -> DualPrompt:
    assert isinstance(trainer.method, DualPrompt)
    return trainer.method


def judged(trainer: StreamTrainer, task: int) -> tuple[Batch, torch.Tensor]:
    """Some rows and what the network says of them at test time."""
    batch = next(trainer.learner.batches(task, "train", 6))
    hook, trainer.learner.before_forward = trainer.learner.before_forward, lambda inputs, *, training: None
    hook(batch.inputs, training=False)
    with torch.no_grad():
        found = trainer.learner.forward(batch).logits
    trainer.learner.before_forward = hook
    return batch, found


def test_finished_experts_stay_and_the_closest_key_chooses(make_either: Make) -> None:
    trainer = make_either(DualPromptConfig(general=2, expert=3), lr=0.02)
    method, prompts = dualprompt(trainer), dualprompt(trainer).prompts
    trainer.sample_steps(0, 3)
    kept = [value.detach().clone() for value in (prompts.experts[0], prompts.keys[0], prompts.general)]
    trainer.learner.begin_task(1)
    before = judged(trainer, 0)[1]
    trainer.sample_steps(1, 3)
    assert torch.equal(prompts.experts[0], kept[0])
    assert torch.equal(prompts.keys[0], kept[1])
    assert not torch.equal(prompts.general, kept[2])
    assert float((judged(trainer, 0)[1] - before).abs().max()) > 1e-4
    batch, _ = judged(trainer, 1)
    with trainer.learner.without(PART), torch.no_grad():
        query = trainer.learner.query(batch.inputs)
    cosines = torch.stack([F.cosine_similarity(query, key[None]) for key in prompts.keys], dim=1)
    assert torch.equal(prompts.chosen, cosines.argmax(dim=1))
    with torch.no_grad():
        prompts.keys[0].copy_(query[2])
        prompts.keys[1].copy_(-query[2])
    judged(trainer, 1)
    assert prompts.chosen[2] == 0
    trainer.learner.forward(batch)
    assert prompts.chosen.tolist() == [1] * 6, "in training every row has its own task's expert"
    assert method.finished == 2


def test_a_new_key_takes_no_part_before_its_task_is_finished(make_either: Make) -> None:
    """Before the first task is finished the network is untouched; a task that begins changes no bit."""
    trainer = make_either(DualPromptConfig(general=1, expert=2))
    trainer.learner.begin_task(0)
    untouched = judged(trainer, 0)[1]
    dualprompt(trainer).begin_task(trainer.context(0))
    assert torch.equal(judged(trainer, 0)[1], untouched)
    dualprompt(trainer).end_task(trainer.context(0))
    ended = judged(trainer, 0)[1]
    assert not torch.equal(ended, untouched)
    dualprompt(trainer).begin_task(trainer.context(1))
    assert torch.equal(judged(trainer, 0)[1], ended)


def test_the_pull_moves_the_newest_key_alone(make_trainer: Make) -> None:
    """The task loss gives keys no gradient, the pull gives prompts none; without a pull the key stays as it was drawn."""
    trainer = make_trainer(DualPromptConfig(general=1, expert=1), lr=0.05)
    trainer.sample_steps(0, 1)
    method = dualprompt(trainer)
    method.begin_task(trainer.context(1))
    for parameter in method.prompts.parameters():
        parameter.grad = None
    output = trainer.learner.forward(next(trainer.learner.batches(0, "train", 6)))
    (-method.agreement(output)).backward()
    assert [key.grad is not None for key in method.prompts.keys] == [False, True]
    assert method.prompts.general.grad is None
    pulled = method.prompts.keys[1].grad.clone()
    output.loss.backward()
    assert torch.equal(method.prompts.keys[1].grad, pulled)
    assert float(method.prompts.experts[1].grad.abs().max()) > 0
    assert method.prompts.experts[0].grad is None
    keys = []
    for pull in (0.0, 1.0):
        other = make_trainer(DualPromptConfig(pull=pull), lr=0.05)
        other.sample_steps(0, 3)
        keys.append(dualprompt(other).prompts.keys[0].detach())
    assert float((keys[1] - keys[0]).abs().max()) > 0.01
