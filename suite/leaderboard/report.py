"""One self-contained page from the runs: tables, pictures, settings that won, selection, costs, published numbers, environment."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import pandas as pd
import yaml

from suite.leaderboard.ledger import LEDGERS
from suite.leaderboard.ranking import JUDGED_TOGETHER, board, row_labels
from suite.leaderboard.report_cells import Cell, sortable
from suite.leaderboard.report_pictures import MatrixView, Picture, matrix_view, stream_pictures, study_pictures
from suite.leaderboard.report_tuning import tuning_views
from suite.leaderboard.reproduction import own_frame, reproduction_frame
from suite.leaderboard.runs import RunSet
from suite.leaderboard.study_figures import flat_config, parameters_of, study_frame
from suite.leaderboard.table import shown_metrics, undefined_metrics, with_spread
from suite.leaderboard.tests_told import marks_text, ranks_text
from suite.leaderboard.tuned import Tuning
from suite.runs.labels import Labels
from suite.runs.record import Record

MEGABYTE = 1e6
# Column of the frame -> its head here and what its values are divided by.
BESIDE: Mapping[str, tuple[str, float]] = {
    "n": ("n", 1),
    "effective_rank": ("effective rank", 1),
    "no_signal_rank": ("no-signal rank", 1),
    "wall_seconds": ("seconds", 1),
    "peak_gib": ("GiB", 1),
    "trainable_parameters": ("trainable", 1),
    "carried_bytes": ("carried MB", MEGABYTE),
    "decision": ("decision", 1),
    "task_id_at_test": ("task id at test", 1),
    "extra_data": ("extra data", 1),
    "mergeable": ("mergeable", 1),
    "budget": ("budget", 1),
    "selection": ("selection", 1),
    "commit": ("commit", 1),
    "unfinished": ("unfinished", 1),
    "tags": ("tags", 1),
}
SAID_ONCE = {
    **{"budget": "budget per task", "commit": "commit", "selection": "chosen by", "decision": "decision per"},
    **{"task_id_at_test": "task id at test", "extra_data": "extra data", "mergeable": "mergeable"},
}  # no column where all rows agree
LEDGER = (
    *("method", "metric", "published", "own", "n", "difference", "tolerance", "verdict", "why"),
    *("setting", "order", "backbone", "grade", "source"),
)


@dataclass(frozen=True)
class Row:
    """A row of the leaderboard with what opens below the table: matrix, settings, which runs, what people said of each."""

    label: str
    method: str
    mark: str
    cells: Sequence[Cell]
    matrix: MatrixView | None
    settings: str
    runs: str
    notes: Sequence[str]


@dataclass(frozen=True)
class Section:
    """Rows that were judged on the same examples by the same rule; ``tested`` says what the marks and the rank diagram test."""

    anchor: str
    title: str
    tasks: str
    data: str
    benchmark: str
    columns: Sequence[str]
    rows: Sequence[Row]
    notes: Sequence[str]
    tested: Sequence[str]
    pictures: Sequence[Picture]
    published: Sequence[Sequence[Cell]]
    remark: str


@dataclass(frozen=True)
class StudyView:
    """A study: how its trials ended, which was chosen how, and its pictures."""

    name: str
    ended: str
    columns: Sequence[str]
    chosen: Sequence[Sequence[Cell]]
    pictures: Sequence[Picture]


def report_html(
    runs: RunSet,
    importances: Mapping[str, pd.DataFrame],
    *,
    made: str,
    tunings: Sequence[Tuning] = (),
    convention: str | None = None,
    selection_rule: str | None = None,
) -> str:
    """The page.

    Args:
        importances: study -> importance of its parameters, as ``suite.tuning.importance`` makes it.
        made: when and by what, for the page's foot.
        tunings: finished or not; each benchmark of one has its table, closing sentences and pictures.
    """
    from jinja2 import Environment, select_autoescape

    frame = board(runs, convention, selection_rule=selection_rule)
    frame["label"] = ""
    for _, part in frame.groupby(JUDGED_TOGETHER, sort=False):
        frame.loc[part.index, "label"] = row_labels(part)
    source = files("suite.leaderboard").joinpath("report.html").read_text(encoding="utf-8")
    template = Environment(
        autoescape=select_autoescape(default_for_string=True), trim_blocks=True, lstrip_blocks=True
    ).from_string(source)
    sections = [_section(number, part, runs) for number, (_, part) in enumerate(frame.groupby(JUDGED_TOGETHER, sort=False))]
    return template.render(
        sections=sections,
        tunings=tuning_views(tunings),
        studies=_studies(runs.records, frame, importances),
        environment=_environment(runs.records),
        counts=f"Runs: {len(runs.records)}, rows: {len(frame)}, streams: {len(sections)}",
        convention=convention or "each benchmark's own",
        ledger=LEDGER,
        made=made,
    )


def _section(number: int, part: pd.DataFrame, runs: RunSet) -> Section:
    known = {record.run_id: record for record in runs.records}
    labels = [str(label) for label in part["label"]]
    groups = {
        label: [known[name] for name in str(names).split(",") if name]
        for label, names in zip(labels, part["runs"], strict=True)
    }
    finished = {label: found for label, found in groups.items() if found}
    metrics, undefined = shown_metrics(part), undefined_metrics(part)
    beside = _columns_beside(part)
    first = part.iloc[0]
    benchmark, scoring = str(first["benchmark"]), str(first["scoring"])
    rows = [
        _row(label, row, metrics, beside, groups[label], runs.labels)
        for label, row in zip(labels, part.to_dict("records"), strict=True)
    ]
    return Section(
        anchor=f"stream-{number}",
        title=f"{benchmark}: {first['setting']}",
        tasks=str(first["tasks"]),
        data=f"data {first['data_fingerprint']}" + (f", scoring {scoring}" if scoring else ""),
        benchmark=benchmark,
        columns=["method", *metrics, *(BESIDE[name][0] for name in beside)],
        rows=rows,
        notes=[f"{text}: {value}" for name, text in SAID_ONCE.items() if (value := _only(part[name]))]
        + ([f"undefined for these tasks: {', '.join(undefined)}"] if undefined else []),
        tested=_tested(part, list(finished.values())),
        pictures=stream_pictures(part, finished, runs, metrics),
        published=_published(benchmark, [record for found in finished.values() for record in found]),
        remark=LEDGERS[benchmark].remark if benchmark in LEDGERS else "",
    )


def _tested(part: pd.DataFrame, finished: Sequence[Sequence[Record]]) -> list[str]:
    """What the marks of the table test, and the rank diagram where there is one."""
    tasks = len(finished[0][0].tasks) if finished else 0
    return [*filter(None, [marks_text(part)]), *([ranks_text(tasks)] if tasks > 1 and len(finished) > 2 else [])]


def _columns_beside(part: pd.DataFrame) -> list[str]:
    """Columns that say something in this part, without those whose one value stands below the table."""
    told = [name for name in BESIDE if any(not _blank(value) for value in part[name])]
    return [name for name in told if not (name in SAID_ONCE and _only(part[name]))]


def _only(values: pd.Series) -> str:
    """The value when all rows have the same, else nothing."""
    found = {str(value) for value in values}
    return found.pop() if len(found) == 1 and not _blank(next(iter(found))) else ""


def _row(
    label: str,
    row: Mapping[Any, Any],
    metrics: Sequence[str],
    beside: Sequence[str],
    found: Sequence[Record],
    labels: Mapping[str, Labels],
) -> Row:
    cells = [Cell(with_spread(row[name], row[f"{name} std"]), sortable(row[name])) for name in metrics]
    cells += [_cell(row[name], BESIDE[name][1]) for name in beside]
    runs, left_out = (str(row[name]).replace(",", ", ") for name in ("runs", "left_out"))
    told = f"Seeds {row['seeds']}; runs {runs}; commit {row['commit'] or 'unknown'}." if found else ""
    told += f" Left out, because the setting was chosen by it: {left_out}." if left_out else ""
    return Row(
        label=label,
        method=str(row["method"]),
        mark={"best": "best", "not separable": "not separable from it"}.get(str(row["standing"]), ""),
        cells=cells,
        matrix=matrix_view(found) if found else None,
        settings=_settings(found[0]) if found else "",
        runs=told,
        notes=[_said(record.run_id, labels[record.run_id]) for record in found if record.run_id in labels],
    )


def _said(run_id: str, labels: Labels) -> str:
    """Tags and note of a run as one text."""
    tags = f" [{', '.join(labels.tags)}]" if labels.tags else ""
    return f"{run_id}{tags}" + (f": {labels.note}" if labels.note else "")


def _blank(value: Any) -> bool:
    return value in ("", "none") or (isinstance(value, float) and math.isnan(value))


def _cell(value: Any, scale: float = 1) -> Cell:
    if isinstance(value, str):
        return Cell(value, value)
    if math.isnan(value):
        return Cell("-", "")
    shown = value / scale
    text = f"{shown:,.0f}" if shown == int(shown) else f"{shown:,.1f}" if abs(shown) >= 10 else f"{shown:.2f}"
    return Cell(text, float(value))


def _setting(value: Any) -> Cell:
    """A hyperparameter with all its digits."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return Cell(f"{value:g}", float(value)) if is_number else Cell(str(value), str(value))


