"""Which projections, layers and tasks kept rank, always beside the value that schedule and initialisation alone would leave."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

import pandas as pd

from suite.errors import DataError
from suite.runs.record import Record

KEY = ["run", "method"]


def rank_frame(record: Record) -> pd.DataFrame:
    """One row per task, encoder, layer and placement weight: effective rank, no-signal rank, update and cumulative norm.

    Raises:
        DataError: the run learned with no low-rank part.
    """
    from suite.backbones.learner import slot_address  # torch behind it: loaded with the first run that has slots

    rows = []
    for result in record.results[1:]:
        for slot, rank in result.effective_rank.items():
            encoder, layer, weight = slot_address(slot)
            rows.append(
                {
                    "task": result.task,
                    "encoder": encoder,
                    "layer": layer,
                    "weight": weight,
                    "effective_rank": rank,
                    "no_signal_rank": math.nan if result.no_signal_rank is None else result.no_signal_rank,
                    "offered_rank": math.nan if result.offered_rank is None else result.offered_rank,
                    "update_norm": result.update_norm.get(slot, math.nan),
                    "cumulative_norm": result.cumulative_norm.get(slot, math.nan),
                }
            )
    if not rows:
        raise DataError(f"run {record.run_id}: method '{record.method}' has no ranks; name a low-rank run.")
    return pd.DataFrame(rows)


def ranks_of(records: Sequence[Record]) -> pd.DataFrame:
    """``rank_frame`` of several runs below each other, with columns ``run`` and ``method`` in front."""
    parts = []
    for record in records:
        part = rank_frame(record)
        part.insert(0, "run", record.run_id)
        part.insert(1, "method", record.method)
        parts.append(part)
    return pd.concat(parts, ignore_index=True)


def rank_summary(frame: pd.DataFrame, by: str) -> pd.DataFrame:
    """Mean effective rank and its no-signal value per ``by`` (task, weight, layer or encoder), in order of appearance."""
    columns = ["effective_rank", "no_signal_rank"]
    return frame.groupby(by, sort=False)[columns].mean().reset_index()


def run_label(run: str, method: str, labels: Mapping[str, str] | None) -> str:
    """What tables and pictures call a run: its label where one is given, else method and beginning of the run id."""
    return (labels or {}).get(run, f"{method} {run[:6]}")


def rank_comparison(frame: pd.DataFrame, by: str, labels: Mapping[str, str] | None = None) -> pd.DataFrame:
    """``rank_summary`` with a pair of columns per run: what it kept, and what it would have kept without any signal.

    Args:
        frame: as ``ranks_of`` makes it.
        labels: run id -> name of its column.
    """
    parts = []
    for (run, method), part in frame.groupby(KEY, sort=False):
        summary = rank_summary(part, by).set_index(by)
        name = run_label(str(run), str(method), labels)
        parts.append(summary.rename(columns={"effective_rank": name, "no_signal_rank": f"{name} no-signal"}))
    return pd.concat(parts, axis=1).reset_index()


def shift_frame(records: Iterable[Record]) -> pd.DataFrame:
    """Size of each task's update and of the cumulative shift, Frobenius norm over all adapted layers jointly.

    The CoDyRA page prints such numbers (tables 5 and 6) without a definition; the joint norm is the suite's reading.
    """
    rows = [
        {
            "run": record.run_id,
            "method": record.method,
            "task": result.task,
            "update": _joint(result.update_norm),
            "cumulative": _joint(result.cumulative_norm),
        }
        for record in records
        for result in record.results[1:]
    ]
    return pd.DataFrame(rows)


def _joint(norms: Mapping[str, float]) -> float:
    return math.sqrt(sum(value**2 for value in norms.values()))
