"""Recipes of published tables: which run of this suite stands for a printed row, with what settings, and what of them is assumed.

A table is ``published/recipes/<benchmark>.yaml``:

    title      what was printed, in a few words
    settings   dotted field of a run's config -> value, of every run of the table
    backbones  printed backbone -> its ``settings``, or ``absent`` = why it cannot be run here
    rows       one for each method:
        published  its name as printed; several where they mean one method with the same settings
        settings   beside those that ``published/protocols.yaml`` has for the name, and before the table's
        assumed    what the source does not say, and what is taken in its place
        source     where the settings come from
        limited    other settings where a run is cut to a few rows and steps by ``--limit``
        absent     why there is no such method here, instead of all other fields

A value of a row goes before one of its protocol, and both before one of the table.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Annotated, Any

from pydantic import Field, model_validator

from suite.config import RunConfig, validate
from suite.errors import unknown_name
from suite.leaderboard.ledger import order_of
from suite.leaderboard.protocols import Scalar, protocol_of
from suite.settings import Settings
from suite.yaml_files import parse_yaml

Value = Scalar | tuple[Scalar, ...] | dict[str, Scalar]
LIMITED: Mapping[str, Value] = {"training.steps": 4, "training.epochs": None}
"""Budget of a task under ``--limit``: enough to see a loss, a threshold and an evaluation, whatever the recipe takes."""


class Recipe(Settings):
    """A row of a recipe file; the module says what the fields mean."""

    published: Annotated[tuple[str, ...], Field(min_length=1)]
    settings: Mapping[str, Value] = Field(default_factory=dict)
    assumed: str = ""
    source: str = ""
    limited: Mapping[str, Value] = Field(default_factory=dict)
    absent: str = ""

    @model_validator(mode="after")
    def _here_or_absent(self) -> Recipe:
        if bool(self.absent) == bool(self.assumed and self.source):
            raise ValueError("needs either what is assumed with its source, or why the method is absent")
        return self


class PrintedBackbone(Settings):
    """A backbone of a recipe file."""

    settings: Mapping[str, Value] = Field(default_factory=dict)
    absent: str = ""


class RecipeTable(Settings):
    """A recipe file."""

    title: str
    settings: Mapping[str, Value]
    backbones: Mapping[str, PrintedBackbone]
    rows: tuple[Recipe, ...]

    def recipe(self, published: str) -> Recipe | None:
        """The recipe of a method as it is printed; None where the file has none."""
        return next((row for row in self.rows if published in row.published), None)


@dataclass(frozen=True)
class PrintedRow:
    """A printed row, and the runs that stand for it: one for each seed, none where ``absent`` says why.

    Attributes:
        order: of the stream, as this suite names it.
        method: of this suite; empty where there is none.
    """

    published: str
    order: str
    backbone: str
    method: str
    recipe: Recipe
    absent: str = ""
    configs: tuple[RunConfig, ...] = ()

    def is_printed_as(self, value: Mapping[Any, Any]) -> bool:
        """Whether a row of ``ledger.published_values`` is a value of this one."""
        key = (self.published, self.order, self.backbone)
        return key == (value["method"], order_of(value), value["backbone"])


def paper_names() -> list[str]:
    """Benchmarks whose published tables have recipes."""
    return sorted(entry.name.removesuffix(".yaml") for entry in _folder().iterdir() if entry.name.endswith(".yaml"))


@cache
def recipe_table(benchmark: str) -> RecipeTable:
    """The recipes of a benchmark's published tables.

    Raises:
        ConfigError: there are none for it.
    """
    if benchmark not in paper_names():
        raise unknown_name("published table", benchmark, paper_names())
    fields = parse_yaml((_folder() / f"{benchmark}.yaml").read_text("utf-8"))
    return validate(RecipeTable, fields, where=f"recipes/{benchmark}.yaml")


def recipe_settings(
    table: RecipeTable, recipe: Recipe, benchmark: str, published: str, *, is_limited: bool
) -> dict[str, Value]:
    """What a run for the printed method ``published`` sets beside backbone and order.

    Args:
        is_limited: the run is cut to a few rows, and so to a few steps.
    """
    protocol = protocol_of(benchmark, published)
    fixed = {} if protocol is None else {key: _first(value) for key, value in protocol.settings.items() if key != "carrier"}
    found: dict[str, Value] = {**table.settings, **fixed, **recipe.settings}
    if is_limited:
        own_steps = [key for key in found if key.startswith("training.per_task.") and key.endswith(".steps")]
        found = {key: value for key, value in found.items() if key not in own_steps} | {**LIMITED, **recipe.limited}
    return found


def _first(value: Any) -> Any:
    """The published value itself where several mean the same."""
    return value[0] if isinstance(value, tuple) else value


def _folder() -> Any:
    return files("suite.leaderboard").joinpath("published", "recipes")
