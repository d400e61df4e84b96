"""What ``list`` tells: everything that a registry holds, or the fields of one entry with their defaults and ranges."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from inspect import cleandoc, isclass
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union, get_args, get_origin

from suite.errors import ConfigError
from suite.parts import PartConfig
from suite.workflows.meanings import meanings

if TYPE_CHECKING:
    from pydantic import BaseModel
    from pydantic.fields import FieldInfo

    from suite.registration import Registry


@dataclass(frozen=True)
class Listing:
    """A table of words.

    Attributes:
        heads: above the columns; empty = there is no table.
        before, after: sentences around it.
    """

    heads: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()
    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()


def listing(registry: Registry[Any], name: str | None = None) -> Listing:
    """The entries of ``registry`` and why some cannot be used, or one entry with its fields.

    Raises:
        ConfigError: no entry has this name, or its package cannot be used.
    """
    return _entries(registry) if name is None else _entry(registry, name)


def space_listing(name: str) -> Listing:
    """The tree of a search space and the number of its points; ConfigError for an unknown name."""
    from suite.registry import SPACES

    space = SPACES[name]
    return Listing(before=(space.tree(), f"points: {space.size():g}"))


def placement_listing(model: str | None = None) -> Listing:
    """Placements by name, or the layers that they mean in the backbone or language model ``model``.

    Raises:
        SuiteError: no such model.
    """
    if model is not None:
        from suite.backbones.placements import placement_rows

        return Listing(("weight", "module", "shape (out x in)"), tuple(placement_rows(model)))
    from suite.lowrank.placement import KNOWN

    return Listing(
        before=(*KNOWN, "Any subset of q k v o in out; 'vision:' or 'text:' before it, '@0-5' behind it for layers 0 to 5.")
    )


def metric_listing(name: str | None = None) -> Listing:
    """Metrics with convention and source, or one of them; ConfigError for an unknown name."""
    from suite.metrics.conventions import METRICS

    names, reasons = ([name], []) if name is not None else METRICS.usable()
    shown = [(key, METRICS[key]) for key in names]
    rows = [(key, "higher" if metric.higher_is_better else "lower", metric.description, metric.source) for key, metric in shown]
    return Listing(("metric", "better", "meaning", "source"), tuple(rows), after=tuple(reasons))


def exporter_listing() -> Listing:
    """Formats of ``export``."""
    from suite.workflows.exporting import FORMATS

    return Listing(("format", "what it is"), tuple(FORMATS.items()))


def _entries(registry: Registry[Any]) -> Listing:
    rows = [
        (key, entry.summary if entry.package is None else _usable(registry, key)) for key, entry in registry.entries.items()
    ]
    return Listing((registry.kind, "what it is"), tuple(rows), after=tuple(registry.refused.values()))


def _entry(registry: Registry[Any], name: str) -> Listing:
    config = registry[name]
    if not hasattr(config, "model_fields"):  # chosen by its name alone
        described = getattr(config, "function", config).__doc__
        said = cleandoc(described) if described else "It has no fields."
        return Listing(before=(f"{name}: {registry.entries[name].summary}", said))
    summary = cleandoc(config.__doc__ or "").partition("\n\nAttributes:")[0].replace("``", "`")
    return replace(fields_listing(config), before=(summary,))


def fields_listing(config: type[BaseModel]) -> Listing:
    """Every field of a config with default, type and range, and meaning; a part's ``name`` is not among them."""
    said = meanings(config)
    hidden = {"name"} if issubclass(config, PartConfig) else set()
    rows = [
        (key, _default(info), _range(info), said.get(key, "")) for key, info in config.model_fields.items() if key not in hidden
    ]
    return Listing(("field", "default", "type and range", "meaning"), tuple(rows))


def _usable(registry: Registry[Any], name: str) -> str:
    """What a row of an outside package is, or why it cannot be used."""
    try:
        found = registry.find(name)
    except ConfigError as error:
        return str(error)
    said = cleandoc(found.__doc__ or "").partition("\n")[0] if isclass(found) else ""
    return f"{said} (from {registry.entries[name].owner})" if said else f"from {registry.entries[name].owner}"


def _default(info: FieldInfo) -> str:
    if info.is_required():
        return "required"
    value = info.get_default(call_default_factory=True)
    return _as_set(value)


def _as_set(value: Any) -> str:
    """A value as ``--set`` takes it."""
    if isinstance(value, Mapping) and list(value) == ["name"]:
        return str(value["name"])
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(_as_set, value))}]"
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _range(info: FieldInfo) -> str:
    return ", ".join([_kind(info.annotation), *_limits(info.metadata)])


def _kind(annotation: Any) -> str:
    """A type as a config's reader knows it: ``int``, ``soft | codyra_release``, ``float, gt 0 or null``."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return " | ".join(str(choice) for choice in inner)
    if origin is Annotated:
        rules = [rule for part in inner[1:] for rule in getattr(part, "metadata", [part])]
        return ", ".join([_kind(inner[0]), *_limits(rules)])
    if origin in (Union, UnionType):
        return " or ".join(_kind(part) for part in inner)
    if inner:
        return f"{_kind(origin)} of {', '.join(_kind(part) for part in inner if part is not Ellipsis)}"
    if isclass(annotation) and issubclass(annotation, PartConfig):
        return f"a {annotation.__name__.removesuffix('Config').lower()}: its name, or its fields"
    return "null" if annotation is NoneType else getattr(annotation, "__name__", str(annotation)).lower()


BOUNDS = {
    "gt": "above",
    "ge": "at least",
    "lt": "below",
    "le": "at most",
    "min_length": "length at least",
    "max_length": "length at most",
}


def _limits(rules: Iterable[Any]) -> list[str]:
    found = []
    for rule in rules:
        names = getattr(rule, "__slots__", None) or getattr(rule, "__dataclass_fields__", {})
        values = {name: getattr(rule, name) for name in names}
        found += [f"{BOUNDS.get(name, name)} {value}" for name, value in values.items() if isinstance(value, (int, float, str))]
    return found
