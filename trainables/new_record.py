"""The record of a run that begins: what it is, on what, by which code; no row yet."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from suite.benchmarks.stream import Stream
from suite.config import RunConfig
from suite.data.examples import SPLITS
from suite.hashing import text_hash
from suite.runs.identity import outside_versions, run_code
from suite.runs.provenance import commit_and_dirty, versions
from suite.runs.record import Record


def new_record(config: RunConfig, stream: Stream, **owned: Any) -> Record:
    """Fields that follow from config, stream and code, and ``owned``, those that depend on who runs it and where."""
    commit, dirty = commit_and_dirty()
    return Record(
        config=config.resolved(),
        config_hash=config.config_hash(),
        settings_hash=config.settings_hash(),
        code_version=run_code(config),
        commit=commit,
        dirty=dirty,
        versions={**versions(), **outside_versions(config)},
        benchmark=stream.name,
        setting=stream.setting,
        protocol=stream.protocol.value,
        scoring=stream.scoring,
        metrics=list(stream.metrics),
        tasks=list(stream.task_names),
        item_digests={s: [text_hash(getattr(t, s).ids)[:16] for t in stream.tasks] for s in SPLITS if s != "train"},
        started_at=datetime.now(UTC),
        **owned,
    )
