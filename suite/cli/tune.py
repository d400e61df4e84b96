"""Command ``tune``: every method tuned with the same budget and judged on fresh seeds and orders."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from suite.cli.options import DataOption, DeviceOption, FileOption, JsonOption, LimitOption, OutOption, TrackingOption
from suite.workflows.places import DATA, OUT


def tune(
    file: Annotated[Path, typer.Argument(help="File of the tuning (YAML).")],
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with a tuning that was interrupted, or show one that is finished.")
    ] = False,
    limit: LimitOption = None,
    address: Annotated[
        str | None, typer.Option("--address", help="Ray address; default RAY_ADDRESS, else a local Ray.")
    ] = None,
    out: OutOption = OUT,
    data_root: DataOption = DATA,
    device: DeviceOption = "auto",
    tracking: TrackingOption = None,
    csv: FileOption = None,
    markdown: FileOption = None,
    latex: FileOption = None,
    json: JsonOption = False,
) -> None:
    """Compare methods fairly: tune each with the same budget, then judge default and tuned setting on fresh seeds and orders.

    Selection sees validation numbers only. Ctrl-C keeps what is finished and shows it; '--resume' goes on. Exit code 1: some method has no whole result.

    Examples:

        codyra-suite plan fair.yaml

        codyra-suite tune fair.yaml --limit 8

        codyra-suite tune fair.yaml

        codyra-suite tune fair.yaml --resume
    """
    from suite.cli.json_output import require_free_output
    from suite.cli.progress import TerminalWatcher
    from suite.cli.tables import print_pages
    from suite.files import is_standard_output, printed_beside

    files = {"csv": csv, "markdown": markdown, "latex": latex}
    require_free_output(json, **files)
    watcher = TerminalWatcher()
    with watcher.begin("loading libraries", None):
        from suite.workflows import tune_files, tuning
        from suite.workflows.tracking import pages

    from suite.cli.tuned import show_tuning

    with printed_beside(*files.values()):
        typer.echo(tune_files.outline(tune_files.tune_config(file, limit)), err=json)
    place: dict[str, Any] = {"address": address, "out": out, "data_root": data_root, "device": device, "tracking": tracking}
    with shown_when_interrupted(files, as_json=json):
        done = tuning.tune(file, resume=resume, limit=limit, **place, watcher=watcher)
    show_tuning(done, files, as_json=json)
    if not json and not any(map(is_standard_output, files.values())):
        print_pages(pages(tracking, out))
    if any(one.problem or not one.is_final for one in done.methods):
        raise typer.Exit(1)


@contextmanager
def shown_when_interrupted(files: Mapping[str, Path | None], *, as_json: bool) -> Iterator[None]:
    """After Ctrl-C inside, show what was finished before the command ends."""
    from suite.cli.tuned import show_tuning
    from suite.workflows.tuning import TuningInterrupted

    try:
        yield
    except TuningInterrupted as end:
        show_tuning(end.tuning, files, as_json=as_json)
        raise
