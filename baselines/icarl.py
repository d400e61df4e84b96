"""iCaRL on CLIP: exemplars of finished tasks, chosen by herding, on which the network is held to a teacher.

    L = CE(current batch) + weight (D(Z, Z*) + D(Z^T, Z*^T)) + exemplar_weight CE(exemplars)
    D(Z, Z*) = T^2 CE(softmax(Z* / T), softmax(Z / T)),    Z = s f(x) E*^T,   Z* = s f*(x) E*^T

x are exemplars, E* (classes of the current task, dim) the teacher's embeddings of their prompts, f and f* the image encoders, s the logit
scale; D is a cross entropy, so its least value is the teacher's entropy, where its gradient is 0. ``teacher=zero_shot`` is ZSCL's
release, which has no loss on the exemplars' labels and judges by prompts; ``teacher=previous, exemplar_weight=1,
classifier=nearest_mean, herding=class`` is nearer to the paper. ``baselines.herding`` has the herding.

Source: arXiv 1611.07725; Thunderbeee/ZSCL (commit b96e714) mtil/src/models/icarl.py, dynamic_dataset.py. Published there: all weights
trained, 1000 steps of 64 at 1e-5, memory 10000, T 2, label smoothing 0.2. Ours: LoRA, whose branches are kept beside the weights, so
that switched off they are the teacher; at most K = ``memory_size`` exemplars at any time, where the release (``shares=release``) keeps
K - K/t of the newest task and K/t of each earlier one, 2 K (t - 1) / t in all. Not rebuilt: the release herds no first task, and looks its rows up by the places that are left after those
taken before were cut out, so that it stores other images than it chose. With nearest means an image goes to a mean where its nearest
prompt is that of a learned class, else to the prompt: seen and unseen classes have no common measure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor

from baselines.distillation import both_ways
from baselines.herding import exemplars, features_of
from baselines.lora import BRANCH, PAST, Lora, LoraConfig
from baselines.memory import RowMemory
from suite.backbones.learner import Batch, Learner, Output
from suite.benchmarks.stream import ImageTask
from suite.errors import ConfigError
from suite.lowrank.placement import Placement
from suite.parts import MethodConfig
from suite.randomness import RandomStreams
from trainables.method import Method, MethodFacts, Need, ParameterGroup, Step, TaskContext, tensor_bytes

BELOW_ALL = -2.0  # less than any cosine


class IcarlConfig(MethodConfig):
    """Hyperparameters.

    Attributes:
        memory_size: K, exemplars of all finished tasks together.
        shares: ``equal`` = K/t of each of t tasks, ``release`` = K - K/t of the newest and K/t of each earlier one.
        herding: towards the mean of the whole ``task`` (release) or of each ``class`` in turn (paper).
        memory_share: exemplars per step as a share of the current batch.
        teacher: ``zero_shot`` = the pretrained network, ``previous`` = the one before this task.
        weight: of each of the two distillation terms.
        temperature: T.
        exemplar_weight: of the exemplars' own loss, among the classes that the protocol judges them among.
        classifier: ``prompts`` = class names, ``nearest_mean`` = means of exemplars for learned classes; needs ``herding=class``.
    """

    knows_later_tasks = False
    name: Literal["icarl"] = "icarl"
    rank: Annotated[int, Field(ge=1, le=512)] = 16
    placement: Placement = Placement(weights=("q", "k", "v", "o", "in", "out"))
    memory_size: Annotated[int, Field(ge=0)] = 2000
    shares: Literal["equal", "release"] = "equal"
    herding: Literal["task", "class"] = "task"
    memory_share: Annotated[float, Field(gt=0, le=4)] = 1.0
    teacher: Literal["zero_shot", "previous"] = "zero_shot"
    weight: Annotated[float, Field(ge=0)] = 1.0
    temperature: Annotated[float, Field(gt=0, le=100)] = 2.0
    exemplar_weight: Annotated[float, Field(ge=0)] = 0.0
    classifier: Literal["prompts", "nearest_mean"] = "prompts"

    @model_validator(mode="after")
    def _means_of_classes(self) -> IcarlConfig:
        if self.classifier == "nearest_mean" and (self.herding == "task" or not self.memory_size):
            raise ValueError(
                "classifier nearest_mean needs exemplars of every class; set herding to class and a memory_size above 0"
            )
        return self

    def degenerate_settings(self) -> Sequence[tuple[MethodConfig, Mapping[str, Any]]]:
        plain = {"name": "lora", "rank": self.rank, "placement": self.placement, "between": "stack"}
        no_terms = self.model_copy(update={"weight": 0.0, "exemplar_weight": 0.0})
        if self.classifier == "nearest_mean":  # which cannot do without exemplars, and answers otherwise than a LoRA
            return []
        return [(self.model_copy(update={"memory_size": 0}), plain), (no_terms, plain)]

    def build(self) -> Icarl:
        return NearestMeanIcarl(self) if self.classifier == "nearest_mean" else Icarl(self)


class Icarl(Method):
    """A stacking LoRA with exemplars.

    Attributes:
        memory: the exemplars, of each task the first chosen first.
    """

    needs: frozenset[Need] = frozenset({"clip"})
    capturable = True

    def __init__(self, config: IcarlConfig) -> None:
        super().__init__()
        self.config = config
        self.extra_data = "stored examples"
        self.carrier = Lora(LoraConfig(rank=config.rank, placement=config.placement, between="stack"))
        self.memory = RowMemory(config.memory_size, "balanced")
        self._wanted = torch.empty(0, 0)  # E*

    def attach(self, learner: Learner, random: RandomStreams) -> None:
        self.learner = learner
        self.carrier.attach(learner, random)
        self.slots = self.carrier.slots

    def check_budget(self, tasks: Sequence[str], steps: Sequence[int]) -> None:
        self.memory.require_room(len(tasks), self.config.name)

    @property
    def _not_teaching(self) -> tuple[str, ...]:
        return (BRANCH,) if self.config.teacher == "previous" else (BRANCH, PAST)

    @torch.no_grad()
    def begin_task(self, context: TaskContext) -> None:
        self.carrier.begin_task(context)
        with context.learner.without(*self._not_teaching):
            self._wanted = context.learner.class_features([context.index], judged=False)

    def extra_batches(self, context: TaskContext, current: Batch) -> list[Batch]:
        if not len(self.memory) or not (self.config.weight or self.config.exemplar_weight):
            return []
        return [self.memory.draw(context, max(1, round(len(current) * self.config.memory_share)), "protocol")]

    def loss(self, step: Step) -> Tensor:
        total = step.outputs[0].loss
        for batch, output in zip(step.batches[1:], step.outputs[1:], strict=True):
            if self.config.exemplar_weight:
                total = total + self.config.exemplar_weight * output.loss
            if self.config.weight:
                total = total + self._term(batch, output)
        return total

    def _term(self, batch: Batch, output: Output) -> Tensor:
        with torch.no_grad(), self.learner.without(*self._not_teaching):
            taught = self.learner.forward(batch.without_labels()).features
        student, teacher = (self.learner.compare(features, self._wanted) for features in (output.features, taught))
        return both_ways(student, teacher, self.config.temperature, self.config.weight, self.config.weight)

    def parameter_groups(self) -> list[ParameterGroup]:
        return self.carrier.parameter_groups()

    @torch.no_grad()
    def end_task(self, context: TaskContext) -> None:
        self.carrier.end_task(context)
        size, tasks = self.config.memory_size, context.index + 1
        share = size // tasks
        newest = size - share if self.config.shares == "release" and context.index else share
        kept = [self.memory.rows[self.memory.rows[:, 0] == task][:share] for task in range(context.index)]
        rows = exemplars(context, newest, by_class=self.config.herding == "class")
        self.memory.rows = torch.cat([*kept, torch.stack([torch.full_like(rows, context.index), rows], dim=1)])

    def state(self) -> dict[str, Tensor]:
        return {"exemplars": self.memory.rows}

    def load_state(self, state: dict[str, Tensor]) -> None:
        self.memory.rows = state["exemplars"]

    def facts(self) -> MethodFacts:
        inner = self.carrier.facts()
        carried = inner.carried_bytes + tensor_bytes(self.state().values())
        return MethodFacts(inner.trainable_parameters, inner.effective_rank, carried_bytes=carried)


class NearestMeanIcarl(Icarl):
    """Judges images by their exemplars.

    Attributes:
        means: (classes learned, dim) unit means of the exemplars' features; rows of zeros where a class has none.
    """

    def __init__(self, config: IcarlConfig) -> None:
        super().__init__(config)
        self.mergeable = False
        self.means = torch.empty(0, 0)

    def attach(self, learner: Learner, random: RandomStreams) -> None:
        super().attach(learner, random)
        tasks = [task for task in learner.stream.tasks if isinstance(task, ImageTask)]
        share = self.config.memory_size // len(tasks)
        for task in tasks:
            if share < len(task.class_names):
                raise ConfigError(
                    f"icarl: classifier nearest_mean needs exemplars of every class, and a memory_size of {self.config.memory_size} leaves "
                    f"{share} for the {len(task.class_names)} classes of task '{task.name}'; set method.memory_size to at least "
                    f"{len(tasks) * max(len(one.class_names) for one in tasks)}."
                )

    @torch.no_grad()
    def end_task(self, context: TaskContext) -> None:
        super().end_task(context)
        self.means = self._class_means(context)

    def _class_means(self, context: TaskContext) -> Tensor:
        sums = []
        for index in range(context.index + 1):
            task = context.learner.stream.tasks[index]
            assert isinstance(task, ImageTask)
            rows = self.memory.rows[self.memory.rows[:, 0] == index, 1]
            total = torch.zeros(len(task.class_names), self._wanted.shape[1])
            for features, labels in features_of(context, index, rows):
                total.index_add_(0, labels, features)
            sums.append(total)
        return F.normalize(torch.cat(sums), dim=1).to(context.learner.device)

    def answer(self, output: Output, classes: Tensor) -> Tensor:
        if not len(self.means):
            return output.logits
        known = classes < len(self.means)
        known[known.clone()] = self.means[classes[known]].any(dim=1)
        means = self.means.new_zeros(len(classes), self.means.shape[1])
        means[known] = self.means[classes[known]]
        cosines = (output.features.float() @ means.T).masked_fill(~known, BELOW_ALL)
        return torch.where(known[output.logits.argmax(dim=1)][:, None], cosines, output.logits)

    def state(self) -> dict[str, Tensor]:
        return {**super().state(), "means": self.means}

    def load_state(self, state: dict[str, Tensor]) -> None:
        super().load_state(state)
        self.means = state["means"].to(self.learner.device)
