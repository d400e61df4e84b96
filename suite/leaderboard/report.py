"""One self-contained page from the runs: tables, pictures, settings that won, selection, costs, published numbers, environment."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import yaml

from suite.errors import SuiteError
from suite.leaderboard.figures import cell_array, task_curves_figure
from suite.leaderboard.ledger import LEDGERS, published_values
from suite.leaderboard.rank_figures import rank_comparison_figure, rank_map_figure, update_figure
from suite.leaderboard.run_set import RunSet
from suite.leaderboard.standing import board, contestants, row_labels
from suite.leaderboard.study_figures import history_figure, importance_figure, slices_figure, study_frame
from suite.leaderboard.table import metric_columns
from suite.leaderboard.tradeoff_figures import cost_figure, critical_difference_figure, tradeoff_figure, tradeoff_frame
from suite.record import Record

if TYPE_CHECKING:
    from matplotlib.figure import Figure

GROUP = ["benchmark", "setting", "data_fingerprint", "scoring"]
COSTS = {"trainable_parameters": "trainable", "wall_seconds": "seconds", "peak_gib": "GiB", "carried_bytes": "carried bytes"}
RANKS = {"effective_rank": "effective rank", "no_signal_rank": "no-signal rank"}
ABOUT = {"n": "n", "unfinished": "unfinished", "budget": "budget", "selection": "selection", "optimism": "optimism"}
MOST_CURVES = 8  # rows per picture of lines; more cannot be told apart


@dataclass(frozen=True)
class Cell:
    """One table cell: what is shown, and what it is sorted by."""

    text: str
    value: float | str


@dataclass(frozen=True)
class Picture:
    """A drawing as an SVG data URI with the text that stands for it."""

    source: str
    text: str


@dataclass(frozen=True)
class MatrixView:
    """A row's mean test accuracy matrix: cells as (text, share of 100 or None, just learned)."""

    label: str
    tasks: Sequence[str]
    lines: Sequence[tuple[str, Sequence[tuple[str, float | None, bool]]]]


@dataclass(frozen=True)
class Section:
    """Rows that were judged on the same examples by the same rule."""

    anchor: str
    title: str
    benchmark: str
    columns: Sequence[str]
    rows: Sequence[tuple[str, str, Sequence[Cell]]]  # standing, label, cells
    pictures: Sequence[Picture]
    matrices: Sequence[MatrixView]
    winner: str
    winner_settings: str
    published: Sequence[Mapping[str, Any]] = field(default_factory=tuple)


@dataclass(frozen=True)
class StudyView:
    """A study: how its trial was chosen, and its pictures."""

    name: str
    notes: str
    pictures: Sequence[Picture]


def report_html(
    runs: RunSet,
    importances: Mapping[str, pd.DataFrame],
    *,
    made: str,
    convention: str | None = None,
    selection_rule: str | None = None,
) -> str:
    """The page.

    Args:
        importances: study -> importance of its parameters, as ``suite.tuning.importance`` makes it.
        made: when and by what, for the page's foot.
    """
    from jinja2 import Environment, select_autoescape

    frame = board(runs, convention, selection_rule=selection_rule)
    source = files("suite.leaderboard").joinpath("report.html").read_text(encoding="utf-8")
    template = Environment(autoescape=select_autoescape(default_for_string=True), trim_blocks=True, lstrip_blocks=True).from_string(source)
    sections = [_section(number, part, runs) for number, (_, part) in enumerate(frame.groupby(GROUP, sort=False))]
    return template.render(
        sections=sections,
        studies=_studies(runs.records, frame, importances),
        environment=_environment(runs.records),
        counts=f"Runs: {len(runs.records)}, rows: {len(frame)}, streams: {len(sections)}",
        convention=convention or "each benchmark's own",
        made=made,
    )


