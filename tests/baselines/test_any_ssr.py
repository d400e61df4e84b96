"""Any-SSR: the router is the joint ridge, rows go their own ways, and what was learned stays."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from baselines.any_ssr import AnySsr, AnySsrConfig
from suite.backbones.causal_lm import MiniLMConfig
from suite.backbones.learner import Batch
from suite.benchmarks.mini_trace import MiniTraceConfig
from suite.errors import ConfigError
from suite.parts import TrainingConfig
from suite.randomness import RandomStreams
from trainables.stream_trainer import StreamTrainer

Make = Callable[..., StreamTrainer]


def any_ssr(trainer: StreamTrainer) -> AnySsr:
    assert isinstance(trainer.method, AnySsr)
    return trainer.method


def learned(trainer: StreamTrainer, tasks: tuple[int, ...] = (0, 1)) -> AnySsr:
    for task in tasks:
        trainer.learner.begin_task(task)
        trainer.sample_steps(task, 2)
    return any_ssr(trainer)


@torch.no_grad()
def said(trainer: StreamTrainer, batch: Batch, route: torch.Tensor | None) -> torch.Tensor:
    """Embeddings of images or states before the answer, with rows sent as ``route`` says."""
    method, hook = any_ssr(trainer), trainer.learner.before_forward
    method._switch(training=False)
    method.route = route
    trainer.learner.before_forward = lambda inputs, *, training: None
    found = trainer.learner.forward(batch).features
    trainer.learner.before_forward = hook
    return found


def test_the_router_is_the_joint_ridge(make_either: Make) -> None:
    trainer = make_either(AnySsrConfig(rank=2, ridge=3.0))
    method = learned(trainer)
    rows, owners = [], []
    for task in (1, 0):  # the order is no matter
        for batch in trainer.learner.batches(task, "train", 7):
            rows.append(trainer.learner.query(batch.inputs, layers=1).double())
            owners += [task] * len(batch)
    q, y = torch.cat(rows), torch.eye(2, dtype=torch.float64)[torch.tensor(owners)]
    wanted = torch.linalg.solve(q.T @ q + 3.0 * torch.eye(q.shape[1], dtype=torch.float64), q.T @ y)
    assert torch.allclose(method.solution(), wanted, atol=1e-8)
    right = []
    for task in (0, 1):
        batches = trainer.learner.batches(task, "validation", 7)
        sent = torch.cat([(trainer.learner.query(b.inputs, layers=1).double() @ wanted).argmax(dim=1) for b in batches])
        right.append(float((sent == task).double().mean()))
    assert method.facts().chosen["router_accuracy"] == pytest.approx(sum(right) / 2, abs=1e-4)
    assert set(method.facts().effective_rank.values()) == {method.config.rank}  # after two tasks: an example passes one branch
    assert sum(right) / 2 > 0.6


def test_each_row_goes_through_its_own_branch(make_either: Make) -> None:
    """Rows of one batch that are sent to different tasks are what they are when the whole batch is sent there."""
    trainer = make_either(AnySsrConfig(rank=2), lr=0.02)
    learned(trainer)
    batch = next(trainer.learner.batches(0, "train", 6))
    alone = [said(trainer, batch, torch.full((6,), task)) for task in (0, 1)]
    assert float((alone[0] - alone[1]).abs().max()) > 1e-4
    mixed = said(trainer, batch, torch.tensor([0, 1, 1, 0, 1, 0]))
    wanted = torch.stack([alone[task][row] for row, task in enumerate([0, 1, 1, 0, 1, 0])])
    assert torch.allclose(mixed, wanted, atol=1e-5)
    with trainer.learner.without("task1"):
        assert torch.allclose(said(trainer, batch, None), said(trainer, batch, None))


def test_what_was_learned_never_changes(make_either: Make) -> None:
    trainer = make_either(AnySsrConfig(rank=2))
    method = learned(trainer, (0,))
    batch = next(trainer.learner.batches(0, "train", 6))
    before, sums = said(trainer, batch, torch.zeros(6)), method.sums.clone()
    trainer.learner.begin_task(1)
    trainer.sample_steps(1, 3)
    assert torch.equal(said(trainer, batch, torch.zeros(6)), before)
    assert torch.equal(method.sums[:, :1], sums)
    assert not any(slot.name.startswith("text") or ".0." in slot.name for slot in method.slots)
    assert not trainer.journal.tasks[1]


def test_answers_go_the_way_that_their_prompts_were_sent() -> None:
    """Cached and batched as one by one by the stock generate, with prompts of both tasks together."""
    learner = MiniLMConfig().build(MiniTraceConfig(tasks=("FOMC", "ScienceQA")).build(Path()), torch.device("cpu"))
    trainer = StreamTrainer(learner, AnySsrConfig(rank=4).build(), TrainingConfig(batch_size=16, lr=0.02), RandomStreams(0))
    first = learner.texts.prompts(0, "test")[0].ids
    any_ssr(trainer).begin_task(trainer.context(0))
    assert learner.answers([first], [3]), "before a task is finished nothing is sent anywhere"
    for slot in any_ssr(trainer).slots:
        slot.parts.clear()
    method = learned(trainer)
    prompts = [row.ids for task in (0, 1) for row in learner.texts.prompts(task, "test")[:4]]
    fast = learner.answers(prompts, [6] * 8)
    assert len({method._sent[place] for place in range(8)}) == 2
    learner.plain = True
    assert learner.answers(prompts, [6] * 8) == fast
    assert max(map(len, fast)) > 1


def test_nothing_behind_the_shared_layers_is_refused(make_trainer: Make) -> None:
    wanted = "any-ssr: placement 'text:qv' has nothing behind the first 1 of 3 layers of the image encoder; use a smaller"
    with pytest.raises(ConfigError, match=wanted):
        make_trainer(AnySsrConfig(placement="text:qv"))
    with pytest.raises(ConfigError, match="behind the first 3 of 3 layers"):
        make_trainer(AnySsrConfig(shared_layers=3))
