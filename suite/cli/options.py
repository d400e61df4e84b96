"""Options that several commands share, and how their texts are read."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from suite.cli import completion
from suite.errors import ConfigError
from suite.workflows.places import folder_named, output_file

OutOption = Annotated[
    Path, typer.Option("--out", metavar="FOLDER", parser=folder_named, help="Folder for runs, studies and caches.")
]
DataOption = Annotated[
    Path,
    typer.Option("--data-root", envvar="CODYRA_DATA", metavar="FOLDER", parser=folder_named, help="Folder with the data sets."),
]
DeviceOption = Annotated[str, typer.Option("--device", help="auto, cpu, cuda or cuda:1.")]
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        "-s",
        metavar="KEY=VALUE",
        help="Any field of the config, e.g. method.rank=8 or training.lr=1e-3; repeatable.",
    ),
]
LimitOption = Annotated[
    int | None,
    typer.Option("--limit", metavar="N", help="At most N rows per split and task: benchmark.limit; a run of its own."),
]
TrackingOption = Annotated[
    str | None,
    typer.Option(
        "--tracking", envvar="MLFLOW_TRACKING_URI", help="Tracker; default sqlite:///mlflow.db (MLflow). 'none' = off."
    ),
]
ResumeOption = Annotated[bool, typer.Option("--resume", help="Go on with a study that was interrupted.")]
ChangesOption = Annotated[
    bool, typer.Option("--accept-changes", help="With --resume: the sweep file may differ from the one the study began with.")
]
FileOption = Annotated[
    Path | None, typer.Option(metavar="FILE", parser=output_file, help="Write the table to this file; - is standard output.")
]
BenchmarkOption = Annotated[
    str | None,
    typer.Option("--benchmark", "-b", metavar="NAME", autocompletion=completion.benchmarks, help="Only this benchmark."),
]
MethodOption = Annotated[
    str | None, typer.Option("--method", "-m", metavar="NAME", autocompletion=completion.methods, help="Only this method.")
]
BenchmarksOption = Annotated[
    list[str] | None,
    typer.Option(
        "--benchmark", "-b", metavar="NAME", autocompletion=completion.benchmarks, help="Only this benchmark; repeatable."
    ),
]
MethodsOption = Annotated[
    list[str] | None,
    typer.Option("--method", "-m", metavar="NAME", autocompletion=completion.methods, help="Only this method; repeatable."),
]
SettingOption = Annotated[
    str | None, typer.Option("--setting", metavar="TEXT", help="Only settings that hold this text, e.g. 'order II'.")
]
StudyOption = Annotated[
    str | None,
    typer.Option("--study", metavar="NAME", autocompletion=completion.studies, help="Only trials of this study."),
]
TagOption = Annotated[
    str | None, typer.Option("--tag", metavar="TAG", autocompletion=completion.tags, help="Only runs that have this tag.")
]
ConventionOption = Annotated[
    str | None, typer.Option("--convention", help="Recompute every row under this convention: zscl, rail, trace, gem, ...")
]
JsonOption = Annotated[
    bool,
    typer.Option("--json", help="Print JSON on standard output instead of tables; what else is said goes to standard error."),
]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing unless something is wrong.")]
TitleOption = Annotated[
    str | None,
    typer.Option("--title", help="What the runs belong to, at the head of the page; else the name of their folder."),
]
ExamplesOption = Annotated[
    bool,
    typer.Option("--examples/--no-examples", help="Also write NAME_examples.html, where two rows are compared by examples."),
]
DryRunOption = Annotated[
    bool, typer.Option("--dry-run", help="Only say what would be trained, what is stored already, and how long it will take.")
]
RunArgument = Annotated[
    str,
    typer.Argument(
        metavar="RUN",
        autocompletion=completion.runs,
        help="Run id (or its unique beginning), name, tag that it alone has, or folder.",
    ),
]
RunsArgument = Annotated[
    list[str],
    typer.Argument(
        metavar="RUN...",
        autocompletion=completion.runs,
        help="Run ids (or unique beginnings), names, tags, or folders of runs.",
    ),
]
SelectionOption = Annotated[
    str | None, typer.Option("--selection", help="Choose every study's trial by two-phase, current-task, first-task or oracle.")
]
TrialsOption = Annotated[bool, typer.Option("--all-trials", help="Show every trial of a study, not only the chosen.")]

SEEDS = re.compile(r"([0-9]{1,15})(?:-([0-9]{1,15}))?")
MOST_SEEDS = 1000


def seed_list(text: str) -> list[int]:
    """``0-2`` or ``0,1,5`` or ``0-2,7`` as numbers.

    Raises:
        ConfigError: anything else.
    """
    seeds: list[int] = []
    for part in text.split(","):
        found = SEEDS.fullmatch(part.strip())
        first, last = (int(found[1]), int(found[2] or found[1])) if found else (1, 0)
        if last < first:
            raise ConfigError(f"--seeds {text[:80]}: '{part[:80]}' is not a seed or a range; write 0-2 or 0,1,5.")
        if last - first >= MOST_SEEDS:
            raise ConfigError(f"--seeds {text}: '{part}' are {last - first + 1} seeds, {MOST_SEEDS} at most; name fewer.")
        seeds += range(first, last + 1)
    return list(dict.fromkeys(seeds))
