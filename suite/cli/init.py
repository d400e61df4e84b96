"""Command ``init``: a commented file to start from."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from suite.cli import completion
from suite.cli.options import QuietOption
from suite.workflows.places import output_file


def init(
    kind: Annotated[
        str, typer.Argument(metavar="KIND", autocompletion=lambda: ["run", "sweep", "tune"], help="run, sweep or tune.")
    ],
    file: Annotated[
        Path | None,
        typer.Option(
            "--file", metavar="FILE", parser=output_file, help="File to write; default KIND.yaml; - is standard output."
        ),
    ] = None,
    benchmark: Annotated[
        str, typer.Option("--benchmark", "-b", metavar="NAME", autocompletion=completion.benchmarks, help="Benchmark to name.")
    ] = "mini-mtil",
    method: Annotated[
        str, typer.Option("--method", "-m", metavar="NAME", autocompletion=completion.methods, help="Method to name.")
    ] = "codyra",
    quiet: QuietOption = False,
) -> None:
    """Write a file for run, sweep or tune that works as it is, with a comment on what one would change; nothing is overwritten.

    Examples:

        codyra-suite init run --method lora

        codyra-suite init sweep --file night.yaml --benchmark mini-xtail
    """
    from suite.files import is_standard_output
    from suite.workflows import starting_files

    place = starting_files.init(kind, file, benchmark=benchmark, method=method)
    if not quiet:
        typer.echo(f"{place} is written; next: codyra-suite {kind} {place}", err=is_standard_output(place))
