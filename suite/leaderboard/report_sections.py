"""A stream's section of the page: its table with intervals and marks, matrices and settings, pictures, published numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
import yaml

from suite.errors import DataError
from suite.leaderboard.comparison import Contestant
from suite.leaderboard.ledger import LEDGERS
from suite.leaderboard.ranking import contestants
from suite.leaderboard.report_cells import Cell, is_blank, number_cell, sortable
from suite.leaderboard.report_columns import BESIDE, PUBLISHED, Head, board_heads, heads_of
from suite.leaderboard.report_pictures import MatrixView, Picture, matrix_view, stream_pictures
from suite.leaderboard.report_winners import (
    Intervals,
    Winner,
    bounds_text,
    method_colours,
    points_text,
    row_intervals,
    stream_winner,
)
from suite.leaderboard.reproduction import own_frame, reproduction_frame
from suite.leaderboard.runs import RunSet
from suite.leaderboard.table import shown_metrics, undefined_metrics, with_spread
from suite.leaderboard.tests_told import marks_text, ranks_text
from suite.leaderboard.winners import tested_metric
from suite.runs.labels import Labels
from suite.runs.record import Record

MARKS = {"best": "best mean", "not separable": "not separable from the best mean"}
SAID_ONCE = {
    **{"budget": "budget per task", "commit": "commit", "selection": "chosen by", "decision": "decision per"},
    **{"task_id_at_test": "task id at test", "extra_data": "extra data", "mergeable": "mergeable"},
}  # no column where all rows agree


@dataclass(frozen=True)
class Row:
    """A row of the leaderboard with what opens below the table: matrix, settings, which runs, what people said of each."""

    label: str
    method: str
    colours: tuple[str, str]
    mark: str
    cells: Sequence[Cell]
    matrix: MatrixView | None
    settings: str
    runs: str
    notes: Sequence[str]


@dataclass(frozen=True)
class Section:
    """Rows that were judged on the same examples by the same rule; ``tested`` says what the marks and the rank diagram test.

    Attributes:
        part: the rows of the leaderboard that it shows, with the column ``label``.
        ledger: heads of the columns of ``published``.
    """

    anchor: str
    title: str
    tasks: str
    data: str
    benchmark: str
    columns: Sequence[Head]
    rows: Sequence[Row]
    notes: Sequence[str]
    tested: Sequence[str]
    pictures: Sequence[Picture]
    published: Sequence[Sequence[Cell]]
    remark: str
    winner: Winner
    part: pd.DataFrame
    ledger: Sequence[Head]


def stream_section(number: int, part: pd.DataFrame, runs: RunSet, also: Mapping[str, str]) -> Section:
    """The section of these rows of the leaderboard.

    Args:
        part: rows of one benchmark, setting, data and scoring rule, with ``label``.
        also: a row's ``runs`` -> what else is said of it.
    """
    known = {record.run_id: record for record in runs.records}
    labels = [str(label) for label in part["label"]]
    groups = {
        label: [known[name] for name in str(names).split(",") if name]
        for label, names in zip(labels, part["runs"], strict=True)
    }
    finished = {label: found for label, found in groups.items() if found}
    rivals = _contestants(part, known, runs)
    intervals = row_intervals(rivals)
    metrics, undefined, beside = shown_metrics(part), undefined_metrics(part), _columns_beside(part)
    tested = tested_metric(part) if intervals.own else ""
    benchmark, anchor, title = str(part.iloc[0]["benchmark"]), f"stream-{number}", _title(part)
    scoring = str(part.iloc[0]["scoring"])
    return Section(
        anchor=anchor,
        title=title,
        tasks=str(part.iloc[0]["tasks"]),
        data=f"data {part.iloc[0]['data_fingerprint']}" + (f", scoring {scoring}" if scoring else ""),
        benchmark=benchmark,
        columns=board_heads(metrics, tested, beside, with_intervals=bool(tested)),
        rows=[
            _row(
                row,
                [*_metric_cells(row, metrics, tested, intervals), *(_cell_beside(row, name) for name in beside)],
                groups,
                runs.labels,
                also,
            )
            for row in part.to_dict("records")
        ],
        notes=[f"{text}: {value}" for name, text in SAID_ONCE.items() if (value := _only(part[name]))]
        + ([f"undefined for these tasks: {', '.join(undefined)}"] if undefined else []),
        tested=_tested(part, list(finished.values())),
        pictures=stream_pictures(part, finished, rivals, metrics),
        published=_published(benchmark, [record for found in finished.values() for record in found]),
        remark=LEDGERS[benchmark].remark if benchmark in LEDGERS else "",
        winner=stream_winner(anchor, title, part, labels, intervals),
        part=part,
        ledger=heads_of(PUBLISHED),
    )


def _title(part: pd.DataFrame) -> str:
    return f"{part.iloc[0]['benchmark']}: {part.iloc[0]['setting']}"


def _contestants(part: pd.DataFrame, known: Mapping[str, Record], runs: RunSet) -> list[Contestant]:
    """The rows that can be compared; none where they were judged on different examples."""
    try:
        return contestants(part, known, runs.last_outcomes)
    except DataError:
        return []


def _tested(part: pd.DataFrame, finished: Sequence[Sequence[Record]]) -> list[str]:
    """What the marks of the table test, and the rank diagram where there is one."""
    tasks = len(finished[0][0].tasks) if finished else 0
    return [*filter(None, [marks_text(part)]), *([ranks_text(tasks)] if tasks > 1 and len(finished) > 2 else [])]


def _columns_beside(part: pd.DataFrame) -> list[str]:
    """Columns that say something in this part, without those whose one value stands below the table."""
    told = [name for name in BESIDE if any(not is_blank(value) for value in part[name])]
    return [name for name in told if not (name in SAID_ONCE and _only(part[name]))]


def _only(values: pd.Series) -> str:
    """The value when all rows have the same, else nothing."""
    found = {str(value) for value in values}
    return found.pop() if len(found) == 1 and not is_blank(next(iter(found))) else ""


def _metric_cells(row: Mapping[Any, Any], metrics: Sequence[str], tested: str, intervals: Intervals) -> list[Cell]:
    """Every metric, and beside the one that is tested its interval and its distance from the best row."""
    cells = []
    for name in metrics:
        cells.append(Cell(with_spread(row[name], row[f"{name} std"]), sortable(row[name])))
        if name == tested:
            own, behind = (found.get(str(row["label"])) for found in (intervals.own, intervals.behind))
            interval = "-" if own is None or math.isnan(own.low) else f"{points_text(own.low)} to {points_text(own.high)}"
            cells.append(Cell(interval, sortable(own.low) if own else ""))
            cells.append(
                Cell(f"{points_text(behind.mean)}{bounds_text(behind)}", sortable(behind.mean)) if behind else Cell("-", "")
            )
    return cells


def _cell_beside(row: Mapping[Any, Any], name: str) -> Cell:
    return number_cell(row[name], BESIDE[name][1])


def _row(
    row: Mapping[Any, Any],
    cells: Sequence[Cell],
    groups: Mapping[str, Sequence[Record]],
    labels: Mapping[str, Labels],
    also: Mapping[str, str],
) -> Row:
    found = groups[str(row["label"])]
    runs, left_out = (str(row[name]).replace(",", ", ") for name in ("runs", "left_out"))
    told = f"Seeds {row['seeds']}; runs {runs}; commit {row['commit'] or 'unknown'}." if found else ""
    told += f" Left out, because the setting was chosen by it: {left_out}." if left_out else ""
    said = [also[row["runs"]]] if row["runs"] in also else []
    return Row(
        label=str(row["label"]),
        method=str(row["method"]),
        colours=method_colours(str(row["method"])),
        mark=MARKS.get(str(row["standing"]), ""),
        cells=cells,
        matrix=matrix_view(found) if found else None,
        settings=_settings(found[0]) if found else "",
        runs=told,
        notes=[*said, *(_said(record.run_id, labels[record.run_id]) for record in found if record.run_id in labels)],
    )


def _said(run_id: str, labels: Labels) -> str:
    """Tags and note of a run as one text."""
    tags = f" [{', '.join(labels.tags)}]" if labels.tags else ""
    return f"{run_id}{tags}" + (f": {labels.note}" if labels.note else "")


def _settings(record: Record) -> str:
    fields = {key: record.config[key] for key in ("method", "training", "backbone")}
    return yaml.safe_dump(fields, sort_keys=False, allow_unicode=True)


def _published(benchmark: str, records: Sequence[Record]) -> list[list[Cell]]:
    """The ledger's lines with the verdict on these runs, those that own runs speak to first."""
    if benchmark not in LEDGERS:
        return []
    judged = reproduction_frame(own_frame(records), records, [benchmark])
    judged = judged.rename(columns={"published method": "method"}).sort_values("own", na_position="last", kind="stable")
    return [
        [number_cell(row[name]) for name in PUBLISHED] for row in judged[list(PUBLISHED)].fillna(math.nan).to_dict("records")
    ]
