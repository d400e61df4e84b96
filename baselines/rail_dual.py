"""RAIL-Dual: kernel ridge regression on frozen image features, all of which are kept; see ``baselines.rail``.

    k(x, x') = exp(-gamma |x - x'|^2),    alpha = (K + ridge I)^-1 Y,    r = k(x, X) alpha

X (rows, dim) are the features of all tasks so far, Y (rows, classes) their one-hot classes; solved anew after each task.
Published: gamma 0.1, ridge 0.001. Source: see ``baselines.rail``.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from baselines.rail import Rail
from suite.backbones.learner import Learner
from suite.errors import ConfigError
from suite.parts import MethodConfig
from suite.randomness import RandomStreams

IMAGES_AT_ONCE = 1024  # whose kernel with all stored rows is held
GIB = 2**30


class RailDualConfig(MethodConfig):
    """Hyperparameters.

    Attributes:
        kernel: ``linear`` is the primal form without expansion.
        gamma: of the Gaussian kernel.
        memory_gib: what the kernel of all training rows of the stream and its factor may take; a stream that needs more is refused.
    """

    knows_later_tasks = False
    name: Literal["rail-dual"] = "rail-dual"
    kernel: Literal["gaussian", "linear"] = "gaussian"
    gamma: Annotated[float, Field(gt=0)] = 0.1
    ridge: Annotated[float, Field(gt=0)] = 0.001
    mix: Annotated[float, Field(ge=0, le=1)] = 0.8
    memory_gib: Annotated[float, Field(gt=0)] = 16.0

    def build(self) -> RailDual:
        return RailDual(self)


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
                f"rail-dual: the kernel of the stream's {count:,} training images and its factor take {needed:.3g} GiB, and "
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
