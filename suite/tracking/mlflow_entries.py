"""What MLflow is told of a record: parameters, metrics and tags under keys that it takes."""

from __future__ import annotations

import getpass
import hashlib
import html
import json
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

from suite.counting import counted
from suite.runs.labels import Labels
from suite.runs.record import Record, setting_text
from suite.tracking.about import About
from suite.tracking.keys import config_fields
from suite.tracking.run_metrics import points
from suite.tracking.tracker import RunFields

if TYPE_CHECKING:
    from mlflow.entities import DatasetInput, Metric

RUN_ID = "codyra.run_id"
STUDY = "codyra.study"
TAGS, NOTE = "codyra.tags", "codyra.note"
DESCRIPTION = "mlflow.note.content"  # what MLflow's own page shows above a run
TOLD = "codyra.described"  # hash of the description that the suite wrote last
SOURCE, USER = "mlflow.source.name", "mlflow.user"
ABOUT = "codyra.about"  # hash of title, text and numbers that were shown last
LONGEST_DIGEST, LONGEST_PROFILE = 36, 60000  # characters that MLflow takes of a data set
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


def label_tags(labels: Labels, known: Mapping[str, str], text: str = "") -> dict[str, str]:
    """Tags, note and description for a run that has the tags ``known``.

    Args:
        text: what the suite says of the run.
    """
    tags = {TAGS: ", ".join(labels.tags), NOTE: labels.note} if labels or TAGS in known else {}
    return {**tags, **told_tags(labels.note, text, known)}


def told_tags(note: str, text: str, known: Mapping[str, str]) -> dict[str, str]:
    """The description of a run or study: a person's note, and below it what the suite says.

    What somebody wrote into the description in MLflow stays until the note changes.

    Args:
        text: Markdown.
    """
    wanted = _tag("\n\n".join(filter(None, (note, text))))
    before = known.get(DESCRIPTION, "")
    is_ours = not before or before == known.get(NOTE, "") or known.get(TOLD) == _digest(before)
    if wanted == before or not (is_ours or known.get(NOTE, "") != note) or not (wanted or before):
        return {}
    return {DESCRIPTION: wanted, TOLD: _digest(wanted)}


def ending_text(record: Record) -> str:
    """Why a run was stopped or failed, in Markdown; empty for any other."""
    if record.status not in ("stopped", "failed"):
        return ""
    reason = f": {html.escape(record.reason, quote=False)}" if record.reason else ""
    return f"**{record.status}** after {record.tasks_done} of {counted(len(record.tasks), 'task')}{reason}"


def source_tags(about: About, commit: str | None, known: Mapping[str, str]) -> dict[str, str]:
    """Command and commit in the words of MLflow; what is there already stays, it tells of who showed the run first."""
    tags = {"mlflow.source.type": "LOCAL"} if about.command else {}
    tags |= {SOURCE: _tag(about.command)} if about.command else {}
    tags |= {"mlflow.source.git.commit": commit} if commit else {}
    return {key: value for key, value in tags.items() if key not in known}


def user_name() -> str:
    """Who is logged in; ``unknown`` where the system does not tell, as in some containers."""
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):
        return "unknown"


def dataset_of(record: Record) -> DatasetInput:
    """The stream that a run learned, as MLflow's page of a run shows it: name, fingerprint, setting and tasks."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    setting = {"setting": setting_text(record.setting), "fingerprint": record.data_fingerprint}
    profile = {"tasks": len(record.tasks), "names": record.tasks, "metrics": record.metrics}
    dataset = Dataset(
        name=record.benchmark,
        digest=record.data_fingerprint[:LONGEST_DIGEST],
        source_type="codyra-suite",
        source=json.dumps(setting),
        profile=json.dumps(profile)[:LONGEST_PROFILE],
    )
    return DatasetInput(dataset, [InputTag("mlflow.data.context", "training and evaluation")])


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


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _tag(text: str) -> str:
    return text if len(text) <= LONGEST_TAG else text[: LONGEST_TAG - len(CUT)] + CUT


def flat_params(config: Mapping[str, Any]) -> dict[str, str]:
    """Every field of a config under its dotted name, as text."""
    return {key: str(value)[:LONGEST_PARAM] for key, value in config_fields(config)}
