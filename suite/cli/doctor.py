"""Command ``doctor``: can this machine do what the suite does."""

from __future__ import annotations

import typer

from suite.cli.options import DataOption, JsonOption, OutOption, TrackingOption
from suite.workflows.places import DATA, OUT


def doctor(
    json: JsonOption = False, out: OutOption = OUT, data_root: DataOption = DATA, tracking: TrackingOption = None
) -> None:
    """Look at Python, libraries, GPU, Ray, MLflow, disk, data and weights, one line each; exit code 1 when something is wrong.

    Data that is not there and a machine without a GPU are nothing wrong.

    Examples:

        codyra-suite doctor

        codyra-suite doctor --data-root data --json
    """
    from suite.cli.json_output import print_json
    from suite.cli.progress import TerminalWatcher
    from suite.cli.tables import Column, Sheet, print_sheet

    watcher = TerminalWatcher()
    with watcher.begin("loading libraries", None):
        from suite.workflows import doctoring

    found = doctoring.doctor(out=out, data_root=data_root, tracking=tracking, watcher=watcher)
    wrong = [one.what for one in found if one.state == "wrong"]
    if json:
        print_json(found)
    else:
        columns = [Column(head, wraps=True) for head in ("what", "state", "found")]
        rows = [[one.what, one.state, f"{one.found}; {one.advice}" if one.advice else one.found] for one in found]
        print_sheet(Sheet("", columns, rows, [f"wrong: {', '.join(wrong)}" if wrong else "nothing is wrong"]))
    if wrong:
        raise typer.Exit(1)