def _settings(record: Record) -> str:
    fields = {key: record.config[key] for key in ("method", "training", "backbone")}
    return yaml.safe_dump(fields, sort_keys=False, allow_unicode=True)


def _published(benchmark: str, records: Sequence[Record]) -> list[list[Cell]]:
    """The ledger's lines with the verdict on these runs, those that own runs speak to first."""
    if benchmark not in LEDGERS:
        return []
    judged = reproduction_frame(own_frame(records), records, [benchmark])
    judged = judged.rename(columns={"published method": "method"}).sort_values("own", na_position="last", kind="stable")
    return [[_cell(row[name]) for name in LEDGER] for row in judged[list(LEDGER)].fillna(math.nan).to_dict("records")]


def _studies(records: Sequence[Record], frame: pd.DataFrame, importances: Mapping[str, pd.DataFrame]) -> list[StudyView]:
    names = dict.fromkeys(study for record in records for study in record.trials)
    return [_study(name, [r for r in records if name in r.trials], frame, importances.get(name)) for name in names]


def _study(name: str, trials: Sequence[Record], frame: pd.DataFrame, importance: pd.DataFrame | None) -> StudyView:
    states = [record.status for record in trials]
    varied = parameters_of(study_frame(trials, name))
    known = {record.run_id: record for record in trials}
    chosen = []
    for row in frame.to_dict("records"):
        runs = [known[run] for name in ("left_out", "runs") for run in str(row[name]).split(",") if run in known]
        if not runs or row["selection"] == "none":
            continue
        settings = flat_config(runs[0].config)
        about = [_cell(row["label"]), _cell(float(row["trials"])), _cell(row["selection"]), _cell(float(row["oracle_gap"]))]
        chosen.append([*about, *(_setting(settings.get(field, "-")) for field in varied)])
    ended = ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states))
    columns = ["chosen", "among", "by", "oracle gap, points", *varied]
    return StudyView(name, f"Runs: {ended}.", columns, chosen, study_pictures(name, trials, importance))


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
