"""Everything that is known about some runs on one page that can be sent."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from suite import __version__
from suite.files import write_output
from suite.leaderboard.report import report_html
from suite.leaderboard.runs import load_runs
from suite.tracking.trackers import tracker_for
from suite.workflows.arguments import PathGiven, TrackingGiven, WatcherGiven, checked
from suite.workflows.importance import importances
from suite.workflows.places import OUT, folder_named, output_file
from suite.workflows.progress import QUIET
from suite.workflows.tracking import say_unreadable, say_waiting
from suite.workflows.tunings import shown_tunings


@dataclass(frozen=True)
class Page:
    """A page that was written.

    Attributes:
        html: all of it; it needs no outside resource.
        runs: how many runs it shows.
    """

    path: Path
    html: str
    runs: int


@checked
def report(
    to: PathGiven = "report.html",
    *,
    benchmark: str | None = None,
    method: str | None = None,
    setting: str | None = None,
    study: str | None = None,
    tag: str | None = None,
    convention: str | None = None,
    selection: str | None = None,
    out: PathGiven = OUT,
    tracking: TrackingGiven | None = None,
    watcher: WatcherGiven = QUIET,
) -> Page:
    """Write tables, pictures, winning settings, tunings below ``out``, studies, published numbers and environment as one HTML file.

    Args:
        to: the file; ``-`` is standard output.
        benchmark, method, setting, study, tag, convention, selection, out, tracking: as in ``leaderboard``.

    Raises:
        SuiteError: nothing is stored, or the filters leave nothing.
    """
    file = output_file(to)
    say_waiting(tracker_for(tracking, folder_named(out)), watcher)
    filters = {"benchmark": benchmark, "method": method, "setting": setting, "study": study, "tag": tag}
    runs = load_runs(tracking, filters, folder_named(out))
    made = f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC by codyra-suite {__version__}"
    tunings = shown_tunings(runs, folder_named(out), watcher)
    html = report_html(
        runs, importances(runs.records), made=made, tunings=tunings, convention=convention, selection_rule=selection
    )
    say_unreadable(runs.unreadable, watcher)  # outcomes were read for the page
    write_output(file, html.encode())
    return Page(file, html, len(runs.records))
