"""What ``sweep`` does around a study: read and keep its file, carry it out, log it, print the front."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import typer
import yaml

from suite.cli.pictures import attach_study
from suite.cli.progress import WorkProgress
from suite.cli.tables import Column, Sheet, print_sheet
from suite.cli.tracking import opened_sink, say_waiting
from suite.config import RunConfig, validate
from suite.errors import ConfigError
from suite.files import atomic_write
from suite.runs.identity import run_code
from suite.runs.mirror import RunMirror
from suite.runs.record import Record
from suite.runs.store import RunStore
from suite.runs.validation_view import ValidationView
from suite.tuning.carriage import Carriage
from suite.tuning.carry import carry_out
from suite.tuning.hypervolume import history
from suite.tuning.optuna_database import DATABASE
from suite.tuning.optuna_storage import DUPLICATE, earlier_points, has_trials, some_point
from suite.tuning.ray_session import ray_session
from suite.tuning.source import Suggestion
from suite.tuning.study import StudySource, point_config
from suite.tuning.study_config import StudyConfig
from suite.yaml_files import load_yaml
from trainables.resources import Resources

SHOWN_REASONS = 3
FILE = "sweep.yaml"  # the study's own copy
FIXED = ("space", "objectives")  # Optuna has their names and directions


def read_sweep(file: Path) -> StudyConfig:
    """The study that a sweep file describes, and whose space and ``run`` make a trial.

    Raises:
        ConfigError: all problems of the file in one message.
    """
    fields = load_yaml(file)
    try:
        config = validate(StudyConfig, {"name": file.stem, **fields}, where=str(file))
        point_config(config, some_point(config))
    except ConfigError as error:
        named = str(error).startswith(f"{file}: ")
        raise error if named else ConfigError(f"{file}: {error}") from None
    return config


def run_study(
    config: StudyConfig, carriage: Carriage, tracking: str | None, *, resume: bool, accept_changes: bool
) -> StudySource:
    """Carry out a study to its budget and print its best trials.

    Raises:
        ConfigError: the study exists and may not be continued, or its file has changed.
        KeyboardInterrupt: Ctrl-C came; the best so far was printed.
    """
    folder, fields = carriage.out.resolve() / "studies" / config.name, config.model_dump(mode="json")
    _may_begin(config.name, folder / FILE, fields, resume=resume, accept_changes=accept_changes)
    if resume:
        _say_other_code(config.name, carriage.out)
    else:
        earlier_points(config)
    RunMirror(carriage.storage).require_writable()
    sink, parent = opened_sink(tracking, carriage.out), None
    with (
        ray_session(carriage.address, config.resources),
        WorkProgress(f"study {config.name}", config.budget.trials) as progress,
        _undone_without_trials(folder, is_new=not resume),
    ):
        source = StudySource(config, folder, RunStore(carriage.out.resolve()))
        atomic_write(folder / FILE, yaml.safe_dump(fields, sort_keys=False).encode())  # a study with a file had a database

        def on_end(run: Suggestion, view: ValidationView | None, reason: str | None) -> None:
            progress.done(source.store.ended_trials(), source.best_note())

        def on_record(view: ValidationView) -> None:
            if sink is not None:
                sink.log_stored(view.run_id)

        carriage.on_record, carriage.on_end = on_record, on_end
        carriage.on_retry = _say_retry
        if sink is not None:
            sink.log_study(config.name, fields)
        is_whole = False
        try:
            is_whole = carry_out(source, carriage)
        finally:
            if sink is not None:
                parent = sink.end_study(config.name, finished=is_whole)
    if sink is not None and parent is not None:
        attach_study(sink, parent, source, carriage.out)
    if sink is not None:
        say_waiting(carriage.out)
    print_front(source)
    if not is_whole:
        raise KeyboardInterrupt
    return source


@contextmanager
def _undone_without_trials(folder: Path, *, is_new: bool) -> Iterator[None]:
    """A new study that breaks off before its first trial has not begun: nothing is left that the same command would trip over."""
    try:
        yield
    except BaseException:
        if is_new and not has_trials(folder):
            shutil.rmtree(folder, ignore_errors=True)
        raise


def _say_retry(runs: list[Suggestion], larger: Resources) -> None:
    """What the memory forecast got wrong, and the lines that would have been right."""
    numbers = ", ".join(str(run.trial) for run in runs)
    fields = ", ".join(f"{key}: {value:g}" for key, value in larger.model_dump(exclude_none=True).items())
    typer.echo(f"out of memory: trials {numbers} run once more with resources: {{{fields}}}", err=True)


def _say_other_code(name: str, out: Path) -> None:
    """A study goes on under changed code, but nobody should compare its trials unaware."""
    records = [run.record for run in RunStore(out).all().runs]
    if any(_is_of_other_code(record) for record in records if name in record.trials):
        typer.echo(
            f"study '{name}': the code has changed since some of its trials; search compares them with new ones, tables keep them apart.",
            err=True,
        )


def _is_of_other_code(record: Record) -> bool:
    try:
        return record.code_version != run_code(validate(RunConfig, record.config, where=record.run_id))
    except ConfigError:  # its config is none for the code of today
        return True


def _may_begin(name: str, path: Path, fields: dict[str, Any], *, resume: bool, accept_changes: bool) -> None:
    """Refuse to begin a study that exists, to resume one that does not, and to resume one under another file."""
    studies = path.parent.parent
    if not path.is_file():
        if resume:
            raise ConfigError(f"study '{name}': nothing to resume below {studies}; leave out --resume to begin it.")
        return
    if not resume:
        raise ConfigError(f"study '{name}' exists below {studies}; add --resume to go on, or rename it.")
    if not (path.parent / DATABASE).is_file():
        raise ConfigError(
            f"study '{name}': {path.parent / DATABASE} with its trials is missing; put it back, or rename the study to begin anew "
            "(runs that are finished are reused)."
        )
    before = load_yaml(path)
    fixed = changed_fields({key: before[key] for key in FIXED}, {key: fields[key] for key in FIXED})
    if fixed:
        raise ConfigError(f"study '{name}': its trials were told under other {' and '.join(FIXED)} ({'; '.join(fixed)}); rename it.")
    changed = changed_fields(before, fields)
    if changed and not accept_changes:
        raise ConfigError(
            f"study '{name}': the sweep file has changed since it began: {'; '.join(changed)}; undo that, add --accept-changes, or "
            "rename the study."
        )


def changed_fields(before: Any, after: Any, prefix: str = "") -> list[str]:
    """``key: old -> new`` for every leaf that differs."""
    if isinstance(before, dict) and isinstance(after, dict):
        keys = [*before, *(key for key in after if key not in before)]
        return [text for key in keys for text in changed_fields(before.get(key), after.get(key), f"{prefix}{key}.")]
    return [] if before == after else [f"{prefix.rstrip('.')}: {before} -> {after}"]


def print_front(source: StudySource) -> None:
    """Best trials (the Pareto front with several objectives) with their settings, and how the others ended."""
    trials = source.store.trials()
    names = [name.replace(".", "\n", 1) for name in source.config.objectives]
    rows = []
    for number in source.store.front():
        values = [f"{value:.4g}" for value in trials[number].values]
        settings = ", ".join(f"{key} {_short(value)}" for key, value in trials[number].params.items())
        rows.append([str(number), *values, settings])
    columns = [Column("trial"), *(Column(name) for name in names), Column("settings", wraps=True)]
    print_sheet(Sheet(f"study {source.config.name}: best trials by validation", columns, rows))
    own = [trial for trial in trials if DUPLICATE not in trial.user_attrs]
    objectives, complete = source.objectives, [trial.values for trial in own if trial.state.name == "COMPLETE"]
    if len(objectives) > 1 and len(complete) > 1:
        grown = history(complete, [objective.maximize for objective in objectives])
        shares = ", ".join(f"{grown[len(grown) * part // 4 - 1]:.0%} after {len(grown) * part // 4}" for part in (1, 2, 3) if len(grown) * part // 4)
        typer.echo(f"hypervolume of the front, as a share of what {len(grown)} complete trials reached: {shares}")
    for reason, count in Counter(trial.user_attrs["reason"] for trial in own if trial.state.name == "FAIL").most_common(SHOWN_REASONS):
        typer.echo(f"failed ({count}): {reason}")
    counts = Counter(trial.state.name for trial in own)
    repeats = f" ({len(trials) - len(own)} repetitions of them)" if len(trials) > len(own) else ""
    typer.echo("trials: " + ", ".join(f"{count} {state}" for state, count in sorted(counts.items())) + repeats)


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
