"""RAIL: recursion equals one solution, both forms are one where they must be, and who answers what."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from baselines.rail import Rail, fused, rows_of
from baselines.rail_dual import RailDual, RailDualConfig
from baselines.rail_primal import RailPrimal, RailPrimalConfig
from suite.backbones.causal_lm import MiniLMConfig
from suite.benchmarks.mini_trace import MiniTraceConfig
from suite.benchmarks.stream import Stream
from suite.errors import ConfigError
from suite.parts import MethodConfig, TrainingConfig
from suite.randomness import RandomStreams
from trainables.stream_trainer import StreamTrainer

Make = Callable[..., StreamTrainer]


@pytest.fixture
def learned(make_trainer: Make) -> Callable[..., tuple[StreamTrainer, Any]]:
    """``learned(config, ...)``: a trainer after its three tasks without the evaluations between them, and its method."""

    def learn(config: MethodConfig, **more: Any) -> tuple[StreamTrainer, Any]:
        trainer = make_trainer(config, **more)
        for index in range(3):
            trainer.learner.begin_task(index)
            trainer.method.end_task(trainer.context(index))
        assert isinstance(trainer.method, Rail)
        return trainer, trainer.method

    return learn


def everything(trainer: StreamTrainer) -> tuple[torch.Tensor, torch.Tensor]:
    """Features and classes of all tasks' training rows."""
    parts, first = [], 0
    with torch.no_grad():
        for index, task in enumerate(trainer.stream.tasks):
            parts += [(features, labels + first) for features, labels in rows_of(trainer.context(index))]
            first += len(task.class_names)  # type: ignore[union-attr]
    features, classes = zip(*parts, strict=True)
    return torch.cat(features), torch.cat(classes)


def test_the_recursion_is_the_joint_solution(learned: Callable[..., tuple[StreamTrainer, RailPrimal]]) -> None:
    """W and R of three tasks in batches of 8 are those of one ridge regression over all rows, in whichever order; each left its mark."""
    trainer, method = learned(RailPrimalConfig(width=200))
    features, classes = everything(trainer)
    assert method.expand is not None
    x = (features.double() @ method.expand).relu()
    y = torch.nn.functional.one_hot(classes).double()
    inverse = torch.linalg.inv(x.T @ x + 0.1 * torch.eye(200, dtype=torch.float64))
    assert method.seen == y.shape[1] == method.weights.shape[1]
    assert float((method.inverse - inverse).abs().max()) <= 1e-9
    assert float((method.weights - inverse @ x.T @ y).abs().max()) <= 1e-9
    assert float(method.weights.norm(dim=0).min()) > 1e-3
    backwards = RailPrimal(method.config)
    backwards.attach(trainer.learner, RandomStreams(0))
    backwards.seen = method.seen
    backwards.learn(iter([(features.flip(0)[:50], classes.flip(0)[:50]), (features.flip(0)[50:], classes.flip(0)[50:])]))
    assert float((backwards.weights - method.weights).abs().max()) <= 1e-9
    _, single = learned(RailPrimalConfig(width=200, precision="fp32"))
    assert 0 < float((single.weights - method.weights).abs().max()) <= 1e-2
    other, _ = learned(RailPrimalConfig(width=200), seed=1)
    assert not torch.equal(other.method.expand, method.expand)  # type: ignore[attr-defined]


def test_linear_primal_and_linear_dual_are_one(learned: Callable[..., tuple[StreamTrainer, Any]]) -> None:
    _, primal = learned(RailPrimalConfig(expansion="none", ridge=0.05))
    trainer, dual = learned(RailDualConfig(kernel="linear", ridge=0.05))
    features = next(rows_of(trainer.context(1)))[0]
    one, other = primal.regress(features), dual.regress(features)
    assert float(one.abs().max()) > 0.1
    assert float((one - other).abs().max()) <= 1e-9


def test_the_dual_solves_its_kernel(learned: Callable[..., tuple[StreamTrainer, RailDual]]) -> None:
    """alpha against the plain formula; without ridge the training rows get their own labels."""
    trainer, method = learned(RailDualConfig(gamma=2.0, ridge=1e-3))
    features, classes = everything(trainer)
    kernel = torch.exp(-2.0 * torch.cdist(features.double(), features.double()).square())
    y = torch.nn.functional.one_hot(classes).double()
    alpha = torch.linalg.solve(kernel + 1e-3 * torch.eye(len(y), dtype=torch.float64), y)
    assert float((method.alpha - alpha).abs().max() / alpha.abs().max()) <= 1e-6
    _, exact = learned(RailDualConfig(gamma=50.0, ridge=1e-9))
    assert float((exact.regress(features).argmax(dim=1) == classes).double().mean()) >= 0.99


def test_who_answers() -> None:
    """By hand, two known classes and one that is not: the ridge has a say where zero-shot points to a known class alone."""
    logits = torch.log(torch.tensor([[0.5, 0.3, 0.2], [0.2, 0.3, 0.5], [0.6, 0.1, 0.3]]))
    ridge = torch.tensor([[0.1, 1.0, 0.0], [0.1, 1.0, 0.0], [0.0, 0.0, 0.0]])
    known = torch.tensor([True, True, False])
    found = fused(logits, ridge, known, 0.8)
    expected = [[0.1 + 0.08, 0.06 + 0.8, 0.04], [0.2, 0.3, 0.5], [0.12, 0.02, 0.06]]
    assert torch.allclose(found, torch.tensor(expected, dtype=torch.float64), atol=1e-7)


@pytest.mark.parametrize("config", [RailPrimalConfig(width=512), RailDualConfig()], ids=lambda config: config.name)
def test_domains_that_are_not_learned_keep_their_answers(
    make_trainer: Make, union_stream: Stream, config: MethodConfig
) -> None:
    """What zero-shot gets right there stays right, what is learned is answered otherwise, and mix 0 is zero-shot everywhere."""
    trainer = make_trainer(config, stream=union_stream)
    zero = trainer.first_row().outcomes["validation"]
    report = next(trainer.rows(0))
    after = report.outcomes["validation"]
    assert report.result.costs.trainable_parameters == 0 and report.result.costs.steps == 0
    for task, (before, now) in enumerate(zip(zero, after, strict=True)):
        assert before and now
        assert (
            (bool((now.scores >= before.scores).all()) and before.mean > 0)
            if task
            else not np.array_equal(now.scores, before.scores)
        )
    assert trainer.journal.tasks == [{}]
    none = make_trainer(config.model_copy(update={"mix": 0.0}), stream=union_stream)
    for one, other in zip(next(none.rows(0)).outcomes["validation"], zero, strict=True):
        assert one and other and np.array_equal(one.scores, other.scores)


def test_a_kernel_that_cannot_be_held_is_refused(make_trainer: Make) -> None:
    with pytest.raises(
        ConfigError, match=r"rail-dual: the kernel of the stream's [\d,]+ training images .* method\.memory_gib allows 1e-06"
    ):
        make_trainer(RailDualConfig(memory_gib=1e-6))
    with pytest.raises(ConfigError, match=r"rail-primal: .* 65,536 x 65,536 numbers in fp64 takes 32 GiB, .* allows 16"):
        make_trainer(RailPrimalConfig(width=65536))


def test_texts_are_refused() -> None:
    learner = MiniLMConfig().build(MiniTraceConfig(tasks=("FOMC",)).build(Path()), torch.device("cpu"))
    with pytest.raises(ConfigError, match="'rail-primal' needs a CLIP, and the backbone is a language model"):
        StreamTrainer(learner, RailPrimalConfig().build(), TrainingConfig(steps=1), RandomStreams(0))
