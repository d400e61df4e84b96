"""Commands on a finished run: ``repeat`` runs it again and compares, ``export`` writes its weights for other software."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from suite.cli.options import DataOption, DeviceOption, JsonOption, OutOption, RunArgument, RunsArgument, TrackingOption
from suite.workflows.places import DATA, OUT, folder_named


def repeat(
    name: RunArgument,
    json: JsonOption = False,
    out: OutOption = OUT,
    data_root: DataOption = DATA,
    device: DeviceOption = "auto",
) -> None:
    """Train a stored run again from its config and seed and say whether the numbers agree.

    Compares every cell of the accuracy matrices and every example's outcome. Exit code 1 when they differ.

    Examples:

        codyra-suite repeat 0123abcd

        codyra-suite repeat codyra-runs/runs/0123456789abcdef
    """
    from suite.cli.json_output import plain, print_json
    from suite.workflows import repeating

    verdict = repeating.repeat(name, out=out, data_root=data_root, device=device)
    if json:
        print_json({**plain(verdict), "agrees": verdict.agrees})
    else:
        typer.echo(verdict.sentence())
    if not verdict.agrees:
        raise typer.Exit(1)


def export(
    name: RunArgument,
    format: Annotated[str, typer.Option("--format", help="open_clip, hf or peft.")] = "open_clip",
    to: Annotated[Path, typer.Option("--to", metavar="FOLDER", parser=folder_named, help="Folder for the files.")] = Path(
        "exported"
    ),
    json: JsonOption = False,
    out: OutOption = OUT,
    data_root: DataOption = DATA,
    device: DeviceOption = "auto",
) -> None:
    """Write a run's merged model or its per-task adapters and prove on stored examples that they answer the same.

    Examples:

        codyra-suite export 0123abcd --format open_clip --to exported

        codyra-suite export 0123abcd --format peft
    """
    from suite.cli.json_output import print_json
    from suite.workflows import exporting

    done = exporting.export(name, format, to, out=out, data_root=data_root, device=device)
    if json:
        print_json(done)
    else:
        for file in done.files:
            typer.echo(str(file))
        typer.echo(f"{done.differing} of {done.examples} test examples differ from the stored outcomes")
    if done.differing:
        raise typer.Exit(1)


def rescore(
    names: RunsArgument,
    scoring: Annotated[str, typer.Option("--scoring", help="strict, trace or treelora.")],
    json: JsonOption = False,
    out: OutOption = OUT,
    data_root: DataOption = DATA,
    tracking: TrackingOption = None,
) -> None:
    """Score a text run's stored answers by another rule, without generating again.

    The result is a run of its own beside the first one, in the leaderboard too.

    Examples:

        codyra-suite rescore 0123abcd --scoring treelora

        codyra-suite rescore 0123abcd 89ef0123 --scoring trace --tracking none
    """
    from suite.cli.json_output import print_json
    from suite.cli.progress import TerminalWatcher
    from suite.cli.summary import print_run, run_fields
    from suite.workflows import rescoring

    done = rescoring.rescore(names, scoring, out=out, data_root=data_root, tracking=tracking, watcher=TerminalWatcher())
    if json:
        print_json([run_fields(run.record, run.folder) for run in done])
        return
    for run in done:
        print_run(run.record, run.folder)
