"""TreeLoRA: one shared LoRA that is pulled, layer by layer, towards what it was on a similar earlier task.

    L = CE - pull (j / N) CE S / |S|,    S = sum over slots l of <A_l, G_{p_l, l}>,    CE and |S| taken as numbers

G_{i,l} (r in,) is the signature of task i at slot l: the mean of A_l (r, in) over the steps of the task's last epoch. Step j (from 0) of N
in the epoch, p_l the past task drawn for slot l. The value of the pull is always pull (j / N) CE, only its direction is learned from.

Draw: each past task has u_{i,l} = -d_{i,l} + sqrt(ln(2 N (j+1) (j+2)) / (2 n_{i,l} + 1e-5)), d the mean L1 distance of the current epoch's
signature to G_{i,l} at its n visits in the epoch. A binary tree over the past tasks is descended: the node at depth k belongs to slot k;
there p_k is drawn from softmax(u_k / range of u_k) among the node's tasks, and the child that holds p_k comes next; a leaf serves all
further slots. Tree: with D_1 = G_1, D_i = G_i - G_{i-1}, the tasks of a node whose <D_{i,k}, mean of the node's D_k> is at least the median
go to the left, the others to the right; a side that would be empty takes half of them.

``variant=release`` is ZinYY/TreeLoRA (commit c6a9b6d) model/Regular/Tree_LoRA.py and utils/kd_lora_tree.py as coded: signatures are the
number of slots times the mean, distances count for a task instead of against it, only the root's two children matter (their tasks' u is
multiplied by the child's median similarity, at most 1.5), p_l is drawn from softmax(u_l / range of all u) among all tasks, and S / |S|
is S / (S - 1e-5), which pushes a negative S further down. Source: arXiv 2506.10355. Published, TRACE: q and v, r 8, alpha 32, dropout 0.1,
pull 0.5, rate 1e-4, fewer epochs than its rivals (16 of 40). Reconstruction: how the tree is descended; the text names no rule.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import torch
from pydantic import Field
from torch import Tensor

from baselines.lora import BRANCH, Lora, LoraConfig
from suite.backbones.learner import Learner
from suite.lowrank.placement import Placement
from suite.parts import MethodConfig
from suite.randomness import RandomStreams
from trainables.method import Method, MethodFacts, Step, TaskContext, tensor_bytes

MOST_SIMILARITY = 1.5  # of the release: what a child's tasks are multiplied by at most


class TreeLoraConfig(MethodConfig):
    """Hyperparameters; ``alpha`` null means a scale of 1, otherwise the scale is alpha / rank.

    Attributes:
        pull: share of the task loss that the pull has at the end of an epoch.
        variant: ``mean`` as described, ``release`` as coded.
    """

    knows_later_tasks = False
    name: Literal["treelora"] = "treelora"
    rank: Annotated[int, Field(ge=1, le=512)] = 8
    alpha: Annotated[float, Field(gt=0)] | None = 32.0
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1
    placement: Placement = Placement(weights=("q", "v"))
    pull: Annotated[float, Field(ge=0)] = 0.5
    variant: Literal["mean", "release"] = "mean"

    def shared_lora(self) -> LoraConfig:
        """The carrier."""
        return LoraConfig(rank=self.rank, alpha=self.alpha, dropout=self.dropout, placement=self.placement, between="carry")

    def degenerate_settings(self) -> Sequence[tuple[MethodConfig, Mapping[str, Any]]]:
        return [(self.model_copy(update={"pull": 0.0}), self.shared_lora().model_dump())]

    def build(self) -> TreeLora:
        return TreeLora(self)


@dataclass(frozen=True)
class Node:
    """Some past tasks; ``median`` of their similarities, ``children`` () of a leaf."""

    tasks: tuple[int, ...]
    median: float = 1.0
    children: tuple[Node, ...] = ()


def grow(moves: Sequence[Tensor], tasks: tuple[int, ...], depth: int = 0) -> Node:
    """The tree over ``tasks``; ``moves[l]`` (tasks, r in) are the D of slot l."""
    if len(tasks) == 1 or depth == len(moves):
        return Node(tasks)
    own = moves[depth][list(tasks)].double()
    similar = own @ own.mean(dim=0)
    median = float(similar.quantile(0.5))
    left = [task for task, value in zip(tasks, similar.tolist(), strict=True) if value >= median]
    if len(left) == len(tasks):
        left = list(tasks[: len(tasks) // 2])
    right = [task for task in tasks if task not in left]
    return Node(tasks, median, (grow(moves, tuple(left), depth + 1), grow(moves, tuple(right), depth + 1)))


class TreeLora(Method):
    """Carries the shared branch with its optimizer state and one signature per task and slot; merges at no time."""

    def __init__(self, config: TreeLoraConfig) -> None:
        super().__init__()
        self.config = config
        self.carrier = Lora(config.shared_lora())
        self.carry_optimizer = True
        self.signatures: list[Tensor] = []  # per slot (tasks, r in)
        self._facts = MethodFacts(trainable_parameters=0)

    def attach(self, learner: Learner, random: RandomStreams) -> None:
        self.carrier.attach(learner, random)
        self.slots = self.carrier.slots
        self.signatures = [
            torch.empty(0, self.config.rank * slot.in_features, device=slot.weight.device) for slot in self.slots
        ]

    def begin_task(self, context: TaskContext) -> None:
        self.carrier.begin_task(context)
        self.random = context.random
        self.epoch = min(context.steps, math.ceil(len(context.task.train) / context.batch_size))
        past = len(self.signatures[0])
        if past:
            moves = [torch.cat([found[:1], found.diff(dim=0)]).cpu() for found in self.signatures]
            self.tree = grow(moves, tuple(range(past)))

    def before_step(self, index: int, lr: float) -> None:
        if index % self.epoch == 0:
            self._sums = [torch.zeros_like(values) for values in self._values()]
            self._count = 0
            self.visits = torch.zeros(len(self.signatures[0]), len(self.slots), dtype=torch.float64)
            self.distances = torch.zeros_like(self.visits)
        self._count += 1
        for total, values in zip(self._sums, self._values(), strict=True):
            total += values.detach()

    def _values(self) -> list[Tensor]:
        """(r in,) of A, slot by slot."""
        return [slot.branch(BRANCH).a.flatten() for slot in self.slots]

    def signature(self) -> list[Tensor]:
        """(r in,) of the epoch at hand, slot by slot."""
        share = 1 / self._count if self.config.variant == "mean" else len(self.slots) / self.epoch
        return [total * share for total in self._sums]

    def loss(self, step: Step) -> Tensor:
        task_loss = step.outputs[0].loss
        if not self.config.pull or not len(self.signatures[0]):
            return task_loss
        j = step.index % self.epoch
        chosen = self.draw(j)
        agreement = self.agreement(chosen)
        size = agreement.detach() - 1e-5 if self.config.variant == "release" else agreement.detach().abs() + 1e-5
        return task_loss - self.config.pull * j / self.epoch * task_loss.detach() * agreement / size

    def agreement(self, chosen: Sequence[int]) -> Tensor:
        """S, a scalar with gradients for A."""
        pairs = zip(self._values(), self.signatures, chosen, strict=True)
        return torch.stack([values @ found[task] for values, found, task in pairs]).sum()

    def draw(self, j: int) -> list[int]:
        """One past task per slot; the visit and the distance to it are noted."""
        u = self.scores(j)
        chosen = self._descended(u) if self.config.variant == "mean" else self._drawn_as_released(u)
        for place, (task, own) in enumerate(zip(chosen, self.signature(), strict=True)):
            self.visits[task, place] += 1
            self.distances[task, place] += float((own - self.signatures[place][task]).abs().sum())
        return chosen

    def scores(self, j: int) -> Tensor:
        """u (tasks, slots), fp64."""
        mean = self.distances / self.visits.clamp(min=1)
        bonus = math.sqrt(math.log(2 * self.epoch * (j + 1) * (j + 2))) / (2 * self.visits + 1e-5).sqrt()
        return bonus - mean if self.config.variant == "mean" else bonus + mean

    def _descended(self, u: Tensor) -> list[int]:
        node, chosen = self.tree, []
        for place in range(len(self.slots)):
            tasks = list(node.tasks)
            chosen.append(tasks[self._draw_one(softmax_of_range(u[tasks, place]))])
            node = next((child for child in node.children if chosen[-1] in child.tasks), node)
        return chosen

    def _drawn_as_released(self, u: Tensor) -> list[int]:
        u = u + u.min()
        first = self._draw_one(u.sum(dim=1).softmax(dim=0))
        child = next((child for child in self.tree.children if first in child.tasks), Node(self.tree.tasks))
        u[list(child.tasks)] *= min(child.median, MOST_SIMILARITY)
        shares = softmax_of_range(u)
        return [self._draw_one(shares[:, place]) for place in range(len(self.slots))]

    def _draw_one(self, shares: Tensor) -> int:
        return int(torch.multinomial(shares, 1, generator=self.random["tree"]))

    def end_task(self, context: TaskContext) -> None:
        pairs = zip(self.signatures, self.signature(), strict=True)
        self.signatures = [torch.cat([found, own[None]]) for found, own in pairs]
        self.carrier.end_task(context)
        inner = self.carrier.facts()
        carried = inner.carried_bytes + tensor_bytes(self.state().values())
        self._facts = MethodFacts(inner.trainable_parameters, inner.effective_rank, carried_bytes=carried)

    def state(self) -> dict[str, Tensor]:
        return {slot.name: found for slot, found in zip(self.slots, self.signatures, strict=True)}

    def load_state(self, state: dict[str, Tensor]) -> None:
        self.signatures = [state[slot.name].to(slot.weight.device) for slot in self.slots]

    def facts(self) -> MethodFacts:
        return self._facts


def softmax_of_range(u: Tensor) -> Tensor:
    """softmax over the first axis of ``u`` divided by its range."""
    spread = u.max() - u.min()
    return (u / spread if spread > 0 else u).softmax(dim=0)
