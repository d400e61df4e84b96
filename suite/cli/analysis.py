"""Commands ``ranks`` (what kept rank, what moved) and ``significance`` (is a difference real)."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from suite.cli import completion
from suite.cli.options import (
    BenchmarkOption,
    JsonOption,
    MethodOption,
    OutOption,
    RunsArgument,
    SettingOption,
    StudyOption,
    TagOption,
    TrackingOption,
    TrialsOption,
)
from suite.workflows.places import OUT, folder_named, output_file

CsvOption = Annotated[
    Path | None,
    typer.Option("--csv", metavar="FILE", parser=output_file, help="Write the rows to this file; - is standard output."),
]


def ranks(
    names: RunsArgument,
    csv: CsvOption = None,
    figures: Annotated[
        Path | None,
        typer.Option(
            "--figures", metavar="FOLDER", parser=folder_named, help="Draw the pictures into this folder, as SVG and PNG."
        ),
    ] = None,
    json: JsonOption = False,
    out: OutOption = OUT,
    tracking: TrackingOption = None,
) -> None:
    """Effective rank per weight, layer and task beside its no-signal value; size of updates and cumulative shift.

    Runs are looked for below --out, then in MLflow. CSV: one row per run, task and slot.

    Examples:

        codyra-suite ranks 0123abcd --figures pictures

        codyra-suite ranks 0123abcd 89ef0123 --csv ranks.csv
    """
    from suite.cli.board import show_frame, written
    from suite.cli.json_output import print_json, require_free_output
    from suite.workflows import analysing

    require_free_output(json, csv=csv)
    found = analysing.ranks(names, out=out, tracking=tracking)
    with written(found.slots, {"csv": csv}, as_json=json):
        if json:
            print_json({"means": found.means, "shifts": found.shifts, "slots": found.slots})
        else:
            for by, frame in found.means.items():
                show_frame(frame, f"mean effective rank by {by}")
            show_frame(found.shifts, "Frobenius norm over all adapted layers: task's update, cumulative shift")
    if figures is not None:
        from suite.leaderboard.rank_figures import draw_ranks

        for path in draw_ranks(found.records, figures):
            typer.echo(str(path), err=json)


def significance(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[RUN]...", autocompletion=completion.runs, help="Runs as in ranks; without any, the leaderboard's rows."
        ),
    ] = None,
    benchmark: BenchmarkOption = None,
    method: MethodOption = None,
    setting: SettingOption = None,
    study: StudyOption = None,
    tag: TagOption = None,
    all_trials: TrialsOption = False,
    csv: CsvOption = None,
    json: JsonOption = False,
    out: OutOption = OUT,
    tracking: TrackingOption = None,
) -> None:
    """Which rows differ after the last task: paired tests on equal examples and seeds, Holm-corrected over all pairs.

    Also ranks over tasks with their critical difference (three rows or more), and how much of the spread between runs comes from
    seed and order.

    Examples:

        codyra-suite significance --benchmark mini-xtail

        codyra-suite significance 0123abcd 89ef0123 --csv pairs.csv
    """
    import pandas as pd

    from suite.cli.board import show_frame, written
    from suite.cli.json_output import print_json, require_free_output
    from suite.workflows import analysing

    require_free_output(json, csv=csv)
    filters = {"benchmark": benchmark, "method": method, "setting": setting, "study": study, "tag": tag}
    found = analysing.significance(names or [], **filters, all_trials=all_trials, out=out, tracking=tracking)
    pairs = [one.pairs.assign(stream=one.title) for one in found.streams]
    with written(pd.concat(pairs, ignore_index=True) if pairs else pd.DataFrame(), {"csv": csv}, as_json=json):
        if json:
            print_json(found)
            return
        for one in found.streams:
            show_frame(one.pairs, f"{one.title}: difference in points after the last task, 95 % interval")
            if one.ranked is not None:
                show_frame(one.ranked, f"{one.title}: mean rank over tasks (1 = best); {one.note}")
        if len(found.spread):
            show_frame(found.spread, "variance of the headline metric between runs, in squared points")
