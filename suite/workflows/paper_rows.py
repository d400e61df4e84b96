"""From a published table and what the caller asks of it to the runs that stand for its rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from suite.errors import ConfigError, require_known
from suite.leaderboard.ledger import order_of, published_values
from suite.leaderboard.protocols import protocol_of
from suite.leaderboard.recipes import PrintedRow, RecipeTable, Value, recipe_settings, recipe_table
from suite.workflows.configs import Settings, in_its_words, require_compared, run_config, setting_pairs, settings_for

UNITS = {"training.epochs": "training.steps", "training.steps": "training.epochs"}
"""A budget in one unit takes the place of a recipe's in the other."""


@dataclass(frozen=True)
class Wanted:
    """Which rows of a table are run, and how; None = all.

    Attributes:
        methods: names of this suite.
        orders, backbones: as they are printed.
        limit: rows per split and task at most.
    """

    methods: Sequence[str] | None = None
    orders: Sequence[str] | None = None
    backbones: Sequence[str] | None = None
    seeds: Sequence[int] = (0,)
    settings: Settings = ()
    limit: int | None = None


def printed_rows(benchmark: str, wanted: Wanted) -> list[PrintedRow]:
    """The rows that are asked for with their resolved configs, each printed row once.

    Raises:
        ConfigError: no such table, a method, order or backbone that none of its rows has, or a setting that cannot be.
    """
    table = recipe_table(benchmark)
    values = published_values(benchmark).to_dict("records")
    every = {(value["method"], order_of(value), value["backbone"]): value for value in values}
    methods = {name: _method(benchmark, table, name) for name, _, _ in every}
    _require_printed(benchmark, wanted, set(methods.values()) - {""}, {key[1] for key in every}, {key[2] for key in every})
    chosen = [key for key in every if _is_wanted(wanted, methods[key[0]], key[1], key[2])]
    if not chosen:
        raise ConfigError(
            f"paper {benchmark}: no row is of these methods, orders and backbones together; ask for fewer things."
        )
    require_compared(setting_pairs(wanted.settings), sorted({methods[key[0]] for key in chosen} - {""}))
    return [_printed(benchmark, table, key, methods[key[0]], wanted) for key in chosen]


def _method(benchmark: str, table: RecipeTable, published: str) -> str:
    """The method here that is the published one; empty where a recipe says why there is none."""
    recipe, protocol = table.recipe(published), protocol_of(benchmark, published)
    return "" if recipe is None or recipe.absent or protocol is None else protocol.method


def _require_printed(benchmark: str, wanted: Wanted, methods: set[str], orders: set[str], backbones: set[str]) -> None:
    where = f"paper {benchmark}"
    require_known("method of this table", wanted.methods or (), methods, where=where)
    require_known("order of this table", wanted.orders or (), orders, where=where)
    require_known("backbone of this table", wanted.backbones or (), backbones, where=where)


def _is_wanted(wanted: Wanted, method: str, order: str, backbone: str) -> bool:
    asked = ((wanted.methods, method), (wanted.orders, order), (wanted.backbones, backbone))
    return all(names is None or name in names for names, name in asked)


def _printed(benchmark: str, table: RecipeTable, key: tuple[str, str, str], method: str, wanted: Wanted) -> PrintedRow:
    published, order, backbone = key
    recipe, model = table.recipe(published), table.backbones[backbone]
    assert recipe is not None  # every printed method has one, which a test holds
    absent = recipe.absent or model.absent
    row = PrintedRow(published, order, backbone, method, recipe, absent)
    if absent:
        return row
    own = settings_for(method, setting_pairs(wanted.settings))
    is_limited = wanted.limit is not None
    of_recipe = recipe_settings(table, recipe, benchmark, published, is_limited=is_limited)
    settings = {**of_recipe, **model.settings, "benchmark.order": order}
    pairs = [*setting_pairs(_without_clash(settings, own)), *own]
    try:
        configs = [run_config(benchmark, method=method, seed=seed, settings=pairs, limit=wanted.limit) for seed in wanted.seeds]
    except ConfigError as error:
        raise ConfigError(in_its_words(method, str(error))) from None
    return PrintedRow(published, order, backbone, method, recipe, configs=tuple(configs))


def _without_clash(settings: Mapping[str, Value], own: Sequence[str]) -> dict[str, Any]:
    """``settings`` without the budget in a unit that the caller's own replaces by the other."""
    replaced = {UNITS[key] for pair in own if (key := pair.partition("=")[0].strip()) in UNITS}
    return {key: value for key, value in settings.items() if key not in replaced}
