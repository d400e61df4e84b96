"""Which projections, layers and tasks kept rank, always beside the value that schedule and initialisation alone would leave."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import pandas as pd

from suite.backbones.learner import slot_address
from suite.errors import DataError
from suite.record import Record


def rank_frame(record: Record) -> pd.DataFrame:
    """One row per task, encoder, layer and placement weight: effective rank, no-signal rank, update and cumulative norm.

    Raises:
        DataError: the run learned with no low-rank part.
    """
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
                    "no_signal_rank": result.no_signal_rank,
                    "update_norm": result.update_norm.get(slot, math.nan),
                    "cumulative_norm": result.cumulative_norm.get(slot, math.nan),
                }
            )
    if not rows:
        raise DataError(f"run {record.run_id}: method '{record.config['method']['name']}' has no ranks; name a low-rank run.")
    return pd.DataFrame(rows)


def rank_summary(frame: pd.DataFrame, by: str) -> pd.DataFrame:
    """Mean effective rank and its no-signal value per ``by`` (task, weight, layer or encoder), in order of appearance."""
    columns = ["effective_rank", "no_signal_rank"]
    return frame.groupby(by, sort=False)[columns].mean(numeric_only=False).reset_index()


def shift_frame(records: Iterable[Record]) -> pd.DataFrame:
    """Size of each task's update and of the cumulative shift, Frobenius norm over all adapted layers jointly.

    The CoDyRA page prints such numbers (tables 5 and 6) without a definition; the joint norm is the suite's reading.
    """
    rows = [
        {
            "run": record.run_id,
            "method": record.config["method"]["name"],
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
