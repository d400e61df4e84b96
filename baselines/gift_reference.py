"""GIFT on the user's pairs: the network before the task is distilled on pictures with captions that belong to them.

    L = L_inner + D(Z, Z-) + D(Z^T, Z-^T) + m (CE(Z, I) + CE(Z^T, I)) / 2 + c sum_i F_i (p_i - p_i,start)^2

Z (n, n) = s f(x) e(y)^T of n pairs (picture x, caption y) by the network that learns, both encoders with gradients, Z- by the one before
the task; I: every picture belongs to its own caption. F_i = g_i^2 / mean of g^2, g the gradient of D and CE for what is trained: entries
that the pairs depend on are held more firmly.

Source: GIFT, CVPR 2025; Luo-Jiaming/GIFT_CL (commit 7511963) src/models/finetune_gift.py: T 2, m 0.25, c 1, learning rate 1e-5, 1000 steps,
around full fine-tuning (``inner: finetune``). There a diffusion model draws the pictures, 1000 per task; here they are the reference set's,
line i of its texts is the caption of picture i in the order of their paths, hence the name. With low-rank parts p_i are entries of their
factors (reconstruction). A step takes about 3.4 times as long as LoRA's on the small stream: pairs pass both encoders twice, and their
gradient is taken by itself for F.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from baselines.distillation import Teacher, both_ways
from suite.backbones.learner import Batch, Learner, Output
from suite.errors import ConfigError
from suite.parts import MethodConfig
from suite.randomness import RandomStreams
from trainables.method import Method, Need, Step, TaskContext
from trainables.wrapper import Wrapper, WrapperConfig

CAPTIONS = "captions"  # input of a reference batch: the tokens of its pictures' captions


class GiftReferenceConfig(WrapperConfig):
    """Hyperparameters.

    Attributes:
        inner: the method that learns, by its name or with its fields; ``lora`` by itself.
        weight: of D in both directions.
        temperature: T.
        matching: m.
        anchor: c.
        reference_share: pairs per step as a share of the current batch.
    """

    knows_later_tasks = False
    name: Literal["gift-reference"] = "gift-reference"
    weight: Annotated[float, Field(ge=0)] = 1.0
    temperature: Annotated[float, Field(gt=0)] = 2.0
    matching: Annotated[float, Field(ge=0)] = 0.25
    anchor: Annotated[float, Field(ge=0)] = 1.0
    reference_share: Annotated[float, Field(gt=0, le=4)] = 1.0

    def degenerate_settings(self) -> Sequence[tuple[MethodConfig, Mapping[str, Any]]]:
        return [(self.model_copy(update={"weight": 0.0, "matching": 0.0}), self.inner.model_dump())]

    @property
    def uses_pairs(self) -> bool:
        return bool(self.weight or self.matching)

    def build(self) -> GiftReference:
        return GiftReference(self)


class GiftReference(Wrapper):
    """Carries nothing over a task boundary: teacher and anchor are made anew from the network as each task begins."""

    kinds: frozenset[Need] = frozenset({"clip", "references"})
    extra_data = "reference pairs"
    other_weights = True

    def __init__(self, config: GiftReferenceConfig) -> None:
        super().__init__(config)
        self.config = config
        if config.anchor and config.uses_pairs and type(self.innermost).backward is not Method.backward:
            raise ConfigError(
                f"gift-reference: {type(self.innermost).__name__} makes gradients in its own way, in which the anchor cannot be weighed; "
                "set method.anchor=0 or choose another inner method."
            )
        self.teacher: Teacher | None = None
        self.start: list[tuple[nn.Parameter, Tensor]] = []

    def attach(self, learner: Learner, random: RandomStreams) -> None:
        super().attach(learner, random)
        self.learner = learner
        assert learner.references is not None
        pictures, captions = len(learner.references), len(learner.references.texts)
        if pictures != captions:
            raise ConfigError(
                f"gift-reference: the reference set has {pictures} pictures and {captions} captions; give every picture one line of "
                "texts.txt, in the order of their paths."
            )

    def begin_task(self, context: TaskContext) -> None:
        super().begin_task(context)
        if self.config.uses_pairs:
            self.teacher = Teacher.before_steps(context.learner, self.inner)
            held = [p for group in self.inner.parameter_groups() for p in group.parameters]
            self.start = [(p, p.detach().clone()) for p in held]

    def own_batches(self, context: TaskContext, current: Batch) -> list[Batch]:
        if not self.config.uses_pairs:
            return []
        pairs = context.references
        assert pairs is not None
        count = max(1, round(len(current) * self.config.reference_share))
        rows = torch.randperm(len(pairs), generator=context.random["references"])[
            :count
        ]  # a pair twice would contradict itself
        batch = pairs.batch(rows)
        return [replace(batch, inputs={**batch.inputs, CAPTIONS: pairs.texts[rows.to(pairs.texts.device)]})]

    def term(self, step: Step, own: Sequence[tuple[Batch, Output]]) -> Tensor | None:
        if self.teacher is None:
            return None
        config, (batch, output) = self.config, own[0]
        captions, pixels = batch.inputs[CAPTIONS], {"pixels": batch.inputs["pixels"]}
        student = self.learner.compare(output.features, self.learner.encode_texts(captions))
        with self.teacher.speaking():
            images = self.learner.forward(replace(batch, inputs=pixels)).features
            wanted = self.learner.compare(images, self.learner.encode_texts(captions))
        total = both_ways(student, wanted, config.temperature, config.weight, config.weight)
        if config.matching:
            own_caption = torch.arange(len(student), device=student.device)
            total = (
                total + config.matching * (F.cross_entropy(student, own_caption) + F.cross_entropy(student.T, own_caption)) / 2
            )
        return total + config.anchor * self.held(total) if config.anchor else total

    def held(self, of_pairs: Tensor) -> Tensor:
        """The anchor's term, a scalar; ``of_pairs`` is what its weights are the squared gradients of."""
        tensors = [p for p, _ in self.start]
        found = torch.autograd.grad(of_pairs, tensors, retain_graph=True, allow_unused=True)
        squares = [torch.zeros_like(p) if g is None else g.detach().square() for p, g in zip(tensors, found, strict=True)]
        mean = torch.stack([square.sum() for square in squares]).sum() / sum(square.numel() for square in squares)
        moves = [(square * (p - value).square()).sum() for square, (p, value) in zip(squares, self.start, strict=True)]
        return torch.stack(moves).sum() / mean.clamp(min=torch.finfo(mean.dtype).tiny)

    def end_task(self, context: TaskContext) -> None:
        self.teacher, self.start = None, []
        super().end_task(context)
