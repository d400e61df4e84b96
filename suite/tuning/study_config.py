"""The sweep file: what is searched, for what, how long and with what."""

from __future__ import annotations

import re
from collections import Counter
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, field_validator, model_validator

from suite.config import RunConfig, backbone_class, validate
from suite.errors import ConfigError, require_known
from suite.lowrank.placement import Placement
from suite.registry import METHODS, SPACES
from suite.settings import Settings
from suite.tuning.lists import OneOrSeveral, Several
from suite.tuning.objectives import Objective
from suite.tuning.space import Choice, Space, SpaceUnion, Value
from suite.tuning.space_changes import at, is_named, values_at, with_learning_rate, with_values_of, without_fixed
from suite.tuning.stopping import StoppingConfig
from trainables.resources import Resources

Sampler = Literal["tpe", "nsga2", "gp", "qmc", "random", "grid"]
SelectionRule = Literal["two-phase", "current-task", "first-task", "oracle"]
LONGEST = 64  # characters of a name


def _plain_name(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name) or len(name) > LONGEST:
        raise ValueError(f"'{name}' cannot name a folder; use up to {LONGEST} letters, digits, '.', '_' and '-'")
    return name


FolderName = Annotated[str, AfterValidator(_plain_name)]


def _rising(limits: tuple[float, float]) -> tuple[float, float]:
    if limits[0] >= limits[1]:
        raise ValueError(f"the first limit, {limits[0]:g}, must be below the second, {limits[1]:g}")
    return limits


LearningRates = Annotated[tuple[Annotated[float, Field(gt=0)], Annotated[float, Field(gt=0)]], AfterValidator(_rising)]


class Budget(Settings):
    """When to stop suggesting; whichever comes first. Running trials then end after the task at hand.

    Attributes:
        trials: different configurations to try.
        wall_seconds: of this command; a resumed sweep begins anew.
        run_seconds: of all runs of all trials together, every run by its own clock, so that it does not matter how many go on at once.
        gpu_hours: of all trials together, every trial counted with its share of a GPU; needs ``resources.gpus``.
        disk_gib: what the study's run folders may take.
    """

    trials: Annotated[int, Field(ge=1)] = 20
    wall_seconds: Annotated[float, Field(gt=0)] | None = None
    run_seconds: Annotated[float, Field(gt=0)] | None = None
    gpu_hours: Annotated[float, Field(gt=0)] | None = None
    disk_gib: Annotated[float, Field(gt=0)] | None = None


class Limit(Settings):
    """What a constrained metric or cost of a finished trial may be; one outside stays in the study but not on the front.

    Attributes:
        most, least: the bounds; at least one of them is named.
    """

    most: float | None = None
    least: float | None = None

    @model_validator(mode="after")
    def _says_something(self) -> Limit:
        if self.most is None and self.least is None:
            raise ValueError("a constraint says 'most', 'least' or both")
        if self.most is not None and self.least is not None and self.most < self.least:
            raise ValueError(f"no value is at most {self.most:g} and at least {self.least:g}; correct one of them")
        return self

    def violation(self, value: float) -> float:
        """How far ``value`` lies outside, in its own unit; zero or negative inside."""
        over = [value - self.most] if self.most is not None else []
        under = [self.least - value] if self.least is not None else []
        return max(over + under)


class WarmStart(Settings):
    """Settings of an earlier study's best trials that lie in this study's space, tried first (trained anew: their numbers are
    not taken over); what they leave open is drawn.

    Attributes:
        study: folder of that study (the one with ``optuna.db``).
        trials: how many, by the front and then by the first objective.
    """

    study: Path
    trials: Annotated[int, Field(ge=1)] = 5


