"""Command ``report``: everything on one page that can be sent."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from suite.cli.leaderboard import BenchmarkOption, ConventionOption, MethodOption, SelectionOption, SettingOption, StudyOption
from suite.cli.run import OUT, TrackingOption

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

    from suite.runs.record import Record


def report(
    out: Annotated[Path, typer.Option("--out", help="The page, one HTML file without any outside resource.")] = Path("report.html"),
    benchmark: BenchmarkOption = None,
    method: MethodOption = None,
    setting: SettingOption = None,
    study: StudyOption = None,
    convention: ConventionOption = None,
    selection: SelectionOption = None,
    runs_from: Annotated[Path, typer.Option("--runs", help="Folder of the runs, read with '--tracking none'.")] = OUT,
    tracking: TrackingOption = None,
) -> None:
    """Tables, pictures, winning settings, studies, published numbers and environment of what MLflow holds, in one HTML file.

    Examples:

        codyra-suite report --out report.html

        codyra-suite report --benchmark mini-xtail --out xtail.html
    """
    from datetime import UTC, datetime

    from suite import __version__
    from suite.cli.tracking import say_unreadable, say_waiting
    from suite.files import is_standard_output, write_output
    from suite.leaderboard.report import report_html
    from suite.leaderboard.run_set import load_runs

    say_waiting(runs_from)
    runs = load_runs(tracking, {"benchmark": benchmark, "method": method, "setting": setting, "study": study}, runs_from)
    made = f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC by codyra-suite {__version__}"
    page = report_html(runs, importances(runs.records), made=made, convention=convention, selection_rule=selection)
    say_unreadable(runs.unreadable)  # outcomes were read for the page
    write_output(out, page.encode())
    typer.echo(f"report: {out} ({len(page.encode()) / 2**20:.1f} MiB, {len(runs.records)} runs)", err=is_standard_output(out))


def importances(records: Sequence[Record]) -> dict[str, pd.DataFrame]:
    """Study -> importance of its varied settings; studies that do not allow it are left out."""
    from suite.leaderboard.study_figures import study_frame

    names = dict.fromkeys(study for record in records for study in record.trials)
    found = {name: importance(study_frame(records, name)) for name in names}
    return {name: frame for name, frame in found.items() if frame is not None}


def importance(table: pd.DataFrame) -> pd.DataFrame | None:
    """Importance of a ``study_frame``'s varied settings for its metrics on validation; None with few trials or none varied."""
    from suite.leaderboard.study_figures import parameters_of
    from suite.tuning.importance import LEAST_TRIALS, importance_frame

    varied = parameters_of(table)
    metrics = [column for column in table.columns if column.startswith("validation ") and table[column].notna().all()]
    if len(table) < LEAST_TRIALS or not metrics or not varied:
        return None
    trials = [{str(key): value for key, value in row.items()} for row in table[varied].to_dict("records")]
    return importance_frame(trials, {column.removeprefix("validation "): table[column].tolist() for column in metrics})
