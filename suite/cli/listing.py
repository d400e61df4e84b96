"""Command ``list``: what there is to choose from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from inspect import cleandoc, isclass
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union, get_args, get_origin

import typer

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

    from suite.registration import Registry

list_app = typer.Typer(
    no_args_is_help=True,
    help="Show benchmarks, methods, spaces, placements, backbones, metrics, text scores, trackers and exporters.",
)
NameArgument = Annotated[str | None, typer.Argument(help="Show the fields of this one.")]


@list_app.command()
def methods(name: NameArgument = None) -> None:
    """Methods, or the hyperparameters of one.

    Examples:

        codyra-suite list methods

        codyra-suite list methods codyra
    """
    from suite.registry import METHODS

    _show(METHODS, name)


@list_app.command()
def benchmarks(name: NameArgument = None) -> None:
    """Benchmarks, or the fields of one.

    Examples:

        codyra-suite list benchmarks

        codyra-suite list benchmarks mini-xtail
    """
    from suite.registry import BENCHMARKS

    _show(BENCHMARKS, name)


@list_app.command()
def backbones(name: NameArgument = None) -> None:
    """Backbones, or the fields of one.

    Examples:

        codyra-suite list backbones

        codyra-suite list backbones open-clip
    """
    from suite.registry import BACKBONES

    _show(BACKBONES, name)


@list_app.command()
def spaces(name: NameArgument = None) -> None:
    """Search spaces, or the tree and size of one.

    Examples:

        codyra-suite list spaces

        codyra-suite list spaces codyra
    """
    from suite.registry import SPACES

    if name is None:
        _show(SPACES, None)
        return
    space = SPACES[name]
    typer.echo(space.tree())
    typer.echo(f"points: {space.size():g}")


@list_app.command()
def trackers(name: NameArgument = None) -> None:
    """Trackers by the beginning of their URI, for --tracking, or one in full.

    Examples:

        codyra-suite list trackers

        codyra-suite list trackers tensorboard
    """
    from suite.tracking.trackers import TRACKERS

    _show(TRACKERS, name)


@list_app.command()
def placements(
    model: Annotated[str | None, typer.Option("--model", help="Map the names onto this backbone or language model.")] = None,
) -> None:
    """Placements by name, or the layers they mean in one model.

    Examples:

        codyra-suite list placements

        codyra-suite list placements --model mini-lm
    """
    if model is not None:
        from suite.backbones.placements import placement_rows

        _print(("weight", "module", "shape (out x in)"), placement_rows(model))
        return
    from suite.lowrank.placement import KNOWN

    for name in KNOWN:
        typer.echo(name)
    typer.echo("Any subset of q k v o in out; 'vision:' or 'text:' before it, '@0-5' behind it for layers 0 to 5.")


@list_app.command()
def metrics(name: NameArgument = None) -> None:
    """Metrics with convention and source, or one in full.

    Examples:

        codyra-suite list metrics

        codyra-suite list metrics zscl.transfer
    """
    from suite.metrics.conventions import METRICS

    names, reasons = ([name], []) if name is not None else METRICS.usable()
    shown = [(key, METRICS[key]) for key in names]
    rows = [(key, "higher" if metric.higher_is_better else "lower", metric.description, metric.source) for key, metric in shown]
    _print(("metric", "better", "meaning", "source"), rows)
    for reason in reasons:
        typer.echo(reason)


@list_app.command()
def scores(name: NameArgument = None) -> None:
    """Scores of text answers, for the tasks of text-folders, or one in full.

    Examples:

        codyra-suite list scores

        codyra-suite list scores rouge-l
    """
    from suite.benchmarks.text_scores import TEXT_SCORES

    _show(TEXT_SCORES, name)


@list_app.command()
def exporters() -> None:
    """Formats of export.

    Examples:

        codyra-suite list exporters
    """
    from suite.workflows.exporting import FORMATS

    _print(("format", "what it is"), FORMATS.items())


def _show(registry: Registry[Any], name: str | None) -> None:
    if name is None:
        rows = [
            (key, entry.summary if entry.package is None else _usable(registry, key)) for key, entry in registry.entries.items()
        ]
        _print((registry.kind, "what it is"), rows)
        for reason in registry.refused.values():
            typer.echo(reason)
        return
    config = registry[name]
    if not hasattr(config, "model_fields"):  # chosen by its name alone
        typer.echo(f"{name}: {registry.entries[name].summary}")
        described = getattr(config, "function", config).__doc__
        typer.echo(cleandoc(described) if described else "It has no fields.")
        return
    typer.echo(cleandoc(config.__doc__ or ""))
    fields = [(key, _default(info), _range(info)) for key, info in config.model_fields.items() if key != "name"]
    _print(("field", "default", "type and range"), fields)


def _print(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """A table of words: of these every column may be wrapped."""
    from suite.cli.tables import Column, Sheet, print_sheet

    print_sheet(Sheet("", [Column(head, wraps=True) for head in heads], list(rows)))


def _usable(registry: Registry[Any], name: str) -> str:
    """What a row of an outside package is, or why it cannot be used."""
    from suite.errors import ConfigError

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
    from suite.parts import PartConfig

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


def _limits(rules: Iterable[Any]) -> list[str]:
    found = []
    for rule in rules:
        names = getattr(rule, "__slots__", None) or getattr(rule, "__dataclass_fields__", {})
        values = {name: getattr(rule, name) for name in names}
        found += [f"{name} {value}" for name, value in values.items() if isinstance(value, (int, float, str))]  # no validators
    return found
