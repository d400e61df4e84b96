"""A search space made smaller or larger for one study: fields that keep their value, and the learning rate beside the rest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from suite.tuning.space import CASE, Choice, LogUniform, Parameter, Space

LEARNING_RATE = "training.lr"


def field_of(name: str) -> str:
    """The dotted config field that a parameter of a space is for; the cases of ``by`` share theirs."""
    return name.partition(CASE)[0]


def with_learning_rate(space: Space, limits: tuple[float, float]) -> Space:
    """``space`` with the learning rate between two limits, uniform in its logarithm, in the place of its own if it has one."""
    others = {name: parameter for name, parameter in space.parameters.items() if field_of(name) != LEARNING_RATE}
    return replace(space, parameters={**others, LEARNING_RATE: LogUniform(*limits)})


def has_learning_rate(space: Space) -> bool:
    """Whether the space searches the learning rate by itself."""
    return any(field_of(name) == LEARNING_RATE for name in space.parameters)


def without_fixed(space: Space, fixed: Mapping[str, Any]) -> Space:
    """``space`` without the fields in ``fixed`` (dotted field -> its value); what depended on them is there or not, as their values say."""
    kept: dict[str, Parameter] = {}
    for name, parameter in space.parameters.items():
        if field_of(name) in fixed:
            continue
        decided = {other: fixed[field_of(other)] for other in parameter.conditions if field_of(other) in fixed}
        if all(value in parameter.conditions[other] for other, value in decided.items()):
            open_ones = {other: values for other, values in parameter.conditions.items() if other not in decided}
            kept[name] = replace(parameter, conditions=open_ones)
    return replace(space, parameters=kept)


def with_values_of(space: Space, fields: Mapping[str, Any]) -> Space:
    """``space`` whose choices also have what the resolved fields of a run say, so that the run is a point of it."""
    kept = dict(space.parameters)
    for name, parameter in kept.items():
        value = at(fields, field_of(name))
        if isinstance(parameter, Choice) and not parameter.contains(value):
            kept[name] = replace(parameter, values=(*parameter.values, value))
    return replace(space, parameters=kept)


def values_at(space: Space, fields: Mapping[str, Any]) -> dict[str, Any] | None:
    """The point of ``space`` that the resolved fields of a run are, dotted key -> value; None where they lie outside."""
    point: dict[str, Any] = {}
    for name, parameter in space.parameters.items():
        if all(point.get(other) in allowed for other, allowed in parameter.conditions.items()):
            value = at(fields, field_of(name))
            if not parameter.contains(value):
                return None
            point[name] = value
    return point


def is_named(fields: Mapping[str, Any], dotted: str) -> bool:
    """Whether nested mappings have the dotted field, and be its value None."""
    above, _, key = dotted.rpartition(".")
    inner = at(fields, above) if above else fields
    return isinstance(inner, Mapping) and key in inner


def at(fields: Mapping[str, Any], dotted: str) -> Any:
    """The value of a dotted field in nested mappings; None where there is none."""
    found: Any = fields
    for part in dotted.split("."):
        found = found.get(part) if isinstance(found, Mapping) else None
    return found
