"""A study over a search space: its file read and kept, carried out, logged."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel

from suite.config import RunConfig, apply_overrides, validate
from suite.errors import ConfigError
from suite.files import atomic_write
from suite.runs.identity import run_code
from suite.runs.mirror import RunMirror
from suite.runs.record import Record
from suite.runs.store import RunStore
from suite.runs.validation_view import ValidationView
from suite.tuning.cluster import ray_session
from suite.tuning.optuna_database import DATABASE
from suite.tuning.ray_runner import run_all
from suite.tuning.run_queue import Suggestion
from suite.tuning.run_settings import RunSettings
from suite.tuning.sole_driver import sole_driver
from suite.tuning.space_changes import field_of
from suite.tuning.study import StudyQueue, point_config
from suite.tuning.study_config import StudyConfig
from suite.tuning.study_result import Study, study_of
from suite.tuning.trials import earlier_points, has_trials, some_point
from suite.workflows.arguments import PathGiven, SweepGiven, TrackingGiven, WatcherGiven, checked
from suite.workflows.configs import limit_pair, naming_other_backbones, require_micro_batches
from suite.workflows.pictures import attach_study
from suite.workflows.places import DATA, OUT, folder_named, results_folder
from suite.workflows.progress import QUIET, Watcher, opened
from suite.workflows.sharing import say_shared
from suite.workflows.study_notes import note_study
from suite.workflows.sweep_checks import require_able
from suite.workflows.tracking import opened_tracking, say_waiting
from suite.yaml_files import load_yaml
from trainables.resources import Resources

FILE = "sweep.yaml"  # the study's own copy
BATCHES = frozenset({"training.batch_size", "training.micro_batch_size"})
FIXED = ("space", "objectives")  # Optuna has their names and directions


class SweepInterrupted(KeyboardInterrupt):
    """Ctrl-C came during a sweep; ``study`` is what was finished, which is stored and logged."""

    def __init__(self, study: Study) -> None:
        super().__init__()
        self.study = study


@checked
def sweep(
    file: SweepGiven,
    *,
    resume: bool = False,
    accept_changes: bool = False,
    address: str | None = None,
    out: PathGiven = OUT,
    data_root: PathGiven = DATA,
    device: str = "auto",
    tracking: TrackingGiven | None = None,
    watcher: WatcherGiven = QUIET,
) -> Study:
    """Search a space with Optuna on Ray Tune; objectives see validation numbers only.

    Args:
        file: the path of a sweep file, or its fields, among them ``name``.
        resume: go on with a study that was interrupted.
        accept_changes: with ``resume``: the file may differ from the one the study began with.
        address: of a Ray cluster; None = RAY_ADDRESS, else a local Ray.
        out, data_root, device, tracking: as in ``run``.

    Raises:
        SuiteError: a mistake in the file, a study that exists or has changed, before anything is trained; no Ray; a full disk.
        SweepInterrupted: Ctrl-C came; what was finished is kept.
    """
    config = sweep_config(file)
    run_settings = RunSettings(
        results_folder(out),
        folder_named(data_root),
        device,
        address,
        config.resources,
        config.concurrency,
        carrier=config.carrier,
        storage=config.storage,
        sharing=config.sharing,
        selection=config.selection,
    )
    return run_study(config, run_settings, tracking, resume=resume, accept_changes=accept_changes, watcher=watcher)


def sweep_config(file: Path | str | Mapping[str, Any], limit: int | None = None) -> StudyConfig:
    """The study that a sweep file or its fields describe; see ``read_sweep``."""
    if isinstance(file, Mapping):
        return study_config(_with_limit(file, limit), where="sweep")
    return read_sweep(Path(file), limit)


def read_sweep(file: Path, limit: int | None = None) -> StudyConfig:
    """The study that a sweep file describes, and whose space and ``run`` make a trial.

    Args:
        limit: in the place of the file's ``run.benchmark.limit``; None = as the file has it.

    Raises:
        ConfigError: all problems of the file in one message.
    """
    return study_config(_with_limit({"name": file.stem, **load_yaml(file)}, limit), where=str(file))


def _with_limit(fields: Mapping[str, Any], limit: int | None) -> Mapping[str, Any]:
    is_run = isinstance(fields.get("run"), Mapping)  # else it is refused with the file's other faults
    return apply_overrides(dict(fields), limit_pair(limit, "run.") if is_run else ())


def study_config(fields: Mapping[str, Any], *, where: str) -> StudyConfig:
    """The same for the fields of a sweep file; ``where`` is what they are called in errors."""
    try:
        with naming_other_backbones(fields.get("run")):
            config = validate(StudyConfig, dict(fields), where=where)
            point = point_config(config, some_point(config))
        if not BATCHES & {field_of(name) for name in config.search_space().parameters}:
            require_micro_batches(point, where="run")
    except ConfigError as error:
        named = str(error).startswith(f"{where}: ")
        raise error if named else ConfigError(f"{where}: {error}") from None
    return config


def run_study(
    config: StudyConfig,
    run_settings: RunSettings,
    tracking: str | None,
    *,
    resume: bool = False,
    accept_changes: bool = False,
    watcher: Watcher = QUIET,
) -> Study:
    """Carry out a study to its budget.

    Raises:
        ConfigError: the study exists and may not be continued, its file has changed, or another process carries it out.
        SweepInterrupted: Ctrl-C came.
    """
    folder, fields = run_settings.out.resolve() / "studies" / config.name, config.model_dump(mode="json")
    may_begin = partial(_may_begin, config.name, folder / FILE, fields, resume=resume, accept_changes=accept_changes)
    may_begin()
    if not resume:
        earlier_points(config)
    require_able(config, run_settings, watcher)
    with sole_driver(folder, config.name):
        may_begin()  # another driver may have begun the study before this one owned it
        with _undone_without_trials(folder, is_new=not resume):
            if resume:
                _say_other_code(config.name, run_settings.out, watcher)
            return _driven(config, folder, run_settings, tracking, watcher)


def _driven(config: StudyConfig, folder: Path, run_settings: RunSettings, tracking: str | None, watcher: Watcher) -> Study:
    """The study carried out, logged and drawn."""
    RunMirror(run_settings.storage).require_writable()
    fields = config.model_dump(mode="json")
    with opened_tracking(tracking, run_settings.out, watcher) as delivery:
        with (
            opened(ray_session(run_settings.address, config.resources), watcher, "starting Ray"),
            watcher.begin(f"study {config.name}", config.budget.trials) as work,
        ):
            source = StudyQueue(config, folder, RunStore(run_settings.out.resolve()))
            atomic_write(folder / FILE, yaml.safe_dump(fields, sort_keys=False).encode())  # a study with a file had a database

            def on_end(run: Suggestion, view: ValidationView | None, reason: str | None) -> None:
                work.done(source.store.ended_trials(), source.best_note() or f"trial {run.trial} ended")

            views: dict[str, ValidationView] = {}

            def on_record(run: Suggestion, view: ValidationView) -> None:
                views[view.run_id] = view
                delivery.log_stored(view.run_id, source.title(run), config.name)

            run_settings.on_record, run_settings.on_end = on_record, on_end
            run_settings.on_retry = lambda runs, larger: watcher.say(_retried(runs, larger))
            note_study(source, run_settings.out)
            delivery.log_study(config.name, fields)
            is_whole = False
            try:
                is_whole = run_all(source, run_settings)
            finally:
                delivery.end_study(config.name, finished=is_whole)
        study = study_of(source)
        note_study(source, run_settings.out, is_over=is_whole)
        attach_study(delivery, study, run_settings.out, is_over=is_whole)
    say_shared(views, RunStore(run_settings.out), watcher, is_optional=True)
    say_waiting(delivery.tracker, watcher)
    if not is_whole:
        raise SweepInterrupted(study)
    return study


@contextmanager
def _undone_without_trials(folder: Path, *, is_new: bool) -> Iterator[None]:
    """A new study that breaks off before its first trial has not begun: nothing is left that the same command would trip over."""
    try:
        yield
    except BaseException:
        if is_new and not has_trials(folder):
            shutil.rmtree(folder, ignore_errors=True)
        raise


def _retried(runs: list[Suggestion], larger: Resources) -> str:
    """What the memory forecast got wrong, and the lines that would have been right."""
    numbers = ", ".join(str(run.trial) for run in runs)
    fields = ", ".join(f"{key}: {value:g}" for key, value in larger.model_dump(exclude_none=True).items())
    return f"out of memory: trials {numbers} run once more with resources: {{{fields}}}"


def _say_other_code(name: str, out: Path, watcher: Watcher) -> None:
    """A study goes on under changed code, but nobody should compare its trials unaware."""
    records = [run.record for run in RunStore(out).all().runs]
    if any(_is_of_other_code(record) for record in records if name in record.trials):
        watcher.say(
            f"study '{name}': the code has changed since some of its trials; search compares them with new ones, tables keep them apart."
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
    before = of_today(StudyConfig, load_yaml(path))
    fixed = changed_fields({key: before[key] for key in FIXED}, {key: fields[key] for key in FIXED})
    if fixed:
        raise ConfigError(
            f"study '{name}': its trials have results under other {' and '.join(FIXED)} ({'; '.join(fixed)}); rename it."
        )
    changed = changed_fields(before, fields)
    if changed and not accept_changes:
        raise ConfigError(
            f"study '{name}': the sweep file has changed since it began: {'; '.join(changed)}; undo that, add --accept-changes, or "
            "rename the study."
        )


def of_today(model: type[BaseModel], fields: dict[str, Any]) -> dict[str, Any]:
    """The fields of a kept file with the defaults of what was added to ``model`` since; as they are where it no longer takes them."""
    try:
        return validate(model, fields, where="kept file").model_dump(mode="json")
    except ConfigError:
        return fields


def changed_fields(before: Any, after: Any, prefix: str = "") -> list[str]:
    """``key: old -> new`` for every leaf that differs."""
    if isinstance(before, dict) and isinstance(after, dict):
        keys = [*before, *(key for key in after if key not in before)]
        return [text for key in keys for text in changed_fields(before.get(key), after.get(key), f"{prefix}{key}.")]
    return [] if before == after else [f"{prefix.rstrip('.')}: {before} -> {after}"]
