"""Command ``list``: what there is to choose from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from suite.cli import completion
from suite.cli.app import App
from suite.cli.options import JsonOption

if TYPE_CHECKING:
    from suite.registration import Registry
    from suite.workflows.listing import Listing

list_app = App(
    help="Show benchmarks, methods, spaces, placements, backbones, metrics, text scores, trackers and exporters.",
)
FIELDS = "Show the fields of this one."
MethodName = Annotated[str | None, typer.Argument(metavar="[NAME]", autocompletion=completion.methods, help=FIELDS)]
BenchmarkName = Annotated[str | None, typer.Argument(metavar="[NAME]", autocompletion=completion.benchmarks, help=FIELDS)]
BackboneName = Annotated[str | None, typer.Argument(metavar="[NAME]", autocompletion=completion.backbones, help=FIELDS)]
SpaceName = Annotated[str | None, typer.Argument(metavar="[NAME]", autocompletion=completion.spaces, help=FIELDS)]
MetricName = Annotated[str | None, typer.Argument(metavar="[NAME]", autocompletion=completion.metrics, help=FIELDS)]
EntryName = Annotated[str | None, typer.Argument(metavar="[NAME]", help="Show all of this one.")]


@list_app.command()
def methods(name: MethodName = None, json: JsonOption = False) -> None:
    """Methods, or the hyperparameters of one.

    Examples:

        codyra-suite list methods

        codyra-suite list methods codyra
    """
    from suite.registry import METHODS

    _show(METHODS, name, as_json=json)


@list_app.command()
def benchmarks(name: BenchmarkName = None, json: JsonOption = False) -> None:
    """Benchmarks, or the fields of one.

    Examples:

        codyra-suite list benchmarks

        codyra-suite list benchmarks mini-xtail
    """
    from suite.registry import BENCHMARKS

    _show(BENCHMARKS, name, as_json=json)


@list_app.command()
def backbones(name: BackboneName = None, json: JsonOption = False) -> None:
    """Backbones, or the fields of one.

    Examples:

        codyra-suite list backbones

        codyra-suite list backbones open-clip
    """
    from suite.registry import BACKBONES

    _show(BACKBONES, name, as_json=json)


@list_app.command()
def spaces(name: SpaceName = None, json: JsonOption = False) -> None:
    """Search spaces, or the tree and size of one.

    Examples:

        codyra-suite list spaces

        codyra-suite list spaces codyra
    """
    from suite.registry import SPACES
    from suite.workflows.listing import space_listing

    if name is None:
        _show(SPACES, None, as_json=json)
    else:
        _print(space_listing(name), as_json=json)


@list_app.command()
def trackers(name: EntryName = None, json: JsonOption = False) -> None:
    """Trackers by the beginning of their URI, for --tracking, or one in full.

    Examples:

        codyra-suite list trackers

        codyra-suite list trackers tensorboard
    """
    from suite.tracking.trackers import TRACKERS

    _show(TRACKERS, name, as_json=json)


@list_app.command()
def placements(
    model: Annotated[str | None, typer.Option("--model", help="Map the names onto this backbone or language model.")] = None,
    json: JsonOption = False,
) -> None:
    """Placements by name, or the layers they mean in one model.

    Examples:

        codyra-suite list placements

        codyra-suite list placements --model mini-lm
    """
    from suite.workflows.listing import placement_listing

    _print(placement_listing(model), as_json=json)


@list_app.command()
def metrics(name: MetricName = None, json: JsonOption = False) -> None:
    """Metrics with convention and source, or one in full.

    Examples:

        codyra-suite list metrics

        codyra-suite list metrics zscl.transfer
    """
    from suite.workflows.listing import metric_listing

    _print(metric_listing(name), as_json=json)


@list_app.command()
def scores(name: EntryName = None, json: JsonOption = False) -> None:
    """Scores of text answers, for the tasks of text-folders, or one in full.

    Examples:

        codyra-suite list scores

        codyra-suite list scores rouge-l
    """
    from suite.benchmarks.text_scores import TEXT_SCORES

    _show(TEXT_SCORES, name, as_json=json)


@list_app.command()
def exporters(json: JsonOption = False) -> None:
    """Formats of export.

    Examples:

        codyra-suite list exporters
    """
    from suite.workflows.listing import exporter_listing

    _print(exporter_listing(), as_json=json)


def _show(registry: Registry[Any], name: str | None, *, as_json: bool) -> None:
    from suite.workflows.listing import listing

    _print(listing(registry, name), as_json=as_json)


def _print(found: Listing, *, as_json: bool) -> None:
    """Its sentences, and a table of words between them: of these every column may be wrapped."""
    from suite.cli.json_output import print_json
    from suite.cli.tables import Column, Sheet, print_sheet

    if as_json:
        rows = [dict(zip(found.heads, row, strict=True)) for row in found.rows]
        print_json({"rows": rows, "notes": [*found.before, *found.after]})
        return

    for sentence in found.before:
        typer.echo(sentence)
    if found.heads:
        print_sheet(Sheet("", [Column(head, wraps=True) for head in found.heads], found.rows))
    for sentence in found.after:
        typer.echo(sentence)
