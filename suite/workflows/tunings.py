"""A tuning as it stands, read from its folder, its studies and the runs that judged it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from suite.config import validate
from suite.errors import ConfigError, SuiteError
from suite.leaderboard.runs import RunSet
from suite.leaderboard.tuned import JudgedSetting, TrialState, TunedMethod, TunedTrial, Tuning
from suite.runs.record import Record
from suite.runs.store import RunStore
from suite.tuning.finished_trials import StoredTrial, stored_trials
from suite.tuning.space_changes import at, field_of
from suite.tuning.study import HOUR
from suite.tuning.tune_config import UNITS, Entrant, TuneConfig
from suite.tuning.tuning_folder import Choice, TuningFolder, tuning_names
from suite.workflows.progress import Watcher


def read_tuning(name: str, out: Path, problems: Mapping[str, str] = MappingProxyType({})) -> Tuning:
    """The tuning ``name`` below ``out``, finished or not.

    Args:
        problems: name of an entrant -> why its search, or a run that judges, has just stopped before its end, which is written nowhere.

    Raises:
        ConfigError: there is none.
        DamagedRun: what was chosen, or the record of a run that judges, has been changed since.
    """
    folder, store = TuningFolder(out, name), RunStore(out)
    if not folder.exists:
        raise ConfigError(f"tuning '{name}': there is none below {folder.place.parent}; 'codyra-suite tune' makes one.")
    config = validate(TuneConfig, folder.fields(), where=str(folder.place))
    methods = [_method(entrant, config, folder, out, problems.get(entrant.name, "")) for entrant in config.entrants]
    records = [record for one in methods for record in one.records]
    found = {run_id: run for run_id in {record.run_id for record in records} if (run := store.open(run_id)) is not None}
    runs = RunSet(records, {run_id: run.outcomes for run_id, run in found.items()})
    return Tuning(
        name=config.name,
        methods=methods,
        rule=config.selection,
        objective=config.objective,
        unit=UNITS[config.budget.unit],  # type: ignore[arg-type]
        seeds=config.judge.seeds,
        orders={one.benchmark: [str(order) for order in one.orders] or [""] for one in config.entrants},
        outcomes=runs.last_outcomes,
    )


def shown_tunings(runs: RunSet, out: Path, watcher: Watcher) -> list[Tuning]:
    """The tunings below ``out``, by name, of whose judging runs some are among ``runs``: with the benchmarks that these are of.

    Of a tuning that cannot be read the watcher is told.
    """
    shown = {record.run_id for record in runs.records}
    found = []
    for name in tuning_names(out):
        try:
            tuning = read_tuning(name, out)
        except SuiteError as error:
            watcher.say(f"left out: {error}")
            continue
        benchmarks = {one.benchmark for one in tuning.methods if any(record.run_id in shown for record in one.records)}
        methods = [one for one in tuning.methods if one.benchmark in benchmarks]
        found += [replace(tuning, methods=methods)] if methods else []
    return found


def _method(entrant: Entrant, config: TuneConfig, folder: TuningFolder, out: Path, stopped: str) -> TunedMethod:
    judged, store = folder.judged(entrant.name), RunStore(out)
    lost, planned = set(folder.diverged(entrant.name).values()), len(entrant.judged(entrant.run, config.judge.seeds))

    def records(run: Mapping[str, Any]) -> list[Record]:
        hashes = [one.config_hash() for one in entrant.judged(run, config.judge.seeds)]
        found = [store.open(judged[content]) for content in hashes if content in judged]
        return [one.record for one in found if one is not None]

    def is_final(setting: JudgedSetting) -> bool:
        """Whether every judging run is finished or has diverged."""
        return planned == sum(one.status == "finished" or one.run_id in lost for one in setting.records)

    study = entrant.study
    if study is None:
        default = JudgedSetting({}, records(entrant.run))
        problem = stopped or _failed(default.records)
        return TunedMethod(
            entrant.benchmark, entrant.method, default, has_space=False, problem=problem, is_final=is_final(default)
        )
    stored = stored_trials(study, out / "studies" / entrant.name)
    searched = dict.fromkeys(field_of(name) for name in study.search_space().parameters)
    default = JudgedSetting({field: at(study.default_fields, field) for field in searched}, records(entrant.run))
    choice = folder.choice(entrant.name)
    tuned = JudgedSetting(choice.values, records(choice.run)) if choice is not None and choice.run else None
    return TunedMethod(
        entrant.benchmark,
        entrant.method,
        default,
        tuned,
        trials=[_trial(trial) for trial in stored],
        chosen=choice.trial if choice is not None else None,
        budget=config.budget.amount,
        spent=_spent(stored, config),
        problem=stopped or _problem(choice, stored) or _failed([*default.records, *(tuned.records if tuned else [])]),
        is_final=choice is not None and is_final(default) and (tuned is None or is_final(tuned)),
    )


def _trial(trial: StoredTrial) -> TunedTrial:
    state: TrialState = trial.state  # type: ignore[assignment]  # those of Optuna but WAITING
    return TunedTrial(
        trial.number, state, trial.score, trial.seconds, trial.is_random, trial.borrowed_seconds, trial.reason or ""
    )


def _spent(trials: Sequence[StoredTrial], config: TuneConfig) -> float:
    """In the budget's unit."""
    if config.budget.trials is not None:
        return float(sum(trial.state != "RUNNING" for trial in trials))
    seconds = sum(trial.seconds for trial in trials)
    return seconds if config.budget.gpu_hours is None else seconds * config.resources.gpus * config.resources.workers / HOUR


def _problem(choice: Choice | None, trials: Sequence[StoredTrial]) -> str:
    """Why no setting was chosen although the study has ended."""
    if choice is None or choice.run:
        return ""
    reasons = [trial.reason for trial in trials if trial.reason]
    return f"no trial was learned to its end ({reasons[-1] if reasons else 'the budget was used up before'})"


def _failed(records: Sequence[Record]) -> str:
    return next((f"a judging run failed: {record.reason}" for record in records if record.status == "failed"), "")
