"""What ``--dry-run`` prints: one line per run, then how many are trained and how long that takes."""

from __future__ import annotations

from typing import Any

from suite.cli.tables import Column, Sheet, duration_text, print_sheet
from suite.counting import counted
from suite.method_titles import method_title
from suite.workflows.foreseeing import ForeseenRun, Foresight


def print_foresight(found: Foresight) -> None:
    columns = [
        Column("run"),
        *(Column(head, wraps=True) for head in ("benchmark", "method")),
        Column("seed"),
        Column("what happens", wraps=True),
        Column("time"),
        Column("estimated from", wraps=True),
    ]
    rows = [
        [
            run.run_id[:8],
            _stream(run),
            method_title(run.config.resolved()["method"]),
            str(run.config.seed),
            _happens(run),
            "-" if not run.seconds else duration_text(run.seconds),
            "-" if run.state == "finished" else run.source,
        ]
        for run in found.runs
    ]
    trained, reused = len(found.trained), len(found.runs) - len(found.trained)
    several = f", {found.at_a_time} at a time" if trained > 1 and found.at_a_time > 1 else ""
    time = (
        "unknown without an earlier run of each" if found.seconds is None else f"about {duration_text(found.seconds)}{several}"
    )
    notes = [
        f"to train: {trained}, stored already: {reused}",
        *([f"time: {time}"] if trained else []),
        "nothing was trained or written",
    ]
    print_sheet(Sheet("", columns, rows, notes, labels=4))


def foresight_fields(found: Foresight) -> dict[str, Any]:
    """The same for ``--json``."""
    rows = [
        {
            "run_id": run.run_id,
            "benchmark": run.config.benchmark.name,
            "limit": run.config.benchmark.limit,
            "method": method_title(run.config.resolved()["method"]),
            "seed": run.config.seed,
            "state": run.state,
            "tasks_done": run.tasks_done,
            "tasks": run.tasks,
            "seconds": run.seconds,
            "source": run.source,
        }
        for run in found.runs
    ]
    return {"runs": rows, "trained": len(found.trained), "seconds": found.seconds, "at_a_time": found.at_a_time}


def _stream(run: ForeseenRun) -> str:
    benchmark = run.config.benchmark
    return benchmark.name if benchmark.limit is None else f"{benchmark.name} (limit {benchmark.limit})"


def _happens(run: ForeseenRun) -> str:
    if run.state == "finished":
        return "stored, is shown"
    return f"goes on after {run.tasks_done} of {counted(run.tasks, 'task')}" if run.state == "begun" else "is trained"
