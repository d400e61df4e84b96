"""What a list says of a stored run, and all runs as one table."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from suite.leaderboard.selection import headline, metric_value
from suite.leaderboard.table import cost_columns
from suite.runs.record import setting_text
from suite.workflows.arguments import PathGiven, WatcherGiven, checked
from suite.workflows.places import OUT
from suite.workflows.progress import QUIET
from suite.workflows.tables import StoredRun, runs

if TYPE_CHECKING:
    import pandas as pd


def run_row(run: StoredRun) -> dict[str, Any]:
    """A run in a list: what it is, how it ended, its headline metric, its labels."""
    record = run.record
    name = headline(record.metrics)
    return {
        "run_id": record.run_id,
        "name": run.name,
        "benchmark": record.benchmark,
        "setting": setting_text(record.setting),
        "method": record.method,
        "seed": record.config["seed"],
        "status": record.status,
        "reason": record.reason,
        "tasks_done": record.tasks_done,
        "tasks": len(record.tasks),
        "metric": name,
        "value": metric_value(record, name) if record.status == "finished" else None,
        "started_at": record.started_at,
        "ended_at": record.ended_at,
        "studies": record.trials,
        "tags": run.labels.tags,
        "note": run.labels.note,
        "folder": run.folder,
    }


@checked
def run_table(
    *,
    benchmark: str | None = None,
    method: str | None = None,
    setting: str | None = None,
    study: str | None = None,
    tag: str | None = None,
    out: PathGiven = OUT,
    watcher: WatcherGiven = QUIET,
) -> pd.DataFrame:
    """The runs below ``out`` as a DataFrame, one row each, the newest first.

    Columns: those of ``runs list --json``; every metric of the test matrix in percent (NaN where the run has not ended or the stream
    leaves it undefined); costs as in ``leaderboard``; ``validation.<headline metric>``; hashes, ``commit`` and ``lr``.

    Args:
        benchmark, method, setting, study, tag, out: as in ``runs``.

    Raises:
        SuiteError: as ``runs``.
    """
    import pandas as pd

    found = runs(benchmark=benchmark, method=method, setting=setting, study=study, tag=tag, out=out, watcher=watcher)
    rows = [_whole_row(run) for run in sorted(found, key=lambda run: run.record.started_at, reverse=True)]
    return pd.DataFrame(rows)


def _whole_row(run: StoredRun) -> dict[str, Any]:
    record = run.record
    row = run_row(run)
    row["folder"], row["value"] = str(Path(run.folder)), math.nan if row["value"] is None else row["value"]
    row |= {name: metric_value(record, name) for name in record.metrics}
    row[f"validation.{headline(record.metrics)}"] = metric_value(record, headline(record.metrics), "validation")
    row |= dict(cost_columns(record))
    hashes = ("config_hash", "settings_hash", "data_fingerprint", "code_version")
    return (
        row
        | {name: getattr(record, name) for name in hashes}
        | {"commit": record.commit, "lr": record.config["training"]["lr"]}
    )
