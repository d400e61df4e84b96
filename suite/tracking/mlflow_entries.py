"""What MLflow is told of a record: parameters, metrics and tags under keys that it takes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from suite.runs.record import Record, setting_text
from suite.tracking.keys import config_fields
from suite.tracking.run_metrics import points

if TYPE_CHECKING:
    from mlflow.entities import Metric

STUDY = "codyra.study"
STORED = "codyra.stored"  # status and tasks done of what was logged last
LONGEST_PARAM, LONGEST_TAG = 500, 5000  # characters; what is cut off stands in record.json and config.yaml


def metrics(record: Record, first_row: int) -> list[Metric]:
    """Metrics of the rows from ``first_row`` on; their time stamps are the record's, so that a repeated batch adds nothing."""
    from mlflow.entities import Metric

    at = millis(record)
    return [Metric(key, value, at + row, row) for row, key, value in points(record, first_row)]


def millis(record: Record, *, end: bool = False) -> int:
    moment = (record.ended_at or record.started_at) if end else record.started_at
    return int(moment.timestamp() * 1000)


def run_tags(record: Record) -> dict[str, str]:
    """What a run is found by in MLflow's own pages."""
    return {
        "benchmark": record.benchmark,
        "method": record.method,
        "setting": setting_text(record.setting)[:LONGEST_TAG],
        "seed": str(record.config["seed"]),
        "status": record.status,
        "reason": (record.reason or "")[:LONGEST_TAG],
        "config_hash": record.config_hash,
        "settings_hash": record.settings_hash,
        "data_fingerprint": record.data_fingerprint,
        "code_version": record.code_version,
        "commit": record.commit or "",
        "dirty": str(record.dirty),
        "gpu": str(record.hardware.get("gpu", "")),
    }


def study_tags(record: Record, parent: str | None) -> dict[str, str]:
    """Which study a run belongs to, and which others use it.

    Args:
        parent: MLflow's id of the study's own run; None = the run has one already, or is in no study.
    """
    tags = {"mlflow.parentRunId": parent} if parent else {}
    if record.study is not None:
        tags |= {STUDY + ".name": record.study, "trial": str(record.trial)}
    if record.reused_by:
        tags |= {STUDY + ".reused_by": ",".join(record.reused_by)[:LONGEST_TAG]}
    return tags


def flat_params(config: Mapping[str, Any]) -> dict[str, str]:
    """Every field of a config under its dotted name, as text."""
    return {key: str(value)[:LONGEST_PARAM] for key, value in config_fields(config)}
