"""A study in the memory of its driver: the database holds the same, and what a trial costs does not grow with their number."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import FrozenTrial

from suite.config import validate
from suite.errors import ConfigError
from suite.measuring.driver import counted_statements, end_trials
from suite.runs.validation_view import ValidationView
from suite.tuning.run_queue import Suggestion
from suite.tuning.sole_driver import sole_driver
from suite.tuning.space import Space, choice
from suite.tuning.study import StudyQueue
from suite.tuning.study_config import StudyConfig

RUN = {"benchmark": {"name": "mini-mtil", "domains": ["shapes", "faces", "digits"]}}
ROWS: list[list[float | None]] = [[50.0, 50, 50], [80, 40, 40], [70, 80, 40], [60, 70, 80]]


def config(**fields: Any) -> StudyConfig:
    base = {"name": "s", "run": RUN, "space": "codyra", "budget": {"trials": 10**6}}
    return validate(StudyConfig, {**base, **fields}, where="sweep.yaml")


def view(status: str) -> ValidationView:
    return ValidationView("r", status, None, ("a", "b", "c"), ROWS if status == "finished" else ROWS[:2], 10, 4.0, 0, 1.0, 5)


def told(trials: list[FrozenTrial]) -> list[Any]:
    """All that a trial says, but for its id and the moments of its beginning and end."""
    return [(t.number, t.state, t.values, t.params, t.distributions, t.user_attrs, t.system_attrs) for t in trials]


def in_database(folder: Path) -> list[FrozenTrial]:
    return optuna.load_study(study_name="s", storage=f"sqlite:///{folder / 'optuna.db'}").get_trials(deepcopy=False)


@pytest.mark.parametrize("sampler", ["tpe", "nsga2", "qmc", "grid"])
def test_the_database_holds_what_the_driver_knows(sampler: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Points that wait, repetitions, constraints, every fate, a trial that is still running: and a second driver reads it so."""
    tiny = Space("lora", {"method.rank": choice(2, 4, 8), "method.placement": choice("q", "k", "v", "qk", "qv")})
    monkeypatch.setattr(StudyConfig, "search_space", lambda self: tiny)
    points = [] if sampler == "grid" else [{"method.rank": 8}, {"method.rank": 4, "method.placement": "q"}] * 2
    study = config(space="probe", sampler=sampler, points=points, constraints={"zscl.last": {"least": 90}})
    source, running = StudyQueue(study, tmp_path), []
    for number in range(9):
        run = source.suggest()
        assert isinstance(run, Suggestion)
        if number == 4:
            running.append(run.trial)
        else:
            source.ended(run, None if number == 2 else view("stopped" if number == 3 else "finished"), "died")
    there = in_database(tmp_path)
    assert told(there) == told(source.store.trials())
    assert [trial.number for trial in there if trial.state.name == "RUNNING"] == running
    assert {trial.state.name for trial in there} >= {"COMPLETE", "PRUNED", "FAIL", "RUNNING"}
    resumed = StudyQueue(study, tmp_path).store
    assert told(resumed.trials()) == told(source.store.trials())
    facts = [(s.unique_trials(), s.ended_trials(), s.best_value(), s.front()) for s in (resumed, source.store)]
    assert facts[0] == facts[1]


def test_a_later_trial_asks_the_database_as_little_as_an_early_one(tmp_path: Path) -> None:
    source = StudyQueue(config(space="codyra-quick"), tmp_path)  # all of its trials have the same parameters
    end_trials(source, 11)  # TPE draws at random for the first ten
    with counted_statements() as early:
        end_trials(source, 1)
    end_trials(source, 6)
    with counted_statements() as late:
        end_trials(source, 1)
    assert 0 < late.statements == early.statements


def test_a_study_has_one_driver_at_a_time(tmp_path: Path) -> None:
    from suite.tuning.run_settings import RunSettings
    from suite.workflows.sweeping import run_study

    study, folder = config(), tmp_path / "studies" / "s"
    with sole_driver(folder, "s"), pytest.raises(ConfigError, match=r"study 's': process \d+ on .* carries it out"):
        run_study(study, RunSettings(tmp_path, tmp_path), "none")
    with sole_driver(folder, "s"):
        pass


def test_the_note_of_a_study_is_kept_in_the_pieces_of_optuna_dashboard(tmp_path: Path) -> None:
    source = StudyQueue(config(), tmp_path)

    def note() -> str:
        study = optuna.load_study(study_name="s", storage=f"sqlite:///{tmp_path / 'optuna.db'}")
        known = study._storage.get_study_system_attrs(study._study_id)
        return "".join(known.get(f"dashboard:note_str:{piece}", "") for piece in range(9))

    for text in ("a" * 5000, "short"):
        source.store.say({"benchmark": "mini-mtil"}, text)
        assert note() == text
    stored = optuna.load_study(study_name="s", storage=f"sqlite:///{tmp_path / 'optuna.db'}")
    assert stored.user_attrs["benchmark"] == "mini-mtil"
    for key, value in (("dashboard:note_str:0", "a person's"), ("dashboard:note_ver", 3)):
        stored._storage.set_study_system_attr(stored._study_id, key, value)
    StudyQueue(config(), tmp_path).store.say({}, "the suite's")
    assert note() == "a person's"
