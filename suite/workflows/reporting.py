"""Everything that is known about some runs on one page that can be sent, and single examples on a second one beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

from suite import __version__
from suite.benchmarks.stream import Stream
from suite.config import validate
from suite.errors import SuiteError
from suite.files import is_standard_output, write_output
from suite.leaderboard.example_browser import example_page
from suite.leaderboard.report import report_html, report_sections
from suite.leaderboard.report_sections import Section
from suite.leaderboard.runs import RunSet, load_runs
from suite.parts import BenchmarkConfig
from suite.registry import BENCHMARKS
from suite.runs.answers import answers_of
from suite.runs.record import Record
from suite.runs.store import RunStore
from suite.tracking.trackers import tracker_for
from suite.workflows.arguments import PathGiven, TrackingGiven, WatcherGiven, checked
from suite.workflows.importance import importances
from suite.workflows.places import DATA, OUT, folder_named, output_file
from suite.workflows.progress import QUIET, Watcher
from suite.workflows.stored_studies import study_objectives
from suite.workflows.tracking import say_unreadable, say_waiting
from suite.workflows.tunings import shown_tunings


@dataclass(frozen=True)
class Page:
    """A page that was written.

    Attributes:
        html: all of it; it needs no outside resource.
        runs: how many runs it shows.
        examples: the page of single examples beside it; None where there is none.
    """

    path: Path
    html: str
    runs: int
    examples: Path | None = None


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
    title: str | None = None,
    examples: bool = True,
    out: PathGiven = OUT,
    data_root: PathGiven = DATA,
    tracking: TrackingGiven | None = None,
    watcher: WatcherGiven = QUIET,
) -> Page:
    """Write who wins, fronts, tables, pictures, winning settings, tunings below ``out``, studies, published numbers as one HTML file.

    Args:
        to: the file; ``-`` is standard output.
        title: what the runs belong to, for the page's title; None = the name of the folder that they lie in.
        examples: write a second file, ``<name>_examples.html``: which test examples one row gets right and another one wrong.
        data_root: where the data of real benchmarks lies, for what these examples look like; without it they are numbers alone.
        benchmark, method, setting, study, tag, convention, selection, out, tracking: as in ``leaderboard``.

    Raises:
        SuiteError: nothing is stored, or the filters leave nothing.
    """
    file, place = output_file(to), folder_named(out)
    say_waiting(tracker_for(tracking, place), watcher)
    filters = {"benchmark": benchmark, "method": method, "setting": setting, "study": study, "tag": tag}
    runs = load_runs(tracking, filters, place)
    made = f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC by codyra-suite {__version__}"
    tunings = shown_tunings(runs, place, watcher)
    sections = report_sections(runs, tunings=tunings, convention=convention, selection_rule=selection)
    beside = _examples_beside(file) if examples and not is_standard_output(file) else None
    single = _examples(sections, runs, place, folder_named(data_root), file, made, watcher) if beside else ""
    html = report_html(
        runs,
        importances(runs.records),
        made=made,
        sections=sections,
        tunings=tunings,
        objectives=study_objectives(place),
        project=title or project_name(place),
        convention=convention,
        examples=quote(beside.name) if beside and single else "",
    )
    say_unreadable(runs.unreadable, watcher)  # outcomes were read for the page
    if beside and single:
        write_output(beside, single.encode())
    write_output(file, html.encode())
    return Page(file, html, len(runs.records), beside if single else None)


def project_name(out: Path) -> str:
    """What runs below ``out`` belong to: the name of the folder that they were made in, or of their own where that is not the usual one."""
    place = out.resolve()
    return (place.parent if place.name == OUT.name else place).name or "codyra-suite"


def _examples_beside(file: Path) -> Path:
    return file.with_name(f"{file.stem}_examples.html")


def _examples(
    sections: Sequence[Section], runs: RunSet, out: Path, data_root: Path, file: Path, made: str, watcher: Watcher
) -> str:
    """The page of single examples; of streams whose data is not at hand the watcher is told."""
    store = RunStore(out)

    def answers(record: Record) -> Mapping[str, list[str]]:
        try:
            found = store.open(record.run_id)
            return answers_of(found) if found else {}
        except SuiteError as error:
            watcher.say(f"single examples are shown without its answers: {error}")
            return {}

    known = {record.run_id: record for record in runs.records}
    streams: dict[str, Stream] = {}
    with watcher.begin("opening the data of single examples", len(sections)) as work:
        for number, section in enumerate(sections):
            ids = [name for names in section.part["runs"] for name in str(names).split(",") if name]
            if ids:
                try:
                    streams[section.anchor] = _opened(known[ids[0]], data_root)
                except (SuiteError, OSError) as error:
                    watcher.say(f"examples of {section.title} are numbers alone: {error}")
            work.done(number + 1)
    return example_page(sections, runs, streams, answers, back=quote(file.name), made=made)


def _opened(record: Record, data_root: Path) -> Stream:
    fields = record.config["benchmark"]
    config: BenchmarkConfig = validate(BENCHMARKS[fields["name"]], fields, where=f"run {record.run_id}: benchmark")
    return config.open(data_root)
