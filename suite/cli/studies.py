"""Commands ``studies``: list the stored studies, show one with its best trials."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from suite.cli import completion
from suite.cli.app import App
from suite.cli.options import BenchmarkOption, JsonOption, MethodOption, OutOption
from suite.counting import counted
from suite.workflows.places import OUT

if TYPE_CHECKING:
    from suite.workflows.stored_studies import StoredStudy

studies_app = App(help="List and show the studies of a folder.")


@studies_app.command(name="list")
def list_studies(
    benchmark: BenchmarkOption = None, method: MethodOption = None, json: JsonOption = False, out: OutOption = OUT
) -> None:
    """Every study below --out, those of tunings too: what it searches, how its trials ended, its best value on validation.

    Examples:

        codyra-suite studies list

        codyra-suite studies list --method codyra --json
    """
    from suite.cli.front import in_words
    from suite.cli.json_output import print_json
    from suite.cli.progress import TerminalWatcher
    from suite.cli.tables import Column, Sheet, print_sheet
    from suite.workflows import stored_studies

    found = stored_studies.studies(benchmark=benchmark, method=method, out=out, watcher=TerminalWatcher())
    rows = [summary(one) for one in found]
    if json:
        print_json(rows)
        return
    columns = [
        *(Column(head, wraps=True) for head in ("study", "benchmark", "methods", "trials", "best on validation")),
        Column("begun, UTC", optional=1),
    ]
    cells = [
        [
            row["name"],
            row["benchmark"],
            ", ".join(row["methods"]),
            in_words(row["trials"]) or "-",
            ", ".join(f"{name} {value:.4g}" for name, value in row["best"].items()) or "-",
            f"{row['began']:%Y-%m-%d %H:%M}",
        ]
        for row in rows
    ]
    print_sheet(Sheet("", columns, cells, [counted(len(rows), "study")], elsewhere="--json shows them"))


@studies_app.command()
def show(
    name: Annotated[
        str,
        typer.Argument(metavar="STUDY", autocompletion=completion.studies, help="Name of a study, or its unique beginning."),
    ],
    json: JsonOption = False,
    out: OutOption = OUT,
) -> None:
    """One study: its best trials with their settings, and how the others ended; with --json every trial.

    Examples:

        codyra-suite studies show sparsity

        codyra-suite studies show sparsity --json
    """
    from suite.cli.front import print_front, study_fields
    from suite.cli.json_output import print_json
    from suite.workflows import stored_studies

    found = stored_studies.study(name, out=out)
    if json:
        print_json({**summary(found), **study_fields(found.study)})
        return
    print_front(found.study)
    typer.echo(f"folder: {found.folder}")


def summary(found: StoredStudy) -> dict[str, Any]:
    """What a list says of a study."""
    return {
        "name": found.name,
        "benchmark": found.benchmark,
        "methods": found.methods,
        "objectives": list(found.study.config.objectives),
        "trials": dict(sorted(found.states.items())),
        "best": found.best,
        "began": found.began,
        "folder": found.folder,
    }
