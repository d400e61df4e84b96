"""One self-contained page from the runs: who wins, fronts of studies, then tables, pictures, settings, published numbers, environment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import pandas as pd

from suite.leaderboard.pages import render
from suite.leaderboard.ranking import JUDGED_TOGETHER, board, row_labels
from suite.leaderboard.report_sections import Section, stream_section
from suite.leaderboard.report_studies import fronts, study_views, without_front
from suite.leaderboard.report_tuning import other_runs, tuning_views
from suite.leaderboard.report_winners import HEADS
from suite.leaderboard.runs import RunSet
from suite.leaderboard.tuned import Tuning
from suite.leaderboard.tuned_standings import names
from suite.runs.record import Record

MOST_NAMES = 5  # more methods or benchmarks are counted in the title


def report_sections(
    runs: RunSet, *, tunings: Sequence[Tuning] = (), convention: str | None = None, selection_rule: str | None = None
) -> list[Section]:
    """What the page says of each stream of these runs, in the order of the leaderboard."""
    frame = board(runs, convention, selection_rule=selection_rule)
    frame["label"] = ""
    parts = [part for _, part in frame.groupby(JUDGED_TOGETHER, sort=False)]
    for part in parts:
        frame.loc[part.index, "label"] = row_labels(part)
    also = other_runs(frame, tunings)
    return [stream_section(number, frame.loc[part.index], runs, also) for number, part in enumerate(parts)]


def report_html(
    runs: RunSet,
    importances: Mapping[str, pd.DataFrame],
    *,
    made: str,
    sections: Sequence[Section] | None = None,
    tunings: Sequence[Tuning] = (),
    objectives: Mapping[str, Sequence[str]] = MappingProxyType({}),
    project: str = "codyra-suite",
    convention: str | None = None,
    selection_rule: str | None = None,
    examples: str = "",
) -> str:
    """The page.

    Args:
        importances: study -> importance of its parameters, as ``suite.tuning.importance`` makes it.
        made: when and by what, for the page's head and foot.
        sections: what ``report_sections`` made of the same arguments; None = made here.
        tunings: finished or not; each benchmark of one has its table, closing sentences and pictures.
        objectives: study -> what it improved, of those that are known.
        project: what the runs belong to, for the title.
        examples: address of the page of single examples, beside this one; empty = there is none.
    """
    shown = sections
    if shown is None:
        shown = report_sections(runs, tunings=tunings, convention=convention, selection_rule=selection_rule)
    frame = pd.concat([section.part for section in shown]) if shown else pd.DataFrame()
    views = tuning_views(tunings)
    return render(
        "report.html",
        project=project,
        question=question(runs.records, tunings),
        dates=dates(runs.records),
        winners=[*(section.winner for section in shown), *(view.winner for view in views)],
        winner_heads=HEADS,
        fronts=fronts(runs.records, frame, objectives),
        without_front=without_front(runs.records, objectives),
        sections=shown,
        tunings=views,
        studies=study_views(runs.records, frame, importances),
        environment=_environment(runs.records),
        counts=f"Runs: {len(runs.records)}, rows: {len(frame)}, streams: {len(shown)}",
        convention=convention or "each benchmark's own",
        made=made,
        examples=examples,
    )


def question(records: Sequence[Record], tunings: Sequence[Tuning]) -> str:
    """What the page answers: which of these methods learns these streams best."""
    methods, benchmarks = (
        [*dict.fromkeys(found)] for found in zip(*((one.method, one.benchmark) for one in records), strict=True)
    )
    where = _listed(benchmarks, "streams")
    if len(methods) == 1:
        return f"How well does {methods[0]} learn {where}?"
    equal = (
        ", each tuned with the same budget"
        if tunings and set(benchmarks) <= {one for each in tunings for one in each.benchmarks}
        else ""
    )
    return f"Which of {_listed(methods, 'methods')} learns {where} best{equal}?"


def _listed(found: Sequence[str], what: str) -> str:
    return names(found) if len(found) <= MOST_NAMES else f"{len(found)} {what}"


def dates(records: Sequence[Record]) -> str:
    """The day of the runs, or the first and the last one."""
    days = sorted(f"{record.started_at:%Y-%m-%d}" for record in records)
    return days[0] if days[0] == days[-1] else f"{days[0]} to {days[-1]}"


def _environment(records: Sequence[Record]) -> list[tuple[str, str]]:
    """What the runs were made with; several values where they differ."""
    found: dict[str, set[str]] = {}
    for record in records:
        facts: dict[str, str] = {
            "commit": (record.commit or "unknown") + (" (changed files)" if record.dirty else ""),
            "code version": record.code_version,
            "data fingerprint": f"{record.benchmark} {record.data_fingerprint[:12]}",
            "carrier": record.carrier,
            **{str(key): str(value) for key, value in record.hardware.items()},
            **record.versions,
        }
        for key, value in facts.items():
            found.setdefault(key, set()).add(value)
    return [(key, ", ".join(sorted(values))) for key, values in found.items()]
