"""ZSCL: what the pretrained CLIP says of reference pictures among reference captions is kept, and weights are averaged over the task.

    L = L_inner + a D(Z, Z*) + b D(Z^T, Z*^T) + c ||W - W_start||^2,      D(Z, Z*) = T^2 CE(softmax(Z*/T), Z/T)

Z (n, captions) = s f(x) E*^T of reference pictures x, Z* = s f*(x) E*^T; f* and E* are of the pretrained network, whose embeddings of
the whole reference set are computed once and carried. No gradient of D reaches the text encoder, as in the release. W are the effective
weights: of low-rank parts the product counts, ||B A||^2 = sum (B^T B) * (A A^T). After the task W is the mean of regular snapshots
(``baselines/weight_ensemble.py``).

``zscl-no-reference`` does without a reference set, and is another method: x are the current task's images, the texts are the
prompts of the classes of all tasks begun. It keeps a copy of the pretrained weights in memory while it learns.

Source: arXiv 2303.06628; Thunderbeee/ZSCL (commit b96e714) mtil/src/models/finetune.py, helpers.py, mtil/scripts/ZSCL.sh: a = b = c = 1, T 2,
snapshots every 100 of 1000 steps, a reference batch as large as the current one, around full fine-tuning (``inner: finetune``), pictures of
ImageNet and the captions of Conceptual Captions' validation set.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any, Literal

import torch
from pydantic import Field
from torch import Tensor

from baselines.distillation import Teacher, asked, both_ways
from baselines.weight_ensemble import WeightEnsemble
from baselines.weight_shift import Anchor
from suite.backbones.learner import Batch, Learner, Output
from suite.parts import MethodConfig
from suite.randomness import RandomStreams
from trainables.method import Need, Step, TaskContext, tensor_bytes
from trainables.wrapper import WrapperConfig

TEACHER = "teacher"  # input of a reference batch: the pretrained network's embeddings of its pictures
AT_ONCE = 256  # pictures or captions in one pass of the teacher


class ZsclNoReferenceConfig(WrapperConfig):
    """Hyperparameters.

    Attributes:
        inner: the method that learns, by its name or with its fields; ``lora`` by itself.
        weight: a, of the distributions over texts (the release's image loss).
        transposed_weight: b, of the distributions over the images of a batch (the release's text loss).
        temperature: T.
        anchor: c.
        every: steps between the snapshots whose mean the network becomes; null = a tenth of the task's, 0 = none.
    """

    knows_later_tasks = False
    name: Literal["zscl-no-reference"] = "zscl-no-reference"
    weight: Annotated[float, Field(ge=0)] = 1.0
    transposed_weight: Annotated[float, Field(ge=0)] = 1.0
    temperature: Annotated[float, Field(gt=0)] = 2.0
    anchor: Annotated[float, Field(ge=0)] = 1.0
    every: Annotated[int, Field(ge=0)] | None = None

    def degenerate_settings(self) -> Sequence[tuple[MethodConfig, Mapping[str, Any]]]:
        """Without its terms it is weight ensembling, without that too the inner method."""
        inner = self.inner.model_dump()
        off = self.model_copy(update={"weight": 0.0, "transposed_weight": 0.0, "anchor": 0.0})
        averaged = {"name": "weight-ensemble", "inner": inner, "every": self.every}
        return [(off, averaged), (off.model_copy(update={"every": 0}), inner)]

    @property
    def distils(self) -> bool:
        return bool(self.weight or self.transposed_weight)

    def build(self) -> ZsclNoReference:
        return ZsclNoReference(self)


class ZsclConfig(ZsclNoReferenceConfig):
    """Hyperparameters as of ``zscl-no-reference``; ``reference_share``: pictures per step as a share of the current batch."""

    knows_later_tasks = False
    name: Literal["zscl"] = "zscl"  # type: ignore[assignment]
    reference_share: Annotated[float, Field(gt=0, le=4)] = 1.0

    def build(self) -> Zscl:
        return Zscl(self)


class ZsclNoReference(WeightEnsemble):
    """Attributes: texts: (texts, dim), what images are compared with, as the pretrained network embeds them."""

    kinds: frozenset[Need] = frozenset({"clip"})

    def __init__(self, config: ZsclNoReferenceConfig) -> None:
        super().__init__(config, config.every)
        self.config = config
        self.texts = torch.empty(0)
        self.anchor: Anchor | None = None

    def attach(self, learner: Learner, random: RandomStreams) -> None:
        self._untouched(learner)
        super().attach(learner, random)
        self.learner = learner

    def _untouched(self, learner: Learner) -> None:
        """Called on the pretrained network, before anything is put into it."""
        if self.config.distils:
            self.teacher = Teacher(learner, list(learner.network.parameters()))

    def begin_task(self, context: TaskContext) -> None:
        super().begin_task(context)
        if self.config.distils:
            self._prepare(context)
        self.anchor = Anchor(self.inner, self.learner.network) if self.config.anchor else None

    def _prepare(self, context: TaskContext) -> None:
        with self.teacher.speaking(alone=True):
            self.texts = self.learner.class_features(range(context.index + 1), judged=False)

    def term(self, step: Step, own: Sequence[tuple[Batch, Output]]) -> Tensor | None:
        config, terms = self.config, []
        if config.distils:
            features, pretrained = self._pictures(step, own)
            student, wanted = (self.learner.compare(found, self.texts) for found in (features, pretrained))
            terms.append(both_ways(student, wanted, config.temperature, config.weight, config.transposed_weight))
        if self.anchor is not None:
            terms.append(config.anchor * self.anchor.squared_move())
        return torch.stack(terms).sum() if terms else None

    def end_task(self, context: TaskContext) -> None:
        self.anchor = None
        super().end_task(context)

    def _pictures(self, step: Step, own: Sequence[tuple[Batch, Output]]) -> tuple[Tensor, Tensor]:
        """(n, dim) embeddings of the pictures to distil on: by the network that learns and by the pretrained one."""
        with self.teacher.speaking(alone=True):
            seen = self.learner.forward(step.batches[0].without_labels())
        return step.outputs[0].features, seen.features


class Zscl(ZsclNoReference):
    """Attributes: images: (pictures, dim) of the reference set, as the pretrained network embeds them; carried with ``texts``."""

    kinds: frozenset[Need] = frozenset({"clip", "references"})
    extra_data = "reference set"

    def __init__(self, config: ZsclConfig) -> None:
        super().__init__(config)
        self.share = config.reference_share
        self.images = torch.empty(0)

    def _untouched(self, learner: Learner) -> None:
        """Nothing: the reference set is embedded once, as the first task begins."""

    def begin_task(self, context: TaskContext) -> None:
        if self.config.distils and not len(self.images):
            self._embed(context)
        super().begin_task(context)

    def _embed(self, context: TaskContext) -> None:
        learner, found = context.learner, context.references
        assert found is not None
        with asked(learner):
            rows = torch.arange(len(found)).split(AT_ONCE)
            self.images = torch.cat([learner.forward(found.batch(some)).features.float() for some in rows])
            self.texts = torch.cat([learner.encode_texts(some).float() for some in found.texts.split(AT_ONCE)])

    def _prepare(self, context: TaskContext) -> None:
        """Nothing: what is compared with stays the same."""

    def own_batches(self, context: TaskContext, current: Batch) -> list[Batch]:
        if not self.config.distils:
            return []
        assert context.references is not None
        count = max(1, round(len(current) * self.share))
        rows = torch.randint(len(self.images), (count,), generator=context.random["references"])
        batch = context.references.batch(rows)
        known = self.images[rows.to(self.images.device)]
        return [replace(batch, inputs={**batch.inputs, TEACHER: known})]

    def _pictures(self, step: Step, own: Sequence[tuple[Batch, Output]]) -> tuple[Tensor, Tensor]:
        batch, output = own[0]
        return output.features, batch.inputs[TEACHER]

    def state(self) -> dict[str, Tensor]:
        found = {"images": self.images, "texts": self.texts} if len(self.images) else {}
        return {**super().state(), **found}

    def load_state(self, state: dict[str, Tensor]) -> None:
        super().load_state(state)
        if "images" in state:
            self.images, self.texts = (state[name].to(self.learner.device) for name in ("images", "texts"))

    def own_bytes(self) -> int:
        return tensor_bytes([self.images, self.texts] if len(self.images) else [])
