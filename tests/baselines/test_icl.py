"""In-context learning: whose prompts get demonstrations, when, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from baselines.icl import Icl, IclConfig
from suite.backbones.causal_learner import CausalLearner
from suite.backbones.causal_lm import MiniLMConfig
from suite.benchmarks.mini_trace import MiniTraceConfig
from suite.data.demonstrations import NOTICE
from suite.errors import ConfigError
from suite.parts import TrainingConfig
from suite.randomness import RandomStreams
from trainables.stream_trainer import StreamTrainer


def trainer_of(**backbone: Any) -> tuple[StreamTrainer, CausalLearner]:
    learner = MiniLMConfig(**backbone).build(MiniTraceConfig(tasks=("FOMC", "ScienceQA")).build(Path()), torch.device("cpu"))
    assert isinstance(learner, CausalLearner)
    return StreamTrainer(learner, IclConfig(demonstrations=2).build(), TrainingConfig(), RandomStreams(0)), learner


def texts(learner: CausalLearner, task: int) -> list[str]:
    found: list[str] = learner.tokenizer.batch_decode([row.ids for row in learner.texts.prompts(task, "test")])
    return found


def test_a_task_is_demonstrated_once_it_was_met() -> None:
    """As the backbone's own setting does it for all tasks; training rows and other tasks stay as they are, and a resumed run shows the same."""
    trainer, learner = trainer_of()
    method = trainer.method
    assert isinstance(method, Icl)
    assert method.steps(trainer.context(0)) == 0
    before = [texts(learner, task) for task in (0, 1)]
    rows = [row.ids.tolist() for row in learner.texts.training(0)]
    method.begin_task(trainer.context(0))
    assert texts(learner, 0) == before[0]
    method.end_task(trainer.context(0))
    assert all(NOTICE in text for text in texts(learner, 0))
    assert texts(learner, 1) == before[1]
    assert [row.ids.tolist() for row in learner.texts.training(0)] == rows
    _, everywhere = trainer_of()
    everywhere.demonstrate(2, [0, 1])
    assert texts(learner, 0) == texts(everywhere, 0)
    assert method.rows[:, 0].tolist() == [0] * len(method.rows)
    assert method.rows[:, 1].tolist() == everywhere.texts.demonstration_rows(0)
    assert method.facts().carried_bytes == 16 * len(method.rows) + 8
    again, other = trainer_of()
    again.method.load_state(method.state())
    assert [texts(other, task) for task in (0, 1)] == [texts(learner, task) for task in (0, 1)]


def test_more_demonstrations_than_any_window_holds_are_refused() -> None:
    learner = MiniLMConfig().build(MiniTraceConfig(tasks=("FOMC", "NumGLUE-cm")).build(Path()), torch.device("cpu"))
    with pytest.raises(ConfigError, match=r"icl: none of 100 demonstrations fits the window of \d+ tokens for any task"):
        StreamTrainer(learner, IclConfig(demonstrations=100).build(), TrainingConfig(), RandomStreams(0))


def test_demonstrations_of_both_kinds_are_refused() -> None:
    with pytest.raises(
        ConfigError, match="icl: puts demonstrations in front itself, and backbone.demonstrations is 3; set that to 0"
    ):
        trainer_of(demonstrations=3)
