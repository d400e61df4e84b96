"""Commands on a finished run: ``repeat`` runs it again and compares, ``export`` writes its weights for other software."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from suite.cli.run import DATA, OUT, DataOption, DeviceOption, OutOption, TrackingOption

RunArgument = Annotated[str, typer.Argument(help="Run id (or its unique beginning), or a run's folder.")]


def repeat(
    name: RunArgument, out: OutOption = OUT, data_root: DataOption = DATA, device: DeviceOption = "auto"
) -> None:
    """Train a stored run again from its config and seed and say whether the numbers agree.

    Compares every cell of the accuracy matrices and every example's outcome. Exit code 1 when they differ.

    Examples:

        codyra-suite repeat 0123abcd

        codyra-suite repeat codyra-runs/runs/0123456789abcdef
    """
    from suite.workflows.repeating import repeat_run

    verdict = repeat_run(name, out, data_root, device)
    typer.echo(verdict.sentence())
    if not verdict.agrees:
        raise typer.Exit(1)


def export(
    name: RunArgument,
    format: Annotated[str, typer.Option("--format", help="open_clip, hf or peft.")] = "open_clip",
    to: Annotated[Path, typer.Option("--to", help="Folder for the files.")] = Path("exported"),
    out: OutOption = OUT,
    data_root: DataOption = DATA,
    device: DeviceOption = "auto",
) -> None:
    """Write a run's merged model or its per-task adapters and prove on stored examples that they answer the same.

    Examples:

        codyra-suite export 0123abcd --format open_clip --to exported

        codyra-suite export 0123abcd --format peft
    """
    from suite.workflows.exporting import export_run

    files, differing, examples = export_run(name, format, to, out, data_root, device)
    for file in files:
        typer.echo(str(file))
    typer.echo(f"{differing} of {examples} test examples differ from the stored outcomes")
    if differing:
        raise typer.Exit(1)


def rescore(
    names: Annotated[list[str], typer.Argument(help="Run ids (or unique beginnings), or run folders.")],
    scoring: Annotated[str, typer.Option("--scoring", help="strict, trace or treelora.")],
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
    from suite.cli.run import track
    from suite.cli.summary import print_run
    from suite.cli.tracking import opened_sink
    from suite.runs.store import RunStore
    from suite.workflows.rescoring import rescore as score_again

    sink = opened_sink(tracking, out)
    records = [score_again(name, scoring, out, data_root) for name in names]
    track(records, sink)
    for record in records:
        print_run(record, RunStore(out).folder(record.run_id))