class StudyConfig(Settings):
    """A study.

    Attributes:
        name: of the study and of its folder.
        run: fields of the run config that every trial starts from (benchmark, method, training, backbone, seed).
        space: name of a search space, or several: then the study searches over their methods too.
        methods: with several spaces, fixed fields per method.
        fixed: dotted fields that are not searched although the space has them; they keep the value that ``run`` names.
        learning_rate: limits between which ``training.lr`` is searched, whatever the space says of it; null: as the space has it.
        default_first: the first trial is the setting that ``run`` describes by itself; choices of the space that lack its values
            get them, and where a range does not hold them there is no such trial.
        seeds: every trial is learned with each of these, one after the other; objectives are means over them. None: the
            seed of ``run`` alone.
        objectives: metrics (on validation) and costs, the first one the headline.
        constraints: metric or cost -> limits on its mean over seeds.
        selection: how tables choose this study's trial, see ``suite.leaderboard.selection``.
        sampler: what suggests the settings of a trial.
        sampler_seed: of all that the sampler draws.
        budget: when to stop suggesting.
        stopping: which trials end before their last task.
        resources: what one run occupies.
        concurrency: trials at a time; null = as many as fit.
        warm_start: settings of an earlier study that are tried first.
        points: configurations to try first, dotted key -> value.
        carrier: ``direct`` = in Ray Tune's own reused process, ``train`` = Ray Train, ``auto`` = train for several workers.
        keep: ``front`` drops the checkpoints of trials that end off the front; records always stay.
        sharing: trials that begin alike go on from each other's states, for which every run keeps one state per task.
        storage: pyarrow URI (s3://, gs://, file://) that run folders are mirrored to, for nodes without a shared folder.
    """

    name: FolderName
    run: dict[str, Any]
    space: OneOrSeveral
    methods: dict[str, dict[str, Any]] = Field(default_factory=dict)
    fixed: tuple[str, ...] | None = None
    learning_rate: LearningRates | None = None
    default_first: bool | None = None
    seeds: Several[Annotated[int, Field(ge=0)]] | None = None
    objectives: Several[str] = ("zscl.last",)
    constraints: dict[str, Limit] = Field(default_factory=dict)
    selection: SelectionRule = "two-phase"
    sampler: Sampler = "tpe"
    sampler_seed: Annotated[int, Field(ge=0)] = 0
    budget: Budget = Budget()
    stopping: StoppingConfig = StoppingConfig()
    resources: Resources = Resources()
    concurrency: Annotated[int, Field(ge=1)] | None = None
    points: tuple[dict[str, Any], ...] = ()
    warm_start: WarmStart | None = None
    carrier: Literal["auto", "direct", "train"] = "auto"
    keep: Literal["everything", "front"] = "everything"
    sharing: bool = True
    storage: str | None = None

    @field_validator("space")
    @classmethod
    def _known_space(cls, space: str | tuple[str, ...]) -> str | tuple[str, ...]:
        for name in _names(space):
            SPACES[name]
        return space

    @field_validator("objectives", "constraints")
    @classmethod
    def _known_objectives(cls, names: Any) -> Any:
        for name in names:
            Objective(name)
        return names

    @field_validator("space", "seeds", "objectives")
    @classmethod
    def _no_repetition(cls, values: Any) -> Any:
        twice = [value for value, count in Counter(values).items() if count > 1] if isinstance(values, tuple) else []
        if twice:
            raise ValueError(f"'{twice[0]}' is named twice; name it once")
        return values

    @model_validator(mode="after")
    def _fits_together(self) -> StudyConfig:
        if not isinstance(self.space, str) and "method" in self.run:
            raise ValueError("run.method and several spaces exclude each other; put fixed fields under methods.<name>")
        if isinstance(self.space, str) and self.methods:
            raise ValueError("methods is for several spaces; with one put fixed fields under run.method")
        searched = sorted({SPACES[name].method for name in _names(self.space)})
        require_known("searched method", self.methods, searched, where="methods")
        given = self.run.get("method")
        given = given.get("name") if isinstance(given, dict) else given
        if given is not None and given not in searched:
            raise ValueError(
                f"run.method.name: '{given}' is not the method of space '{self.space}'; it searches '{searched[0]}'"
            )
        without = [name for name in searched if not METHODS[name].has_ranks()]
        if without and "effective_rank" in (*self.objectives, *self.constraints):
            raise ValueError(f"effective_rank: method '{without[0]}' has no ranks; leave it out of objectives and constraints")
        if self.seeds is not None and "seed" in self.run:
            raise ValueError("run.seed and seeds exclude each other; leave run.seed out")
        if self.sampler == "grid" and (self.points or self.warm_start):
            raise ValueError("sampler 'grid' tries every point of the space; leave out points and warm_start")
        if self.budget.gpu_hours is not None and not self.resources.gpus:
            raise ValueError("budget.gpu_hours needs resources.gpus above 0; use budget.wall_seconds on CPUs")
        if not isinstance(self.space, str) and (self.fixed or self.learning_rate or self.default_first):
            raise ValueError("fixed, learning_rate and default_first are for one space; leave them out with several")
        if self.sampler == "grid" and (self.default_first or self.learning_rate):
            raise ValueError("sampler 'grid' tries every point of the space; leave out default_first and learning_rate")
        if without := [field for field in self.fixed or () if not is_named(self._run_fields, field)]:
            raise ValueError(f"fixed: '{without[0]}' has no value in run; name it there, or leave it out")
        if self.carrier == "direct" and self.resources.workers > 1:
            raise ValueError("carrier 'direct' has one worker; use 'train' or 'auto' for resources.workers above 1")
        return self

    @model_validator(mode="after")
    def _points_lie_in_the_space(self) -> StudyConfig:
        known = self.search_space().parameters
        for place, point in enumerate(self.points):
            require_known("searched field", point, known, where=f"points.{place}")
            for key, value in point.items():
                if not known[key].contains(value):
                    raise ValueError(f"points.{place}.{key}: '{value}' lies outside the space; allowed are {known[key].text()}")
        return self

    def search_space(self) -> Space | SpaceUnion:
        """The declared space, without placements that the run's backbone does not have, and with what this study changes."""
        spaces = {name: SPACES[name].restricted(self._has) for name in _names(self.space)}
        if not isinstance(self.space, str):
            return SpaceUnion(spaces)
        space = spaces[self.space]
        if self.fixed:
            space = without_fixed(space, {field: at(self._run_fields, field) for field in self.fixed})
        if self.learning_rate:
            space = with_learning_rate(space, self.learning_rate)
        return with_values_of(space, self.default_fields) if self.default_first else space

    def first_points(self) -> tuple[dict[str, Any], ...]:
        """What is tried first: the default setting, where it is asked for and lies in the space, and then ``points``."""
        space = self.search_space()
        default = values_at(space, self.default_fields) if self.default_first and isinstance(space, Space) else None
        return (*([default] if default is not None else []), *self.points)

    @cached_property
    def default_fields(self) -> dict[str, Any]:
        """The resolved fields of the run that ``run`` describes by itself; with one space alone.

        Raises:
            ConfigError: they do not make a run.
        """
        return validate(RunConfig, self._run_fields, where="run").resolved()

    @cached_property
    def _run_fields(self) -> dict[str, Any]:
        method = self.run.get("method")
        fields = dict(method) if isinstance(method, dict) else {}
        return {**self.run, "method": {**fields, "name": SPACES[_names(self.space)[0]].method}}

    def left_out(self) -> dict[str, tuple[Value, ...]]:
        """Searched field -> choices of the declared spaces that the run's backbone does not have."""
        found = {
            key: tuple(value for value in parameter.values if not self._has(key, value))
            for name in _names(self.space)
            for key, parameter in SPACES[name].parameters.items()
            if isinstance(parameter, Choice)
        }
        return {key: values for key, values in found.items() if values}

    def _has(self, field: str, value: Value) -> bool:
        if field.rpartition(".")[2] != "placement" or not isinstance(value, str):
            return True
        return Placement.model_validate(value).is_of(self._backbone_kind)

    @cached_property
    def _backbone_kind(self) -> str | None:
        """Of the backbone that every trial has; None where ``run`` names none, which is refused with its other faults."""
        try:
            return backbone_class(self.run).kind
        except (ConfigError, KeyError):
            return None


def _names(space: str | tuple[str, ...]) -> tuple[str, ...]:
    return (space,) if isinstance(space, str) else space
