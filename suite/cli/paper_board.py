"""A published table beside own runs on a terminal, and what its runs will cost."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterator

import pandas as pd

from suite.cli.tables import Column, Sheet, duration_text, print_sheet
from suite.counting import counted
from suite.leaderboard.paper import paper_notes
from suite.leaderboard.recipes import recipe_table
from suite.leaderboard.table import number_text, with_spread
from suite.workflows.papers import PaperPlan

GIB = 2.0**30
ROW = ["published method", "order", "backbone"]


def print_paper(name: str, frame: pd.DataFrame, limit: int | None) -> None:
    """One line per printed row: of each metric the printed value and the own one; below it what stands against a verdict."""
    metrics = list(dict.fromkeys(frame["metric"]))
    counts = ", ".join(f"{count} {verdict}" for verdict, count in frame["verdict"].value_counts().items())
    labels = [head for head in ("order", "backbone") if frame[head].nunique() > 1]
    columns = [
        Column("published method", wraps=True),
        *(Column(head, wraps=True) for head in labels),
        *(Column(f"{short}\n{whose}") for metric in metrics for short in [_short(metric)] for whose in ("printed", "own")),
        Column("n", optional=2),
        Column("grade", wraps=True, optional=1),
        Column("verdict", wraps=True),
    ]
    rows = [_line(part, metrics, labels) for _, group in frame.groupby(ROW, sort=False) for part in _printed(group)]
    title = f"{recipe_table(name).title}: printed values and own ones; {counts}"
    if limit is not None:
        title += (
            f"\nlimited to {counted(limit, 'row')} per split and task and 4 steps per task: a smoke test, no row gets a verdict"
        )
    sheet = Sheet(title, columns, rows, paper_notes(frame), labels=1 + len(labels), elsewhere="--csv FILE has them")
    print_sheet(sheet)


def print_paper_plan(name: str, plan: PaperPlan) -> None:
    """One line per kind of run, then the sums."""
    bill = plan.bill
    columns = [Column("runs that stand for", wraps=True), Column("runs"), Column("one run"), Column("together")]
    each = bill.runs // len(plan.names)
    rows = [
        [kind, str(each), duration_text(seconds), duration_text(seconds * each)]
        for kind, seconds in zip(plan.names, bill.run_seconds, strict=True)
    ]
    absent = dict.fromkeys(f"{row.published}, {row.backbone}: {row.absent}" for row in plan.rows if row.absent)
    notes = [
        f"{counted(bill.runs, 'run')}, {bill.at_a_time} at a time: {duration_text(bill.wall_seconds)} by the clock, "
        f"{bill.cpu_hours:.2f} CPU-hours, {bill.gpu_hours:.2f} GPU-hours",
        f"peak memory of a run {bill.peak_bytes / GIB:.2f} GiB, disk at most {bill.disk_bytes / GIB:.2f} GiB",
        "runs that are finished already cost nothing again",
        *(f"not implementable: {text}" for text in absent),
    ]
    print_sheet(Sheet(f"{recipe_table(name).title}: what it will cost here", columns, rows, notes))


def _printed(group: pd.DataFrame) -> Iterator[pd.DataFrame]:
    """The values of one method on one stream as sources print them; a source that repeats another adds no line."""
    seen: set[tuple[object, ...]] = set()
    for _, part in group.groupby(["setting", "source"], sort=False):
        key = tuple((metric, number_text(value)) for metric, value in zip(part["metric"], part["published"], strict=True))
        if key not in seen:
            seen.add(key)
            yield part.drop_duplicates("metric")


def _line(part: pd.DataFrame, metrics: list[str], labels: list[str]) -> list[str]:
    values = {row["metric"]: row for row in part.to_dict("records")}
    first = part.iloc[0]
    numbers = [text for metric in metrics for text in _pair(values.get(metric))]
    runs = [row["n"] for row in values.values() if not math.isnan(row["n"])]
    verdicts = part["verdict"].value_counts()
    verdict = verdicts.index[0] if len(verdicts) == 1 else ", ".join(f"{count} {text}" for text, count in verdicts.items())
    n = f"{max(runs):.0f}" if runs else "-"
    return [str(first["published method"]), *(str(first[head]) for head in labels), *numbers, n, first["grade"], str(verdict)]


def _pair(value: dict[Hashable, object] | None) -> tuple[str, str]:
    if value is None:
        return "-", "-"
    own, spread = (float(str(value[name])) for name in ("own", "own std"))
    return number_text(float(str(value["published"]))), with_spread(own, spread)


def _short(metric: str) -> str:
    return metric.partition(".")[2]
