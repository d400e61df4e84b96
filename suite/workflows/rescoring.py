"""A language run's stored answers scored by another rule, without generating again.

Training never looks at a score, so the result is the record that a run under the other rule would have left. It gets that
run's identity and folder (without checkpoints), stands beside the first one in every table and is never averaged with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from suite.benchmarks.stream import Stream, TextTask
from suite.benchmarks.text_scores import score_examples
from suite.config import RunConfig, validate
from suite.errors import ConfigError, DataError
from suite.runs.answers import answers_of
from suite.runs.finding import find_run
from suite.runs.outcomes import Key, Scores
from suite.runs.record import Cells, Record
from suite.runs.store import OpenRun, RunStore
from suite.workflows.arguments import Names, PathGiven, TrackingGiven, WatcherGiven, checked
from suite.workflows.places import DATA, OUT, folder_named
from suite.workflows.progress import QUIET
from suite.workflows.tracking import opened_tracking, track
from trainables.run import RunContext, prepare


@checked
def rescore(
    names: Names,
    scoring: str,
    *,
    out: PathGiven = OUT,
    data_root: PathGiven = DATA,
    tracking: TrackingGiven | None = None,
    watcher: WatcherGiven = QUIET,
) -> list[OpenRun]:
    """Score the stored answers of text runs by another rule; each result is a run of its own beside the first one.

    Args:
        names: ids of runs, unique beginnings of some, names, tags that one run alone has, or run folders.
        scoring: ``strict``, ``trace`` or ``treelora``.
        out, data_root, tracking: as in ``run``.

    Raises:
        SuiteError: see ``rescore_run``; the runs before the one that cannot be scored are stored.
    """
    out = folder_named(out)
    for name in names:
        _asked(name, scoring, out)  # all of them before anything is written
    with opened_tracking(tracking, out, watcher) as delivery:
        records = [rescore_run(name, scoring, out, folder_named(data_root)) for name in names]
        track(records, delivery, watcher)
    return [OpenRun(record, RunStore(out).folder(record.run_id)) for record in records]


def _asked(name: str, scoring: str, out: Path) -> OpenRun:
    """The run ``name``, which can be scored by another rule.

    Raises:
        ConfigError: there is no such run, it answers no prompts, or has this scoring already.
    """
    stored = find_run(RunStore(out), name)
    record = stored.record
    if record.scoring is None:
        raise ConfigError(f"run {record.run_id}: '{record.benchmark}' holds images and has no scoring rule; rescore text runs.")
    if record.scoring == scoring:
        raise ConfigError(f"run {record.run_id}: is scored by '{scoring}' already; choose another rule.")
    _with_scoring(record.config, scoring)
    return stored


def rescore_run(name: str, scoring: str, out: Path, data_root: Path) -> Record:
    """The record of run ``name`` under ``scoring``, stored below ``out``; one that is there already is returned unless ``name`` has gone on since.

    Raises:
        ConfigError: as ``_asked``.
        DataError: other data than the run had, or answers that are missing.
    """
    stored = _asked(name, scoring, out)
    record = stored.record
    assert record.scoring is not None
    config = _with_scoring(record.config, scoring)
    _require_data(record, _with_scoring(record.config, record.scoring), data_root)
    prepared = prepare(config, RunContext(out, data_root))
    if (found := prepared.store.open(prepared.run_id)) is not None:
        there = found.record
        if there.status == "finished" or (record.status != "finished" and record.tasks_done <= there.tasks_done):
            return there
    texts = answers_of(stored)
    outcomes = _scores(record, prepared.stream, texts, scoring)
    update = {
        "run_id": prepared.run_id,
        "config": config.resolved(),
        "config_hash": config.config_hash(),
        "settings_hash": config.settings_hash(),
        "data_fingerprint": prepared.stream.fingerprint(),
        "setting": prepared.stream.setting,
        "scoring": scoring,
        "metrics": list(prepared.stream.metrics),
        "validation": _matrix(record.validation, outcomes, "validation"),
        "test": _matrix(record.test, outcomes, "test"),
    }
    rescored = record.model_copy(update=update)
    prepared.store.begin(config, prepared.run_id)
    return prepared.store.note_all(rescored, outcomes, texts)


def _with_scoring(fields: Mapping[str, object], scoring: str) -> RunConfig:
    benchmark = fields["benchmark"]
    assert isinstance(benchmark, Mapping)
    return validate(RunConfig, {**fields, "benchmark": {**benchmark, "scoring": scoring}}, where="rescore")


def _require_data(record: Record, config: RunConfig, data_root: Path) -> None:
    if config.benchmark.open(data_root).fingerprint() != record.data_fingerprint:
        raise DataError(f"run {record.run_id}: the data under {data_root} is not what it answered; give its data root.")


def _scores(record: Record, stream: Stream, texts: Mapping[str, list[str]], scoring: str) -> dict[Key, Scores]:
    found: dict[Key, Scores] = {}
    for split, cells in (("validation", record.validation), ("test", record.test)):
        for row, line in enumerate(cells):
            for column, cell in enumerate(line):
                if cell is None:
                    continue
                answers = texts.get(f"{split}/{row}/{column}")
                task = stream.tasks[column]
                assert isinstance(task, TextTask)
                if answers is None:
                    raise DataError(
                        f"run {record.run_id}: its answers to {split} of '{task.name}' after task {row} are not stored; run it again."
                    )
                examples = getattr(task, split)
                scores = score_examples(task.metric, scoring, answers, examples.answers, examples.prompts)
                found[split, row, column] = scores.astype(np.float32)
    return found


def _matrix(cells: Cells, outcomes: Mapping[Key, Scores], split: str) -> Cells:
    """Means of the new scores where the old matrix has a cell."""
    return [
        [
            None if cell is None else float(outcomes[split, row, column].astype(np.float64).mean())
            for column, cell in enumerate(line)
        ]
        for row, line in enumerate(cells)
    ]
