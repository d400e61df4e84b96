"""SnD, select and distill: ZSCL with two teachers, of which the reference picture itself decides.

    teacher of picture x:   (1 - w) f*(x) + w f-(x),      w = min(1, reach ||f-(x) - f*(x)||)

f* is the pretrained network, f- the one before the task. A picture whose embedding earlier tasks have moved is like their data, so the network
that learned them is its teacher; the others keep the pretrained one. All else is ZSCL's (``baselines/zscl.py``), whose average and
anchor are off by themselves. In the first task both teachers are one.

Source: Select and Distill, ECCV 2024; chu0802/SnD (commit aca239a) for the two teachers and for weights that grow with that distance.
Reconstruction: the form of w and ``reach`` (5: a distance of 0.2 is enough for the younger teacher alone), one blended teacher where the
release adds two losses, and distributions over captions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import torch
from pydantic import Field
from torch import Tensor

from baselines.distillation import Teacher
from baselines.zscl import TEACHER, Zscl, ZsclConfig
from suite.backbones.learner import Batch, Output
from suite.parts import MethodConfig
from trainables.method import Step, TaskContext


class SndConfig(ZsclConfig):
    """Hyperparameters as of ``zscl``; ``reach``: weight of the younger teacher per unit of distance, 0 is ``zscl``."""

    knows_later_tasks = False
    name: Literal["snd"] = "snd"  # type: ignore[assignment]
    anchor: Annotated[float, Field(ge=0)] = 0.0
    every: Annotated[int, Field(ge=0)] | None = 0
    reach: Annotated[float, Field(ge=0)] = 5.0

    def degenerate_settings(self) -> Sequence[tuple[MethodConfig, Mapping[str, Any]]]:
        shared = self.model_dump(exclude={"name", "reach"})
        return [(self.model_copy(update={"reach": 0.0}), {"name": "zscl", **shared})]

    def build(self) -> Snd:
        return Snd(self)


class Snd(Zscl):
    """The younger teacher is made anew from the network as each task begins; one more pass without gradients per step."""

    def __init__(self, config: SndConfig) -> None:
        super().__init__(config)
        self.reach = config.reach
        self.previous: Teacher | None = None

    def begin_task(self, context: TaskContext) -> None:
        super().begin_task(context)
        if self.reach and self.config.distils:
            self.previous = Teacher.before_steps(context.learner, self.inner)

    def _pictures(self, step: Step, own: Sequence[tuple[Batch, Output]]) -> tuple[Tensor, Tensor]:
        features, pretrained = super()._pictures(step, own)
        if self.previous is None:
            return features, pretrained
        pixels = {name: value for name, value in own[0][0].inputs.items() if name != TEACHER}
        with self.previous.speaking():
            younger = self.learner.forward(Batch(own[0][0].tasks, own[0][0].rows, pixels)).features.float()
        return features, pretrained + self.weights(younger, pretrained) * (younger - pretrained)

    def weights(self, younger: Tensor, pretrained: Tensor) -> Tensor:
        """(n, 1) w of pictures with the embeddings (n, dim) of both teachers."""
        distances: Tensor = torch.linalg.vector_norm(younger - pretrained, dim=1, keepdim=True)
        return (self.reach * distances).clamp(max=1.0)

    def end_task(self, context: TaskContext) -> None:
        self.previous = None
        super().end_task(context)
