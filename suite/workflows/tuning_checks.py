"""What a tuning is refused for before anything is trained: its place, its methods, its budget."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from suite.config import RunConfig, validate
from suite.errors import ConfigError
from suite.runs.store import RunStore
from suite.tuning.cluster import place_of
from suite.tuning.optuna_database import DATABASE
from suite.tuning.points import spanning_points
from suite.tuning.preflight import refused_runs
from suite.tuning.run_settings import RunSettings
from suite.tuning.study_config import StudyConfig
from suite.tuning.trials import has_trials
from suite.tuning.tune_config import UNITS, Entrant, TuneConfig
from suite.tuning.tuning_folder import TuningFolder
from suite.workflows.probe import probe
from suite.workflows.progress import Watcher
from suite.workflows.reasons import told_once
from suite.workflows.sweeping import changed_fields, of_today

OPERATIONAL = ("resources", "concurrency")  # where and how many at a time; GPU-hours are counted with the resources


def may_begin(config: TuneConfig, folder: TuningFolder, fields: dict[str, Any], out: Path, *, resume: bool) -> None:
    """Refuse to begin a tuning that exists, or one whose studies do, to resume one that does not, or one under another file.

    Raises:
        ConfigError: it is one of these, or a database of its studies is missing.
        DamagedRun: what it chose, what it judged, or the record of a run that judges has been changed since.
    """
    studies = {one.name: out / "studies" / one.name for one in config.entrants if one.study is not None}
    taken = [name for name, place in studies.items() if place.is_dir()]
    if not folder.exists:
        if taken:
            raise ConfigError(
                f"tuning '{config.name}': its study '{taken[0]}' exists below {out / 'studies'}, and its own folder {folder.place} does "
                "not; put that back and add --resume, or rename the tuning to begin anew (runs that are finished are reused)."
            )
        if resume:
            raise ConfigError(
                f"tuning '{config.name}': nothing to resume below {out / 'tunings'}; leave out --resume to begin it."
            )
        return
    if not resume:
        raise ConfigError(f"tuning '{config.name}' exists below {out / 'tunings'}; add --resume to go on, or rename it.")
    free = [name for name in OPERATIONAL if name != "resources" or config.budget.gpu_hours is None]
    before = {**of_today(TuneConfig, folder.fields()), **{name: fields[name] for name in free}}
    if changed := changed_fields(before, fields):
        raise ConfigError(
            f"tuning '{config.name}': the file has changed since it began: {'; '.join(changed)}; undo that, or rename the tuning to "
            "begin anew (runs that are finished are reused)."
        )
    folder.require_whole(one.name for one in config.entrants)
    store = RunStore(out)
    for run_id in (run_id for one in config.entrants for run_id in folder.judged(one.name).values()):
        store.open(run_id)
    chosen = [name for name in studies if (choice := folder.choice(name)) is not None and choice.trial is not None]
    lost = [name for name in chosen if not has_trials(studies[name])]
    if lost:
        raise ConfigError(
            f"tuning '{config.name}': {studies[lost[0]] / DATABASE} with the trials that it chose among is missing or empty; put it back, or rename "
            "the tuning to begin anew (runs that are finished are reused)."
        )


def require_able(config: TuneConfig, run_settings: RunSettings, watcher: Watcher) -> None:
    """Refuse a tuning one of whose methods could not be judged or could make no trial; say when a part of a space could not.

    Raises:
        ConfigError: see ``trainables.preflight``; every reason once, with all that it holds for.
    """
    asked: list[tuple[Entrant, RunConfig, bool]] = []
    for entrant in config.entrants:
        asked += [(entrant, run, True) for run in entrant.judged(entrant.run, config.judge.seeds[:1])]
        if entrant.study is not None:
            asked += [(entrant, run, False) for run in spanning_points(entrant.study)]
    asked.sort(key=lambda one: one[1].benchmark.model_dump_json())
    run_settings.say = watcher.say
    with watcher.begin(f"tuning {config.name}: checking data, backbones and methods", None):
        found = refused_runs([run for _, run, _ in asked], run_settings)
    reasons: list[tuple[str, str]] = []
    for one in found:
        entrant, _, is_needed = asked[one.position]
        points = [place for place, (other, _, judged) in enumerate(asked) if other is entrant and not judged]
        if is_needed or {refusal.position for refusal in found} >= set(points):
            reasons.append((f"{entrant.benchmark} {entrant.method}", one.reason))
        else:
            watcher.say(
                f"study '{entrant.name}': trials in a part of its space will fail, as one that was drawn to try it: {one.reason}"
            )
    if reasons:
        told = "; ".join(sentence.rstrip(".") for sentence in told_once(reasons))
        raise ConfigError(f"tuning '{config.name}': cannot begin: {told}.")
    for entrant in config.entrants:
        if entrant.study is not None and entrant.study.default_first and not entrant.study.first_points():
            watcher.say(f"study '{entrant.name}': the default setting lies outside the space, so that no trial begins with it.")


def require_budget(config: TuneConfig, run_settings: RunSettings, watcher: Watcher) -> None:
    """Refuse a budget of time that is used up before one trial; measured by a short probe, on this machine alone.

    Raises:
        ConfigError: with the seconds of one trial.
    """
    if config.budget.trials is not None or place_of(run_settings.address) is not None:
        return
    share = config.resources.gpus * config.resources.workers / 3600 if config.budget.gpu_hours is not None else 1.0
    studies = [(entrant, entrant.study) for entrant in config.entrants if entrant.study is not None]
    with watcher.begin("probes of one trial", len(studies)) as work:
        for number, (entrant, study) in enumerate(studies):
            work.done(number, f"{entrant.benchmark} {entrant.method}")
            run = default_run(study)
            seconds = probe(run, run_settings.data_root, run_settings.device, max(1, int(config.resources.cpus))).run_seconds
            needed = seconds * len(config.search_seeds) * share
            if needed > config.budget.amount:
                unit = UNITS[config.budget.unit]
                raise ConfigError(
                    f"budget.{config.budget.unit}: one trial of {entrant.method} on {entrant.benchmark} takes about {needed:.3g} {unit}, every "
                    f"study gets {config.budget.amount:g}; raise it or train shorter."
                )


def default_run(study: StudyConfig) -> RunConfig:
    """The run of a study's default setting with its first seed."""
    seed = (study.seeds or (0,))[0]
    return validate(RunConfig, {**study.default_fields, "seed": seed}, where="run")
