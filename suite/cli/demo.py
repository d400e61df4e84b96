"""Command ``demo``: the whole suite on a laptop, from training to leaderboard."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from suite.cli.options import JsonOption, OutOption, TrackingOption
from suite.workflows.places import OUT, output_file


def demo(
    out: OutOption = OUT,
    csv: Annotated[
        Path, typer.Option("--csv", metavar="FILE", parser=output_file, help="Where to write the leaderboard.")
    ] = Path("leaderboard.csv"),
    json: JsonOption = False,
    tracking: TrackingOption = None,
) -> None:
    """Five methods on embedded streams, a study of CoDyRA, four methods tuned alike, and the tables of it all; no download.

    Run again it reuses what is finished.

    Examples:

        codyra-suite demo

        codyra-suite demo --csv board.csv --tracking none
    """
    from suite.cli.board import print_frame
    from suite.cli.front import print_front, printed_when_interrupted, study_fields
    from suite.cli.json_output import print_json, require_free_output
    from suite.cli.progress import TerminalWatcher
    from suite.cli.tables import print_line, print_pages
    from suite.cli.tune import shown_when_interrupted
    from suite.cli.tuned import show_tuning
    from suite.errors import SuiteError
    from suite.leaderboard.export import write_frame
    from suite.leaderboard.tuned_table import tuned_frame
    from suite.workflows.demonstration import COMPARED, demonstrate
    from suite.workflows.tracking import pages

    require_free_output(json, csv=csv)
    start, watcher = time.perf_counter(), TerminalWatcher()
    with printed_when_interrupted(as_json=json), shown_when_interrupted({}, as_json=json):
        done = demonstrate(out, tracking, watcher)
    write_frame(done.board, "csv", csv)
    if json:
        print_json({"board": done.board, "study": study_fields(done.study), "tuning": tuned_frame(done.tuning)})
    else:
        print_front(done.study)
        print_frame(done.board[done.board["benchmark"].isin(COMPARED)], None)
        print_line(
            f"all runs: {csv}   picture: {done.picture or 'none'}   folder: {out}   {time.perf_counter() - start:.0f} s\n"
        )
        show_tuning(done.tuning, {})
        print_pages(pages(tracking, out))
    if done.failures:
        raise SuiteError("demo: " + "; ".join(done.failures))
