"""What MLflow is told of a record: parameters, metrics and tags under keys that it takes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

from suite.runs.labels import Labels
from suite.runs.record import Record, setting_text
from suite.tracking.keys import config_fields
from suite.tracking.run_metrics import points
from suite.tracking.tracker import RunFields

if TYPE_CHECKING:
    from mlflow.entities import Metric

RUN_ID = "codyra.run_id"
STUDY = "codyra.study"
TAGS, NOTE = "codyra.tags", "codyra.note"
DESCRIPTION = "mlflow.note.content"  # what MLflow's own page shows above a run
STORED = "codyra.stored"  # status and tasks done of what was logged last
LONGEST_PARAM, LONGEST_TAG = 500, 5000  # characters; what is cut off stands in record.json and config.yaml
CUT = "..."  # at the end of a tag that is not whole
BENCHMARK, METHOD, SETTING, STUDY_NAME, REUSED_BY = "benchmark", "method", "setting", f"{STUDY}.name", f"{STUDY}.reused_by"
ASKED = (BENCHMARK, METHOD, SETTING, STUDY_NAME, REUSED_BY, TAGS)  # what runs are asked for by
Condition = tuple[str, Literal["=", "ILIKE"], str]  # tag, comparison of MLflow, text or pattern


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
        BENCHMARK: record.benchmark,
        METHOD: record.method,
        SETTING: _tag(setting_text(record.setting)),
        "seed": str(record.config["seed"]),
        "status": record.status,
        "reason": _tag(record.reason or ""),
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
        tags |= {STUDY_NAME: record.study, "trial": str(record.trial)}
    if record.reused_by:
        tags |= {REUSED_BY: _tag(",".join(record.reused_by))}
    return tags


def label_tags(labels: Labels, known: Mapping[str, str]) -> dict[str, str]:
    """Tags and note for a run that has the tags ``known``; a description that was written in MLflow stays until the note changes."""
    if not labels and TAGS not in known:
        return {}
    tags = {TAGS: ", ".join(labels.tags), NOTE: labels.note}
    return tags if known.get(NOTE, "") == labels.note else {**tags, DESCRIPTION: labels.note}


def labels_of(tags: Mapping[str, str]) -> Labels:
    """What ``label_tags`` wrote; empty for what somebody else wrote there and that is none."""
    try:
        return Labels(tags=tuple(filter(None, tags.get(TAGS, "").split(", "))), note=tags.get(NOTE, ""))
    except ValueError:
        return Labels()


def fields_of(tags: Mapping[str, str]) -> RunFields | None:
    """What a run with these tags can be asked for by; None of one that was never logged whole."""
    if BENCHMARK not in tags or METHOD not in tags:
        return None
    studies = [tags.get(STUDY_NAME, ""), *tags.get(REUSED_BY, "").split(",")]
    return RunFields(tags[BENCHMARK], tags[METHOD], tags.get(SETTING, ""), tuple(filter(None, studies)), labels_of(tags).tags)


def conditions(name: str, value: str) -> list[Condition]:
    """At least one of these holds for every run whose field ``name`` of ``RunFields`` matches ``value``, and maybe for others."""
    if name not in ("study", "setting", "tag"):
        return [(name, "=", value)]
    # Other characters mean something in a pattern of one database or another; an underscore stands for any.
    within = f"%{re.sub(r'[^A-Za-z0-9 ,.:()+-]', '_', value)}%"
    if name == "tag":
        return [(TAGS, "ILIKE", within)]  # never cut, they are short and few
    tag = SETTING if name == "setting" else REUSED_BY
    whole: list[Condition] = [(STUDY_NAME, "=", value)] if name == "study" else []
    return [*whole, (tag, "ILIKE", within), (tag, "ILIKE", f"%{CUT}")]


def _tag(text: str) -> str:
    return text if len(text) <= LONGEST_TAG else text[: LONGEST_TAG - len(CUT)] + CUT


def flat_params(config: Mapping[str, Any]) -> dict[str, str]:
    """Every field of a config under its dotted name, as text."""
    return {key: str(value)[:LONGEST_PARAM] for key, value in config_fields(config)}
