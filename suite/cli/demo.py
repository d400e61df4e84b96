"""Command ``demo``: the whole suite on a laptop, from training to leaderboard."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from suite.cli.options import OutOption, TrackingOption
from suite.workflows.places import OUT, output_file


def demo(
    out: OutOption = OUT,
    csv: Annotated[
        Path, typer.Option("--csv", metavar="FILE", parser=output_file, help="Where to write the leaderboard.")
    ] = Path("leaderboard.csv"),
    tracking: TrackingOption = None,
) -> None:
    """Five methods on the embedded streams, a 12-trial CoDyRA study, and the leaderboard of it all; no download.

    Run again it reuses what is finished.

    Examples:

        codyra-suite demo

        codyra-suite demo --csv board.csv --tracking none
    """
    from suite.cli.board import print_frame
    from suite.cli.front import print_front, printed_when_interrupted
    from suite.cli.progress import TerminalWatcher
    from suite.errors import SuiteError
    from suite.leaderboard.export import write_frame
    from suite.tuning.cluster import ray_session
    from suite.workflows import demonstration, tables
    from trainables.resources import Resources

    start, watcher = time.perf_counter(), TerminalWatcher()
    methods, benchmarks = len(demonstration.METHODS), ", ".join(demonstration.BENCHMARKS)
    typer.echo(f"1/3  {methods} methods on {benchmarks}, {demonstration.STEPS} steps per task")
    with ray_session(None, Resources()), printed_when_interrupted():
        compared = demonstration.compare_methods(out, tracking, watcher)
        trials = demonstration.demo_study().budget.trials
        typer.echo(f"2/3  study of CoDyRA: {trials} trials over sparsity strength and placement")
        print_front(demonstration.search(out, tracking, watcher))
    typer.echo("3/3  leaderboard")
    frame = tables.leaderboard(out=out, tracking=tracking, watcher=watcher)
    print_frame(frame, None)
    write_frame(frame, "csv", csv)
    picture = demonstration.draw(out)
    typer.echo(f"table: {csv}   picture: {picture}   runs: {out}   {time.perf_counter() - start:.0f} s")
    if compared.failures:
        raise SuiteError("demo: " + "; ".join(compared.failures))
