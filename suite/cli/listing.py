"""Command ``list``: what there is to choose from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from suite.registration import Registry
    from suite.workflows.listing import Listing

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
    from suite.workflows.listing import space_listing

    if name is None:
        _show(SPACES, None)
    else:
        _print(space_listing(name))


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
    from suite.workflows.listing import placement_listing

    _print(placement_listing(model))


@list_app.command()
def metrics(name: NameArgument = None) -> None:
    """Metrics with convention and source, or one in full.

    Examples:

        codyra-suite list metrics

        codyra-suite list metrics zscl.transfer
    """
    from suite.workflows.listing import metric_listing

    _print(metric_listing(name))


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
    from suite.workflows.listing import exporter_listing

    _print(exporter_listing())


def _show(registry: Registry[Any], name: str | None) -> None:
    from suite.workflows.listing import listing

    _print(listing(registry, name))


def _print(found: Listing) -> None:
    """Its sentences, and a table of words between them: of these every column may be wrapped."""
    from suite.cli.tables import Column, Sheet, print_sheet

    for sentence in found.before:
        typer.echo(sentence)
    if found.heads:
        print_sheet(Sheet("", [Column(head, wraps=True) for head in found.heads], found.rows))
    for sentence in found.after:
        typer.echo(sentence)
