"""The leaderboard as a page that any web server shows: a row each with its group, result, files and the command that repeats it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from suite.counting import counted
from suite.leaderboard.pages import render
from suite.leaderboard.runs import RunSet
from suite.leaderboard.selection import headline
from suite.leaderboard.table import shown_metrics, with_spread
from suite.leaderboard.winners import row_names
from suite.runs.labels import NONE
from suite.runs.record import Record

STREAM = ["benchmark", "setting", "data_fingerprint"]
MARKS: Mapping[str, str] = {"best": "◆", "not separable": "◇"}


@dataclass(frozen=True)
class BoardRow:
    """One row of the page.

    Attributes:
        method: with the beginning of its settings' hash where several rows of a stream are of one method.
        result: the benchmark's headline metric with its spread; ``value`` sorts it.
        others: the other metrics, in words.
        runs: ids of the runs of its mean.
        command: that repeats the first of them, in a copy of the folder.
        notes: what people said of its runs, plain text.
    """

    groups: str
    benchmark: str
    setting: str
    method: str
    mark: str
    result: str
    value: float
    metric: str
    others: str
    seeds: str
    budget: str
    trainable: float
    data: str
    code: str
    commit: str
    chosen: str
    tags: str
    notes: Sequence[str]
    runs: Sequence[str]
    command: str


def board_html(
    frame: pd.DataFrame,
    runs: RunSet,
    groups: Mapping[str, Sequence[str]],
    *,
    made: str,
    remarks: Sequence[str] = (),
    reports: Mapping[str, str] | None = None,
) -> str:
    """The page.

    Args:
        frame: of ``suite.leaderboard.ranking.board``.
        groups: run id -> who published it.
        made: when and by what.
        remarks: what a reader must know of the whole: conflicts, runs that were left out, different data.
        reports: benchmark -> relative address of its report.
    """
    rows = board_rows(frame, runs, groups)
    return render(
        "board_page.html",
        rows=rows,
        made=made,
        remarks=remarks,
        reports=reports or {},
        benchmarks=list(dict.fromkeys(row.benchmark for row in rows)),
        people=sorted({group for names in groups.values() for group in names}),
    )


def board_rows(frame: pd.DataFrame, runs: RunSet, groups: Mapping[str, Sequence[str]]) -> list[BoardRow]:
    """The rows of ``frame`` that have a finished run, in their order."""
    known = {record.run_id: record for record in runs.records}
    metrics = shown_metrics(frame)
    called = {index: name for _, part in frame.groupby(STREAM, sort=False) for index, name in row_names(part).items()}
    found = []
    for index, row in frame.iterrows():
        names = [name for name in str(row["runs"]).split(",") if name in known]
        if names:
            found.append(_row({**row, "method": called[index]}, names, known[names[0]], metrics, runs, groups))
    return found


def _row(
    row: Mapping[Any, Any],
    names: Sequence[str],
    first: Record,
    metrics: Sequence[str],
    runs: RunSet,
    groups: Mapping[str, Sequence[str]],
) -> BoardRow:
    main = headline(first.metrics)
    others = [
        f"{name} {with_spread(row[name], row[f'{name} std'])}" for name in metrics if name != main and _is_there(row[name])
    ]
    who = sorted({group for name in names for group in groups.get(name, ())})
    return BoardRow(
        groups=", ".join(who),
        benchmark=str(row["benchmark"]),
        setting=str(row["setting"]),
        method=str(row["method"]),
        mark=MARKS.get(str(row["standing"]), ""),
        result=with_spread(row[main], row[f"{main} std"]),
        value=float(row[main]) if _is_there(row[main]) else -1.0,
        metric=main,
        others=", ".join(others),
        seeds=str(row["seeds"]),
        budget=str(row["budget"]),
        trainable=float(row["trainable_parameters"]) if _is_there(row["trainable_parameters"]) else 0.0,
        data=str(row["data_fingerprint"]),
        code=str(row["code_version"]),
        commit=str(row["commit"]),
        chosen="" if row["selection"] == "none" else f"{row['selection']}, of {counted(int(row['trials']), 'trial')}",
        tags=str(row["tags"]),
        notes=[note for name in names if (note := runs.labels.get(name, NONE).note)],
        runs=names,
        command=f"codyra-suite repeat {names[0]} --out .",
    )


def _is_there(value: Any) -> bool:
    return not (isinstance(value, float) and math.isnan(value))
