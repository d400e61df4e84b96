"""What speed is measured on: one method on a stream, learned by the fast step and by the plain reference."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from suite.backbones.causal_lm import CausalLMConfig, MiniLMConfig
from suite.backbones.clip import MiniClipConfig, OpenClipConfig
from suite.backbones.clip_learner import ClipLearner
from suite.backbones.open_clip_network import open_clip_models
from suite.benchmarks.mini import MiniXtailConfig
from suite.benchmarks.mini_trace import MiniTraceConfig
from suite.benchmarks.stream import ImageTask, LabelSpace, Stream
from suite.config import validate
from suite.data.examples import ImageExamples
from suite.data.image_facts import class_facts, stream_facts
from suite.errors import ConfigError, unknown_name
from suite.parts import BackboneConfig, TrainingConfig
from suite.randomness import RandomStreams, numpy_generator
from suite.registry import METHODS
from trainables.cards import has_bf16
from trainables.precision import set_arithmetic
from trainables.stream_trainer import StreamTrainer

SHOTS = 16
SIDE = 224


@dataclass(frozen=True)
class Workload:
    """A run in everything but its images.

    Attributes:
        backbone: ``mini-clip`` on the embedded domains; an open_clip architecture with random weights on noise that has
            X-TAIL's tasks, class names and 16 images per class: speed does not depend on what the numbers are; ``mini-lm``, or a
            causal language model by hub id or folder, on the embedded text tasks.
        precision: of the fast side; ``auto`` = bf16 on a GPU that has it, else fp32. The plain side is always fp32. tf32 is none: torch has
            one switch of it for a process, which computes both sides in turn.
        kernels, encoders: of the fast side, as in ``training``; the plain side has the defaults.
        tasks: the first so many of the stream.
        task: the only one, by its name, instead of those; of images, what a step costs depends on how many classes it has.
        test_share: of X-TAIL's test images; validation has a tenth of them. Embedded domains are used whole.
    """

    device: torch.device
    backbone: str = "mini-clip"
    method: str = "codyra"
    precision: str = "auto"
    batch_size: int = 32
    steps: int = 100
    tasks: int = 1
    test_share: float = 0.01
    task: str | None = None
    kernels: str = "torch"
    encoders: str = "in_turn"

    def __post_init__(self) -> None:
        """Raise ConfigError for a method that is not registered or does not learn, and kernels that do not fit the fast side."""
        if self.method not in METHODS:
            raise unknown_name("method", self.method, sorted(METHODS), where="--method")
        if self.method == "zero-shot":
            raise ConfigError("--method zero-shot: does not learn, so it has no step to measure; name another method.")
        if self.kernels == "triton" and (fast := self.fast_precision()) != "bf16":
            raise ConfigError(f"--kernels: triton serves bf16 alone, and the fast side is {fast}; add --precision bf16.")

    def fast_precision(self) -> str:
        """What ``auto`` means here."""
        if self.precision != "auto":
            return self.precision
        return "bf16" if has_bf16(self.device) else "fp32"

    @property
    def reads_text(self) -> bool:
        """True for a language model; what is no folder and no hub id is taken for an open_clip architecture."""
        return self.backbone == "mini-lm" or "/" in self.backbone or Path(self.backbone).is_dir()

    def stream(self) -> Stream:
        """Made anew in every call, equal every time.

        Raises:
            ConfigError: an unknown architecture or task.
        """
        if self.backbone == "mini-clip" or self.reads_text:
            whole = MiniTraceConfig().build(Path()) if self.reads_text else MiniXtailConfig().stream(LabelSpace.UNION)
            chosen = self._chosen(whole.task_names)
            tasks = [task for task in whole.tasks if task.name in chosen]
            return Stream(whole.name, tasks, whole.protocol, whole.metrics, scoring=whole.scoring)
        if self.backbone not in open_clip_models():
            raise unknown_name("backbone", self.backbone, ["mini-clip", "mini-lm", *open_clip_models()], where="--backbone")
        facts, names = stream_facts("xtail"), class_facts("xtail")
        tasks = [
            noise_task(key, tuple(names[key]["names"]), round(self.test_share * int(facts["sets"][key]["test"])))
            for key in self._chosen(facts["orders"]["I"])
        ]
        return Stream("xtail-noise", tasks, LabelSpace.UNION, ("zscl.last",))

    def _chosen(self, names: Sequence[str]) -> Sequence[str]:
        if self.task is None:
            return names[: self.tasks]
        if self.task not in names:
            raise unknown_name("task", self.task, list(names), where="--task")
        return [self.task]

    def trainer(self, stream: Stream, *, plain: bool) -> StreamTrainer:
        """A trainer over a fresh network."""
        precision = "fp32" if plain else self.fast_precision()
        fields: dict[str, Any] = {
            "steps": self.steps,
            "batch_size": self.batch_size,
            "precision": precision,
            "eval_precision": precision,
            **({} if plain else {"kernels": self.kernels, "encoders": self.encoders}),
        }
        quick = {"kappa_levels": max(2, self.steps // 10)} if self.method == "codyra" else {}
        method = METHODS[self.method].model_validate({"name": self.method, **quick})
        training = validate(TrainingConfig, fields, where="perf")
        set_arithmetic(training, self.device)
        learner = self._backbone().build(stream, self.device)
        return StreamTrainer(learner, method.build(), training, RandomStreams(0), plain=plain)

    def stepping_trainer(self, stream: Stream, *, plain: bool) -> StreamTrainer:
        """``trainer``.

        Raises:
            ConfigError: its method learns without optimizer steps.
        """
        trainer = self.trainer(stream, plain=plain)
        if not trainer.method.steps(trainer.context(0)):
            raise ConfigError(
                f"--method {self.method}: takes no optimizer steps, so there is none to measure; name another method."
            )
        return trainer

    def _backbone(self) -> BackboneConfig:
        if self.reads_text:
            return MiniLMConfig() if self.backbone == "mini-lm" else CausalLMConfig(model=self.backbone)
        return MiniClipConfig() if self.backbone == "mini-clip" else OpenClipConfig(model=self.backbone, pretrained=None)


def clip_of(trainer: StreamTrainer) -> ClipLearner:
    """The learner of a workload's trainer.

    Raises:
        ConfigError: a language model, whose answers ``dev perf text`` measures.
    """
    if not isinstance(trainer.learner, ClipLearner):
        raise ConfigError("--backbone: a language model generates answers; measure it with 'codyra-suite dev perf text'.")
    return trainer.learner


def noise_task(name: str, classes: tuple[str, ...], tests: int) -> ImageTask:
    """A task of ``classes`` whose images are noise."""
    random = numpy_generator("perf", name)

    def examples(count: int, split: str) -> ImageExamples:
        pixels = random.integers(0, 256, (count, 3, SIDE, SIDE), dtype=np.uint8)
        return ImageExamples(
            pixels, np.arange(count) % len(classes), tuple(f"{name}/{split}/{place}" for place in range(count))
        )

    template = ("a photo of a {}.",)
    train = examples(SHOTS * len(classes), "train")
    return ImageTask(
        name,
        train,
        examples(max(1, tests // 10), "validation"),
        examples(max(1, tests), "test"),
        classes,
        template,
        template,
        "crop",
    )
