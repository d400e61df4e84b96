"""Command ``report``: everything on one page that can be sent."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from suite.cli.options import (
    BenchmarkOption,
    ConventionOption,
    DataOption,
    ExamplesOption,
    MethodOption,
    QuietOption,
    SelectionOption,
    SettingOption,
    StudyOption,
    TagOption,
    TitleOption,
    TrackingOption,
)
from suite.counting import counted
from suite.workflows.places import DATA, OUT, folder_named, output_file

PageOption = Annotated[
    Path,
    typer.Option("--file", metavar="FILE", parser=output_file, help="The page, one HTML file without any outside resource."),
]


def report(
    out: PageOption = Path("report.html"),
    benchmark: BenchmarkOption = None,
    method: MethodOption = None,
    setting: SettingOption = None,
    study: StudyOption = None,
    tag: TagOption = None,
    convention: ConventionOption = None,
    selection: SelectionOption = None,
    title: TitleOption = None,
    examples: ExamplesOption = True,
    runs_from: Annotated[
        Path,
        typer.Option("--out", metavar="FOLDER", parser=folder_named, help="Folder of the runs, read with '--tracking none'."),
    ] = OUT,
    data_root: DataOption = DATA,
    quiet: QuietOption = False,
    tracking: TrackingOption = None,
) -> None:
    """Who wins, Pareto fronts, tables, pictures, settings, studies and environment of what MLflow holds, in one HTML file.

    A second file beside it shows single test examples: which ones one row gets right and another one wrong.

    Examples:

        codyra-suite report --file report.html

        codyra-suite report --benchmark mini-xtail --file xtail.html
    """
    from suite.cli.progress import watcher
    from suite.errors import ConfigError
    from suite.files import is_standard_output
    from suite.workflows import reporting

    if runs_from.suffix == ".html":
        raise ConfigError(f"report: --out {runs_from} is the folder of the runs; name the page with --file {runs_from}.")
    page = reporting.report(
        out,
        benchmark=benchmark,
        method=method,
        setting=setting,
        study=study,
        tag=tag,
        convention=convention,
        selection=selection,
        title=title,
        examples=examples,
        data_root=data_root,
        out=runs_from,
        tracking=tracking,
        watcher=watcher(quiet),
    )
    if not quiet:
        said = f"report: {out} ({len(page.html.encode()) / 2**20:.1f} MiB, {counted(page.runs, 'run')})"
        typer.echo(said, err=is_standard_output(out))
        if page.examples is not None:
            typer.echo(f"single examples: {page.examples} ({page.examples.stat().st_size / 2**20:.1f} MiB)")
