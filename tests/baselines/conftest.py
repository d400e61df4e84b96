"""Trainers on both kinds of backbone for what must hold on images and on texts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from suite.backbones.causal_lm import MiniLMConfig
from suite.backbones.clip import MiniClipConfig
from suite.benchmarks.mini_trace import MiniTraceConfig
from suite.data.references import find_references
from suite.parts import MethodConfig, TrainingConfig
from suite.randomness import RandomStreams
from tests.baselines.reference_folder import reference_folder
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


@pytest.fixture
def make_referring(make_trainer: Callable[..., StreamTrainer], monkeypatch: pytest.MonkeyPatch) -> Callable[..., StreamTrainer]:
    """As ``make_trainer``, of runs that have a reference set."""
    build = MiniClipConfig.build

    def build_with_references(self: MiniClipConfig, *given: Any) -> Any:
        learner = build(self, *given)
        learner.use_references(find_references(reference_folder()))
        return learner

    monkeypatch.setattr(MiniClipConfig, "build", build_with_references)
    return make_trainer
