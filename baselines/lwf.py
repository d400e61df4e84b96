"""LwF, learning without forgetting: the network answers the task's own examples as it did before the task.

    L = L_inner + a D(Z, Z*) + b D(Z^T, Z*^T),      D(Z, Z*) = T^2 CE(softmax(Z*/T), Z/T),   over texts and over images

Images: Z = s f(x) E*^T among the current task's classes, Z* = s f*(x) E*^T of the teacher, the network before the task. With
``texts=teacher`` the student too is compared with the teacher's text embeddings E*, so that no gradient of D reaches the text encoder, as
in the release; ``current`` takes its own. Texts: Z are the logits of the answer tokens, a alone counts, b has no meaning.

Source: arXiv 1606.09282 as in ZSCL, arXiv 2303.06628; Thunderbeee/ZSCL (commit b96e714) mtil/src/models/finetune.py, helpers.py,
mtil/scripts/lwf.sh: T 2, a = b = 1, around full fine-tuning. For language models TRACE's release has KL(Z || Z*) without T^2 over all
positions, prompt and padding included; here it is the form of the paper.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import torch
from pydantic import Field
from torch import Tensor

from baselines.distillation import Teacher, both_ways, distillation
from suite.backbones.learner import Batch, Learner, Output
from suite.parts import MethodConfig
from suite.randomness import RandomStreams
from trainables.method import Step, TaskContext
from trainables.wrapper import Wrapper, WrapperConfig


class LwfConfig(WrapperConfig):
    """Hyperparameters.

    Attributes:
        inner: the method that learns, by its name or with its fields; ``lora`` by itself.
        weight: a, of the distributions over texts (the release's image loss).
        transposed_weight: b, of the distributions over the images of a batch (the release's text loss).
        temperature: T.
        texts: whose text embeddings the student's images are compared with in D.
    """

    knows_later_tasks = False
    name: Literal["lwf"] = "lwf"
    weight: Annotated[float, Field(ge=0)] = 1.0
    transposed_weight: Annotated[float, Field(ge=0)] = 1.0
    temperature: Annotated[float, Field(gt=0)] = 2.0
    texts: Literal["teacher", "current"] = "teacher"

    def degenerate_settings(self) -> Sequence[tuple[MethodConfig, Mapping[str, Any]]]:
        off = self.model_copy(update={"weight": 0.0, "transposed_weight": 0.0})
        return [(off, self.inner.model_dump())]

    def build(self) -> Lwf:
        return Lwf(self)


class Lwf(Wrapper):
    """Carries nothing over a task boundary: the teacher is made anew from the network as each task begins."""

    capturable = True
    other_weights = True

    def __init__(self, config: LwfConfig) -> None:
        super().__init__(config)
        self.config = config
        self.teacher: Teacher | None = None
        self.texts = torch.empty(0)  # (texts, dim) as the teacher embeds them
        self.tokens: Tensor | None = None  # of the texts; None: they are the class prompts

    def attach(self, learner: Learner, random: RandomStreams) -> None:
        super().attach(learner, random)
        self.capturable = self.capturable and learner.kind == "clip"  # answer tokens are picked out on the host

    def begin_task(self, context: TaskContext) -> None:
        super().begin_task(context)
        if not (self.config.weight or self.config.transposed_weight):
            return
        self.teacher = Teacher.before_steps(context.learner, self.inner)
        if context.learner.kind == "clip":
            with self.teacher.speaking():
                self.texts = self.embed(context)

    def embed(self, context: TaskContext) -> Tensor:
        """(texts, dim) embeddings of what images are compared with, by the network that is speaking."""
        return context.learner.class_features([context.index], judged=False)

    def term(self, step: Step, own: Sequence[tuple[Batch, Output]]) -> Tensor | None:
        batch, output = step.batches[0], step.outputs[0]
        if self.teacher is None:
            return None
        learner, config = self.teacher.learner, self.config
        if learner.kind == "lm":
            with self.teacher.speaking():
                wanted = learner.distil_logits(batch, learner.forward(batch))
            return config.weight * distillation(learner.distil_logits(batch, output), wanted, config.temperature)
        with self.teacher.speaking():
            images = learner.forward(batch.without_labels()).features
            wanted = learner.compare(images, self.texts)
        student = self.student(learner, output)
        return both_ways(student, wanted, config.temperature, config.weight, config.transposed_weight)

    def student(self, learner: Learner, output: Output) -> Tensor:
        """(n, texts) logits of the network that learns."""
        return learner.compare(output.features, self.texts) if self.config.texts == "teacher" else output.logits

    def end_task(self, context: TaskContext) -> None:
        self.teacher = None
        super().end_task(context)
