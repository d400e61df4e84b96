"""In which orders of its tasks a benchmark's runs are judged: in none that trials used."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import get_args

from suite.errors import ConfigError
from suite.parts import BenchmarkConfig

Order = str | int
NAMED_TASKS = ("tasks", "domains")  # fields that name the tasks themselves, in their order


def judging_orders(
    benchmark: BenchmarkConfig, wanted: Sequence[Order] | Mapping[str, Sequence[Order]] | None
) -> tuple[Order, ...]:
    """The orders that runs on ``benchmark`` are judged in, as its config names them.

    Raises:
        ConfigError: one that the benchmark does not have, or the one that its trials use.
    """
    own = type(benchmark).model_fields.get("order")
    named = next((field for field in NAMED_TASKS if getattr(benchmark, field, None) is not None), None)
    there: tuple[Order, ...] = () if own is None or named else get_args(own.annotation)
    searched = getattr(benchmark, "order", None)
    asked = wanted.get(benchmark.name) if isinstance(wanted, Mapping) else wanted
    if asked is None:
        return tuple(order for order in there if order != searched)
    by_text = {str(order): order for order in there}
    if missing := [str(order) for order in asked if str(order) not in by_text]:
        has = f"has the orders {', '.join(by_text)}" if there else "has no orders"
        reason = f" (its tasks stand in the order of {named})" if named else ""
        raise ConfigError(f"judge.orders: '{missing[0]}': benchmark '{benchmark.name}' {has}{reason}; leave it out.")
    if str(searched) in map(str, asked):
        raise ConfigError(
            f"judge.orders: '{searched}' is the order of the trials on '{benchmark.name}'; judge in others, or search in another one: "
            f"benchmarks: [{{name: {benchmark.name}, order: ...}}]."
        )
    if twice := [order for order, count in Counter(map(str, asked)).items() if count > 1]:
        raise ConfigError(f"judge.orders: '{twice[0]}' is named twice; name it once.")
    return tuple(by_text[str(order)] for order in asked)
