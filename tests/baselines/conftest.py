"""Trainers on both kinds of backbone for what must hold on images and on texts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from suite.backbones.causal_lm import MiniLMConfig
from suite.benchmarks.mini_trace import MiniTraceConfig
from suite.parts import MethodConfig, TrainingConfig
from suite.randomness import RandomStreams
from trainables.stream_trainer import StreamTrainer

TEXTS = ("FOMC", "ScienceQA", "NumGLUE-cm")


@pytest.fixture(params=["clip", "lm"])
def make_either(request: pytest.FixtureRequest, make_trainer: Callable[..., StreamTrainer]) -> Callable[..., StreamTrainer]:
    """``make_either(method config, **training)``: a trainer of three tasks, in one test on the small CLIP, in the other on the small
    language model; ``trainer.sample_steps(task, count)`` trains a task without the evaluations after it."""

    def make(config: MethodConfig, **training: Any) -> StreamTrainer:
        if request.param == "clip":
            return make_trainer(config, **{"batch_size": 16, **training})
        learner = MiniLMConfig().build(MiniTraceConfig(tasks=TEXTS).build(Path()), torch.device("cpu"))
        budget = TrainingConfig(**{"steps": 8, "batch_size": 16, "lr": 3e-3, **training})
        return StreamTrainer(learner, config.build(), budget, RandomStreams(0))

    return make
