"""Command ``leaderboard``: what MLflow holds, as a table on screen and as files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from suite.cli.options import (
    BenchmarkOption,
    ConventionOption,
    FileOption,
    JsonOption,
    MethodOption,
    OutOption,
    SelectionOption,
    SettingOption,
    StudyOption,
    TagOption,
    TrackingOption,
    TrialsOption,
)
from suite.workflows.places import OUT, folder_named

PublishedOption = Annotated[
    bool, typer.Option("--published", help="Add published numbers of the benchmarks shown (or of --benchmark), marked.")
]
ReproducedOption = Annotated[
    bool, typer.Option("--reproduced", help="Instead: published numbers with own value, difference, tolerance and verdict.")
]
PublishOption = Annotated[
    Path | None,
    typer.Option("--publish", metavar="FOLDER", parser=folder_named, help="Also write these runs as a site for others."),
]
GroupOption = Annotated[
    str | None, typer.Option("--group", metavar="NAME", help="With --publish: who publishes; default your user name.")
]
MergeOption = Annotated[
    list[Path] | None,
    typer.Option("--merge", metavar="FOLDER", parser=folder_named, help="Instead: the runs of published folders; repeatable."),
]


def leaderboard(
    csv: FileOption = None,
    markdown: FileOption = None,
    latex: FileOption = None,
    json: JsonOption = False,
    html: FileOption = None,
    benchmark: BenchmarkOption = None,
    method: MethodOption = None,
    setting: SettingOption = None,
    study: StudyOption = None,
    tag: TagOption = None,
    convention: ConventionOption = None,
    per_task: Annotated[bool, typer.Option("--per-task", help="Add the accuracy on each task after the last one.")] = False,
    pool_orders: Annotated[bool, typer.Option("--pool-orders", help="One row for all orders of a stream.")] = False,
    published: PublishedOption = False,
    reproduced: ReproducedOption = False,
    all_trials: TrialsOption = False,
    selection: SelectionOption = None,
    publish: PublishOption = None,
    group: GroupOption = None,
    merge: MergeOption = None,
    out: OutOption = OUT,
    tracking: TrackingOption = None,
) -> None:
    """Mean and spread per benchmark, method and setting, out of MLflow; the best is marked with all it cannot be told from.

    With '--tracking none' the runs are read from the folder --out.

    Examples:

        codyra-suite leaderboard --benchmark mini-xtail --convention gem --markdown board.md

        codyra-suite leaderboard --merge ours --merge theirs --publish together
    """
    from suite.cli.board import print_frame, print_reproduction, written
    from suite.cli.json_output import print_json, require_free_output
    from suite.cli.progress import TerminalWatcher
    from suite.cli.sharing import merged_frame, publish_runs, require_publication
    from suite.workflows import tables

    require_publication(group, publish)
    files = {"csv": csv, "markdown": markdown, "latex": latex, "html": html}
    require_free_output(json, **files)
    filters = {"benchmark": benchmark, "method": method, "setting": setting, "study": study, "tag": tag}
    asked: dict[str, Any] = {**filters, "out": out, "tracking": tracking, "watcher": TerminalWatcher()}
    how: dict[str, Any] = {"convention": convention, "per_task": per_task, "pool_orders": pool_orders}
    how |= {"all_trials": all_trials, "selection": selection}
    if merge:
        frame = merged_frame(merge, publish, {**filters, "published": published, "reproduced": reproduced, "group": group}, how)
    else:
        frame = tables.reproduction(**asked) if reproduced else tables.leaderboard(**asked, **how, published=published)
    with written(frame, files, as_json=json):
        if json:
            print_json(frame)
        elif reproduced:
            print_reproduction(frame)
        else:
            print_frame(frame, convention)
    if publish is not None and not merge:
        publish_runs(publish, group, asked, {**how, "published": published, "reproduced": reproduced})
