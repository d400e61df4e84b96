"""RAIL-Primal: ridge regression on random features of frozen image features, the exact solution by recursion; see ``baselines.rail``.

    phi(x) = ReLU(x G),    W = (sum phi^T phi + ridge I)^-1 sum phi^T y,    r = phi(x) W
    R <- R - R X^T (I + X R X^T)^-1 X R,    W <- W + R X^T (Y - X W)    for each batch X (n, width), Y (n, classes);    R = I / ridge at first

G (dim, width) is drawn once. The recursion equals the solution over all rows at once; the release's fp32 loses digits in it.
Published: width 15000 on 512 features, ridge 0.1. Source: see ``baselines.rail``.
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

GIB = 2**30
RELEASED_WIDTH = 15000 / 512  # random features per image feature


class RailPrimalConfig(MethodConfig):
    """Hyperparameters.

    Attributes:
        width: random features; null = as many per image feature as in the release, 15000 for 512.
        expansion: ``none`` regresses on the image features themselves.
        ridge: strength of the penalty on W.
        mix: share of the ridge's output where zero-shot points to a learned class.
        precision: of the recursion, whose state takes width^2 numbers; the release has fp32.
        memory_gib: what this state may take; a width that needs more is refused.
    """

    knows_later_tasks = False
    name: Literal["rail-primal"] = "rail-primal"
    width: Annotated[int, Field(ge=1, le=65536)] | None = None
    expansion: Literal["relu", "none"] = "relu"
    ridge: Annotated[float, Field(gt=0)] = 0.1
    mix: Annotated[float, Field(ge=0, le=1)] = 0.8
    precision: Literal["fp64", "fp32"] = "fp64"
    memory_gib: Annotated[float, Field(gt=0)] = 16.0

    def build(self) -> RailPrimal:
        return RailPrimal(self)


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
        self._require_memory(width)
        if self.config.expansion == "relu":
            bound = dim**-0.5
            drawn = torch.empty(dim, width).uniform_(-bound, bound, generator=random["features"])
            self.expand = drawn.to(learner.device, self.kind)
        self.inverse = torch.eye(width, dtype=self.kind, device=learner.device).div_(self.config.ridge)
        self.weights = self.inverse.new_zeros(width, 0)

    def _require_memory(self, width: int) -> None:
        needed = width**2 * self.kind.itemsize / GIB
        if needed > self.config.memory_gib:
            raise ConfigError(
                f"rail-primal: the recursion's state of {width:,} x {width:,} numbers in {self.config.precision} takes {needed:.3g} GiB, "
                f"and method.memory_gib allows {self.config.memory_gib:g}; set a smaller method.width, or allow more."
            )

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
