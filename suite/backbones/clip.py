"""CLIP behind the learner interface."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import torch

from suite.backbones.class_prompts import ClassPrompts
from suite.backbones.clip_learner import ClipConfig, ClipLearner
from suite.backbones.learner import Learner
from suite.backbones.open_clip_network import load_open_clip, open_clip_inputs
from suite.backbones.pixels import require_images
from suite.backbones.same_prompts import require_told_apart
from suite.benchmarks.stream import Stream
from suite.data.drawn_images import DOMAINS
from suite.hashing import files_hash

TOY = (
    "mini-clip is a toy that has seen nothing but 156 kinds of drawings, so results on other images say little; a real model is named "
    "by --set backbone.name=open-clip --set benchmark.image_size=224"
)


class ToyLearner(ClipLearner):
    """The shipped CLIP on images that it was not made for."""

    def facts(self) -> dict[str, Any]:
        facts = super().facts()
        return {**facts, "notes": [TOY, *facts.get("notes", [])]}


class MiniClipConfig(ClipConfig):
    """The shipped CLIP of 0.6 million parameters; rebuilt by ``codyra-suite pretrain-mini``."""

    threads: ClassVar[int | None] = 1
    name: Literal["mini-clip"] = "mini-clip"

    def content(self) -> dict[str, str]:
        from suite.backbones.pretrain_clip import NAME, WEIGHTS

        return {"weights": files_hash(WEIGHTS.glob(f"{NAME}.*"), WEIGHTS)}

    def build(self, stream: Stream, device: torch.device) -> Learner:
        from suite.backbones.pretrain_clip import load_mini_clip

        network, tokenize = load_mini_clip()
        is_own = all(task.name in DOMAINS for task in stream.tasks)
        return (ClipLearner if is_own else ToyLearner)(self, stream, device, network, tokenize)

    def check(self, stream: Stream) -> None:
        self.build(stream, torch.device("cpu"))  # so small that it is its own check


class OpenClipConfig(ClipConfig):
    """Any open_clip model by name with a pretrained tag or a local weight file; null weights mean random ones.

    Attributes:
        model: an open_clip architecture. OpenAI's weights were trained with the quick GELU, hence the default.
        pretrained: an open_clip tag, a path, or null for random weights, the same in every run (speed and shape checks only).
    """

    name: Literal["open-clip"] = "open-clip"
    model: str = "ViT-B-16-quickgelu"
    pretrained: str | None = "openai"

    def build(self, stream: Stream, device: torch.device) -> Learner:
        network, tokenize = load_open_clip(self.model, self.pretrained)
        return ClipLearner(self, stream, device, network, tokenize)

    def check(self, stream: Stream) -> None:
        size, tokenize = open_clip_inputs(self.model, self.pretrained)
        tasks = require_images(stream, self.name, size)
        prompts = ClassPrompts(tasks, tokenize, torch.device("cpu"), merge=stream.shared_classes == "merge")
        require_told_apart(prompts, stream, self.name, self.remedy)
