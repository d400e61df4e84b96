"""The sweep file: what is searched, for what, how long and with what."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from suite.registry import SPACES
from suite.tuning.objectives import Objective
from suite.tuning.ray_session import Resources
from suite.tuning.space import Space
from suite.tuning.stopping import StoppingConfig

Sampler = Literal["tpe", "nsga2", "gp", "qmc", "random", "grid"]


class Budget(BaseModel):
    """When to stop suggesting; whichever comes first.

    Attributes:
        trials: different configurations to try.
        wall_seconds: no new trial after this long; running ones end after their task.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    trials: Annotated[int, Field(ge=1)] = 20
    wall_seconds: Annotated[float, Field(gt=0)] | None = None


class StudyConfig(BaseModel):
    """A study.

    Attributes:
        run: fields of the run config that every trial starts from (benchmark, method, training, backbone, seed).
        space: name of a search space; its values go over ``run``.
        objectives: metrics (on validation) and costs, the first one the headline.
        points: configurations to try first, dotted key -> value.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    run: dict[str, Any]
    space: str
    objectives: Annotated[tuple[str, ...], Field(min_length=1)] = ("zscl.last",)
    sampler: Sampler = "tpe"
    sampler_seed: Annotated[int, Field(ge=0)] = 0
    budget: Budget = Budget()
    stopping: StoppingConfig = StoppingConfig()
    resources: Resources = Resources()
    concurrency: Annotated[int, Field(ge=1)] | None = None
    points: tuple[dict[str, Any], ...] = ()

    @field_validator("name")
    @classmethod
    def _plain_name(cls, name: str) -> str:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", name):
            raise ValueError(f"'{name}' cannot name a folder; use letters, digits, '.', '_' and '-'")
        return name

    @field_validator("space")
    @classmethod
    def _known_space(cls, space: str) -> str:
        SPACES[space]
        return space

    @field_validator("objectives")
    @classmethod
    def _known_objectives(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            Objective(name)
        return names

    def search_space(self) -> Space:
        """The declared space."""
        space: Space = SPACES[self.space]
        return space