def _section(number: int, part: pd.DataFrame, runs: RunSet) -> Section:
    known = {record.run_id: record for record in runs.records}
    labels = row_labels(part)
    groups = {
        label: [known[name] for name in str(names).split(",") if name]
        for label, names in zip(labels, part["runs"], strict=True)
    }
    finished = {label: found for label, found in groups.items() if found}
    first = part.iloc[0]
    metrics = [name for name in metric_columns(part) if part[name].notna().any()]
    columns = ["method", *metrics, *_shown({**RANKS, **COSTS, **ABOUT}, part).values(), "settings"]
    best = next((label for label, standing in zip(labels, part["standing"], strict=True) if standing == "best"), labels[0])
    benchmark = str(first["benchmark"])
    return Section(
        anchor=f"stream-{number}",
        title=f"{benchmark}: {first['setting']}",
        benchmark=benchmark,
        columns=columns,
        rows=[_table_row(row, metrics, part) for row in part.to_dict("records")],
        pictures=_pictures(part, finished, runs, metrics),
        matrices=[_matrix(label, found) for label, found in finished.items()],
        winner=best,
        winner_settings=_settings(finished[best][0]) if best in finished else "",
        published=_published(benchmark),
    )


def _table_row(row: Mapping[Any, Any], metrics: Sequence[str], part: pd.DataFrame) -> tuple[str, str, list[Cell]]:
    cells = [Cell(_with_spread(row[name], row[f"{name} std"]), _sortable(row[name])) for name in metrics]
    cells += [_cell(row[name]) for name in _shown({**RANKS, **COSTS, **ABOUT}, part)]
    cells.append(Cell(str(row["settings_hash"])[:8], str(row["settings_hash"])))
    return str(row["standing"]), str(row["method"]), cells


def _shown(columns: Mapping[str, str], part: pd.DataFrame) -> dict[str, str]:
    """Columns that say something in this part."""
    return {name: title for name, title in columns.items() if any(not _blank(value) for value in part[name])}


def _blank(value: Any) -> bool:
    return value in ("", "none") or (isinstance(value, float) and math.isnan(value))


def _cell(value: Any) -> Cell:
    if isinstance(value, str):
        return Cell(value, value)
    if math.isnan(value):
        return Cell("-", -math.inf)
    return Cell(f"{value:,.0f}" if value == int(value) else f"{value:,.1f}" if value >= 10 else f"{value:.2f}", float(value))


def _with_spread(mean: float, spread: float) -> str:
    if math.isnan(mean):
        return "-"
    return f"{mean:.1f}" if math.isnan(spread) else f"{mean:.1f} ± {spread:.1f}"


def _sortable(value: float) -> float:
    return -math.inf if math.isnan(value) else float(value)


def _pictures(part: pd.DataFrame, finished: Mapping[str, Sequence[Record]], runs: RunSet, metrics: Sequence[str]) -> list[Picture]:
    if not finished:
        return []
    title = str(part.iloc[0]["benchmark"])
    known = {record.run_id: record for record in runs.records}
    few = dict(list(finished.items())[:MOST_CURVES])
    firsts = [found[0] for found in few.values()]
    ranked = [record for record in firsts if any(result.effective_rank for result in record.results)]
    moved = [record for record in firsts if any(result.update_norm for result in record.results)]
    learned = tradeoff_frame(list(finished.items()))
    chosen = part[[not math.isnan(value) for value in part["zscl.last"]]] if "zscl.last" in part else part.iloc[:0]
    wanted: list[tuple[str, Callable[[], Figure], bool]] = [
        (f"{title}: plasticity against retention, one mark per row", lambda: tradeoff_figure(learned, title), len(learned) > 0),
        (f"{title}: accuracy on each task after every task", lambda: task_curves_figure(few), True),
        (
            f"{title}: mean ranks over tasks with their critical difference",
            lambda: critical_difference_figure(contestants(part, known, runs.last_outcomes), title),
            len(finished) > 2,
        ),
        (f"{title}: last accuracy against time and parameters", lambda: cost_figure(chosen, "zscl.last", title), len(chosen) > 1),
        (f"{title}: effective rank per weight beside its no-signal value", lambda: rank_comparison_figure(ranked), bool(ranked)),
        (f"{title}: effective rank per layer and weight", lambda: rank_map_figure(ranked[0]), bool(ranked)),
        (f"{title}: size of each task's update and cumulative shift", lambda: update_figure(moved), bool(moved)),
    ]
    return [picture for text, draw, there in wanted if there and (picture := _drawn(text, draw)) is not None]


