"""RAIL: ridge regression on the frozen network's image features, solved exactly; no gradient step is ever taken.

    primal   phi(x) = ReLU(x G),   W = (sum phi^T phi + ridge I)^-1 sum phi^T y
    dual     k(x, x') = exp(-gamma |x - x'|^2),   alpha = (K + ridge I)^-1 Y
    answer   p = softmax of the zero-shot logits; where its largest entry is a learned class (1 - mix) p + mix r, elsewhere p

x (dim,) unit image features, G (dim, width) drawn once, y one-hot over all classes learned so far, r the ridge's output, 0 for classes
that are not learned. The primal form takes the rows in once, batch after batch, and equals the solution over all of them at once:
R <- R - R X^T (I + X R X^T)^-1 X R,  W <- W + R X^T (Y - X W),  R = I / ridge at first. So neither the order of the tasks nor that of
the rows matters. The dual form keeps the features of all rows and solves anew after each task.

Source: arXiv 2406.18868; linghan1997/Regression-based-Analytic-Incremental-Learning (commit eaac644) primal_RAIL.py, dual_RAIL.py, utils.py.
Published: width 15000 on 512 features, ridge 0.1 (dual 0.001), gamma 0.1, mix 0.8. Ours: features of the images as they are, not of one
random crop; sums in fp64, where the release's fp32 recursion loses digits; the choice between ridge and zero-shot is made among the
classes of the evaluation, so that MTIL, which names the task, has it too. Of classes that share a prompt the first one's r counts.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from suite.backbones.learner import Learner, Output
from suite.benchmarks.stream import ImageTask
from suite.errors import ConfigError
from suite.parts import MethodConfig
from suite.randomness import RandomStreams
from trainables.method import Method, MethodFacts, Need, TaskContext, tensor_bytes

RELEASED_WIDTH = 15000 / 512  # random features per image feature
IMAGES_AT_ONCE = 1024  # whose kernel with all stored rows is held
GIB = 2**30


class RailPrimalConfig(MethodConfig):
    """Hyperparameters.

    Attributes:
        width: random features; null = as many per image feature as in the release, 15000 for 512.
        expansion: ``none`` regresses on the image features themselves.
        ridge: strength of the penalty on W.
        mix: share of the ridge's output where zero-shot points to a learned class.
        precision: of the recursion, whose state takes width^2 numbers; the release has fp32.
    """

    name: Literal["rail-primal"] = "rail-primal"
    width: Annotated[int, Field(ge=1, le=65536)] | None = None
    expansion: Literal["relu", "none"] = "relu"
    ridge: Annotated[float, Field(gt=0)] = 0.1
    mix: Annotated[float, Field(ge=0, le=1)] = 0.8
    precision: Literal["fp64", "fp32"] = "fp64"

    def build(self) -> RailPrimal:
        return RailPrimal(self)


class RailDualConfig(MethodConfig):
    """Hyperparameters.

    Attributes:
        kernel: ``linear`` is the primal form without expansion.
        gamma: of the Gaussian kernel.
        memory_gib: what the kernel of all training rows of the stream and its factor may take; a stream that needs more is refused.
    """

    name: Literal["rail-dual"] = "rail-dual"
    kernel: Literal["gaussian", "linear"] = "gaussian"
    gamma: Annotated[float, Field(gt=0)] = 0.1
    ridge: Annotated[float, Field(gt=0)] = 0.001
    mix: Annotated[float, Field(ge=0, le=1)] = 0.8
    memory_gib: Annotated[float, Field(gt=0)] = 16.0

    def build(self) -> RailDual:
        return RailDual(self)


class Rail(Method):
    """What both forms share: features of the frozen network in, ridge or zero-shot out.

    Attributes:
        seen: classes learned so far; they are the first ones of the stream.
    """

    needs: frozenset[Need] = frozenset({"clip"})

    def __init__(self, mix: float) -> None:
        super().__init__()
        self.mergeable = False
        self.mix = mix
        self.seen = 0

    def steps(self, context: TaskContext) -> int:
        return 0

    @torch.no_grad()
    def end_task(self, context: TaskContext) -> None:
        task, first = context.task, self.seen
        assert isinstance(task, ImageTask)
        self.seen += len(task.class_names)
        self.learn((features, first + labels) for features, labels in rows_of(context))

    @abstractmethod
    def learn(self, rows: Iterator[tuple[Tensor, Tensor]]) -> None:
        """Take in batches of features (n, dim) fp32 and classes (n,) of the stream."""

    @abstractmethod
    def regress(self, features: Tensor) -> Tensor:
        """(n, classes seen) of features (n, dim) fp32."""

    def answer(self, output: Output, classes: Tensor) -> Tensor:
        if not self.seen:
            return output.logits
        with torch.autocast(classes.device.type, enabled=False):
            found = self.regress(output.features.float())
        known = classes < self.seen
        ridge = found.new_zeros(len(found), len(classes))
        ridge[:, known] = found[:, classes[known]]
        return fused(output.logits, ridge, known, self.mix)

    def facts(self) -> MethodFacts:
        return MethodFacts(trainable_parameters=0, carried_bytes=tensor_bytes(self.state().values()))


class RailPrimal(Rail):
    """Ridge regression on expanded features, one pass over the rows.

    Attributes:
        expand: G (dim, width), the same in every process of a seed; None without expansion.
        inverse: R (width, width).
        weights: W (width, classes seen).
    """

    def __init__(self, config: RailPrimalConfig) -> None:
        super().__init__(config.mix)
        self.config = config
        self.kind = torch.float64 if config.precision == "fp64" else torch.float32
        self.expand: Tensor | None = None
        self.inverse = self.weights = torch.empty(0, 0)

    @torch.no_grad()
    def attach(self, learner: Learner, random: RandomStreams) -> None:
        dim = learner.forward(next(learner.batches(0, "train", 1))).features.shape[1]
        width = dim
        if self.config.expansion == "relu":
            width = self.config.width or round(RELEASED_WIDTH * dim)
            bound = dim**-0.5
            drawn = torch.empty(dim, width).uniform_(-bound, bound, generator=random["features"])
            self.expand = drawn.to(learner.device, self.kind)
        self.inverse = torch.eye(width, dtype=self.kind, device=learner.device) / self.config.ridge
        self.weights = self.inverse.new_zeros(width, 0)

    def expanded(self, features: Tensor) -> Tensor:
        """(n, width) of (n, dim)."""
        features = features.to(self.kind)
        return features if self.expand is None else (features @ self.expand).relu()

    def learn(self, rows: Iterator[tuple[Tensor, Tensor]]) -> None:
        fresh = self.weights.new_zeros(len(self.weights), self.seen - self.weights.shape[1])
        self.weights = torch.cat([self.weights, fresh], dim=1)
        for features, classes in rows:
            x = self.expanded(features)
            y = torch.nn.functional.one_hot(classes, self.seen).to(self.kind)
            rx = self.inverse @ x.T
            core = torch.linalg.cholesky(torch.eye(len(x), dtype=self.kind, device=x.device) + x @ rx)
            gain = torch.cholesky_solve(rx.T, core)  # (n, width), R X^T transposed after the update
            self.inverse.addmm_(rx, gain, alpha=-1)
            self.weights += gain.T @ (y - x @ self.weights)

    def regress(self, features: Tensor) -> Tensor:
        return self.expanded(features) @ self.weights

    def state(self) -> dict[str, Tensor]:
        return {"inverse": self.inverse, "weights": self.weights}

    def load_state(self, state: dict[str, Tensor]) -> None:
        self.inverse, self.weights = (state[key].to(self.inverse.device) for key in ("inverse", "weights"))
        self.seen = self.weights.shape[1]


class RailDual(Rail):
    """Kernel ridge regression; features (rows, dim) and classes (rows,) of all tasks are kept.

    Attributes:
        alpha: (rows, classes seen), a function of the two.
    """

    def __init__(self, config: RailDualConfig) -> None:
        super().__init__(config.mix)
        self.config = config
        self.extra_data = "stored features"
        self.features = self.alpha = torch.empty(0, 0)
        self.classes = torch.empty(0, dtype=torch.int64)

    def attach(self, learner: Learner, random: RandomStreams) -> None:
        count = sum(len(task.train) for task in learner.stream.tasks)
        needed = 2 * count**2 * torch.float64.itemsize / GIB
        if needed > self.config.memory_gib:
            raise ConfigError(
                f"rail-dual: the kernel of the stream's {count:,} training images and its factor take {needed:.2g} GiB, and "
                f"method.memory_gib allows {self.config.memory_gib:g}; raise it, or use rail-primal, whose memory does not grow with the images."
            )
        self.classes = self.classes.to(learner.device)

    def learn(self, rows: Iterator[tuple[Tensor, Tensor]]) -> None:
        features, classes = zip(*rows, strict=True)
        earlier = [self.features] if len(self.features) else []
        self.features = torch.cat([*earlier, *features])
        self.classes = torch.cat([self.classes, *classes])
        self._solve()

    def _solve(self) -> None:
        gram = self._kernel(self.features, self.features)
        gram.diagonal().add_(self.config.ridge)
        y = torch.nn.functional.one_hot(self.classes, self.seen).to(gram.dtype)
        self.alpha = torch.cholesky_solve(y, torch.linalg.cholesky(gram))

    def _kernel(self, some: Tensor, others: Tensor) -> Tensor:
        """(n, m) fp64 of features (n, dim) and (m, dim)."""
        a, b = some.double(), others.double()
        inner = a @ b.T
        if self.config.kernel == "linear":
            return inner
        distances = a.square().sum(dim=1)[:, None] + b.square().sum(dim=1) - 2 * inner
        return torch.exp(-self.config.gamma * distances.clamp(min=0))

    def regress(self, features: Tensor) -> Tensor:
        return torch.cat([self._kernel(some, self.features) @ self.alpha for some in features.split(IMAGES_AT_ONCE)])

    def state(self) -> dict[str, Tensor]:
        return {"features": self.features, "classes": self.classes, "seen": torch.tensor([self.seen])}

    def load_state(self, state: dict[str, Tensor]) -> None:
        self.features, self.classes = (state[key].to(self.classes.device) for key in ("features", "classes"))
        self.seen = int(state["seen"])
        self._solve()


def rows_of(context: TaskContext) -> Iterator[tuple[Tensor, Tensor]]:
    """Features (n, dim) fp32 and labels (n,) of the task's training rows, batch by batch, as the network stands."""
    for batch in context.batches():
        yield context.learner.forward(batch.without_labels()).features.float(), batch.inputs["labels"]


def fused(logits: Tensor, ridge: Tensor, known: Tensor, mix: float) -> Tensor:
    """Scores (n, k) fp64 from zero-shot logits (n, k), the ridge's output (n, k) and which classes are learned, (k,) bool."""
    shares = torch.softmax(logits.double(), dim=1)
    trusted = known[shares.argmax(dim=1)]
    return torch.where(trusted[:, None], (1 - mix) * shares + mix * ridge, shares)