def _drawn(text: str, draw: Callable[[], Figure]) -> Picture | None:
    """The picture, or None where the rows do not allow it (too few, or judged on different examples)."""
    try:
        figure = draw()
    except SuiteError:
        return None
    return Picture(_svg(figure, text), text)


def _svg(figure: Figure, salt: str) -> str:
    """Data URI with text as text: small, and readable by screen readers."""
    import matplotlib as mpl

    buffer = io.BytesIO()
    with mpl.rc_context({"svg.hashsalt": salt, "svg.fonttype": "none"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    return "data:image/svg+xml;base64," + base64.b64encode(buffer.getvalue()).decode()


def _matrix(label: str, records: Sequence[Record]) -> MatrixView:
    values = np.mean([cell_array(record.test) for record in records], axis=0)
    tasks = records[0].tasks
    names = ["before", *(f"after {name}" for name in tasks)]
    lines = [
        (name, [("-" if math.isnan(v) else f"{v:.0f}", None if math.isnan(v) else v / 100, column == row - 1) for column, v in enumerate(line)])
        for row, (name, line) in enumerate(zip(names, values, strict=False))
    ]
    shown = label if len(records) == 1 else f"{label}, mean of {len(records)}"
    return MatrixView(shown, tasks, lines)


def _settings(record: Record) -> str:
    fields = {key: record.config[key] for key in ("method", "training", "backbone")}
    return yaml.safe_dump(fields, sort_keys=False, allow_unicode=True)


def _published(benchmark: str) -> list[Mapping[str, Any]]:
    if benchmark not in LEDGERS:
        return []
    return [{str(key): value for key, value in row.items()} for row in published_values(benchmark).to_dict("records")]


def _studies(records: Sequence[Record], frame: pd.DataFrame, importances: Mapping[str, pd.DataFrame]) -> list[StudyView]:
    names = dict.fromkeys(record.study for record in records if record.study)
    return [_study(str(name), [r for r in records if r.study == name], frame, importances.get(str(name))) for name in names]


def _study(name: str, trials: Sequence[Record], frame: pd.DataFrame, importance: pd.DataFrame | None) -> StudyView:
    table = study_frame(trials)
    how = "; ".join(
        f"{row['method']} {str(row['settings_hash'])[:8]} chosen among {row['trials']} finished trials by {row['selection']}, "
        f"optimism {row['optimism']:.1f} points"
        for _, row in frame[frame["study"] == name].iterrows()
    )
    wanted: list[tuple[str, Callable[[], Figure]]] = []
    if importance is not None and len(importance):
        wanted.append(("importance of settings", lambda: importance_figure(importance, name)))
    if len(table) > 1:
        wanted.append(("best value so far per trial", lambda: history_figure(table, name)))
        wanted.append(("every varied setting against validation accuracy", lambda: slices_figure(table, name)))
    pictures = [p for text, draw in wanted if (p := _drawn(f"study {name}: {text}", draw)) is not None]
    return StudyView(name, how, pictures)


def _environment(records: Sequence[Record]) -> list[tuple[str, str]]:
    """What the runs were made with; several values where they differ."""
    found: dict[str, set[str]] = {}
    for record in records:
        facts = {
            "commit": (record.commit or "unknown") + (" (changed files)" if record.dirty else ""),
            "code version": record.code_version,
            "data fingerprint": f"{record.benchmark} {record.data_fingerprint[:12]}",
            "carrier": record.carrier,
            **{f"{key}": str(value) for key, value in record.hardware.items()},
            **record.versions,
        }
        for key, value in facts.items():
            found.setdefault(key, set()).add(value)
    return [(key, ", ".join(sorted(values))) for key, values in found.items()]
