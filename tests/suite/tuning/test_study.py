"""Studies over Optuna: what a trial's fate is told as, repetition, resumption, spaces, objectives, stopping."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st

from suite.config import validate
from suite.errors import ConfigError
from suite.registry import METHODS, SPACES
from suite.runs.validation_view import ValidationView, validation_view
from suite.tuning.objectives import Objective
from suite.tuning.space import Choice, IntUniform, LogUniform, Space, choice
from suite.tuning.study import StudyQueue
from suite.tuning.study_config import StudyConfig
from suite.tuning.trials import TrialStore

RUN = {"benchmark": {"name": "mini-mtil", "domains": ["shapes", "faces", "digits"]}}


def study_config(**fields: Any) -> StudyConfig:
    base = {"name": "s", "run": RUN, "space": "codyra-quick", "budget": {"trials": 4}}
    return validate(StudyConfig, {**base, **fields}, where="sweep.yaml")


def view(rows: list[list[float]], status: str = "finished", reason: str | None = None) -> ValidationView:
    return ValidationView("r", status, reason, ("a", "b", "c"), list(rows), 10, 4.0, 0, 1.0, 5)


ROWS = [[50.0, 50, 50], [80, 40, 40], [70, 80, 40], [60, 70, 80]]


def states(source: StudyQueue) -> list[str]:
    return [trial.state.name for trial in source.store.trials()]


def test_fates_are_told_as_what_they_are(tmp_path: Path) -> None:
    """The stock searcher tells a stopped trial COMPLETE and leaves a NaN one RUNNING; ours does neither."""
    source = StudyQueue(study_config(objectives=["zscl.last", "codyra.forgetting"]), tmp_path)
    suggestions = [source.suggest() for _ in range(4)]
    numbers = [s.trial for s in suggestions if not isinstance(s, str)]
    source.ended(suggestions[0], view(ROWS), None)
    source.ended(suggestions[1], view(ROWS[:2], "stopped"), None)
    source.ended(suggestions[2], view(ROWS[:2], "failed", "the loss is nan"), None)
    source.ended(suggestions[3], None, "the worker died")
    assert states(source) == ["COMPLETE", "PRUNED", "FAIL", "FAIL"]
    assert source.store.front() == [numbers[0]]
    reasons = [trial.user_attrs.get("reason") for trial in source.store.trials()]
    assert reasons == [None, "stopped after task 1 of 3", "the loss is nan", "the worker died"]
    assert source.store.trials()[0].values == [70.0, 15.0]


def test_a_study_without_numbers_is_a_fail_not_a_hole(tmp_path: Path) -> None:
    source = StudyQueue(study_config(objectives=["effective_rank"]), tmp_path)
    suggestion = source.suggest()
    assert not isinstance(suggestion, str)
    broken = ValidationView("r", "finished", None, ("a", "b", "c"), ROWS, 10, math.nan, 0, 1.0, 5)
    source.ended(suggestion, broken, None)
    assert states(source) == ["FAIL"]


def test_budget_counts_different_configurations(tmp_path: Path) -> None:
    source = StudyQueue(study_config(budget={"trials": 3}), tmp_path)
    contents = set()
    while not isinstance(suggestion := source.suggest(), str):
        contents.add(suggestion.config.config_hash())
        source.ended(suggestion, view(ROWS), None)
    assert suggestion == "finished"
    assert len(contents) == 3


def test_equal_content_is_given_out_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A point that is asked for twice is told its twin's fate; when the space has no other point, the study is over."""
    tiny = Space("lora", {"method.rank": choice(4, 8)})
    monkeypatch.setattr(StudyConfig, "search_space", lambda self: tiny)
    source = StudyQueue(study_config(sampler="random", points=[{"method.rank": 4}] * 2, budget={"trials": 10}), tmp_path)
    given = []
    while not isinstance(suggestion := source.suggest(), str):
        given.append(suggestion.config.config_hash())
        source.ended(suggestion, view(ROWS), None)
    assert len(given) == len(set(given)) == 2
    assert set(states(source)) == {"COMPLETE"}
    twins = [trial for trial in source.store.trials() if "duplicate_of" in trial.user_attrs]
    assert twins
    assert all(trial.values == [70.0] for trial in twins)


def test_running_twin_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny = Space("lora", {"method.rank": choice(4, 8)})
    monkeypatch.setattr(StudyConfig, "search_space", lambda self: tiny)
    source = StudyQueue(study_config(sampler="random", budget={"trials": 10}), tmp_path)
    first, second = source.suggest(), source.suggest()
    assert source.suggest() == "finished"
    assert not isinstance(first, str)
    assert not isinstance(second, str)
    for suggestion in (first, second):
        source.ended(suggestion, view(ROWS), None)
    assert set(states(source)) == {"COMPLETE"}


def test_killed_driver_gives_its_running_trials_out_again(tmp_path: Path) -> None:
    before = StudyQueue(study_config(), tmp_path)
    first, second = before.suggest(), before.suggest()
    assert not isinstance(first, str)
    assert not isinstance(second, str)
    before.ended(first, view(ROWS), None)
    after = StudyQueue(study_config(), tmp_path)
    again = after.suggest()
    assert not isinstance(again, str)
    assert (again.trial, again.config) == (second.trial, second.config)
    after.ended(again, view(ROWS), None)
    assert states(after) == ["COMPLETE", "COMPLETE"]


def test_a_killed_driver_gives_no_content_out_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Repetitions of a running trial wait for its fate; they still do after a restart."""
    tiny = Space("lora", {"method.rank": choice(4, 8)})
    monkeypatch.setattr(StudyConfig, "search_space", lambda self: tiny)
    points = [{"method.rank": rank} for rank in (4, 4, 8)]
    config = study_config(points=points, budget={"trials": 2})
    before = StudyQueue(config, tmp_path)
    given = [before.suggest(), before.suggest()]
    assert [s.trial for s in given if not isinstance(s, str)] == [0, 2]
    after = StudyQueue(config, tmp_path)
    again = []
    while not isinstance(suggestion := after.suggest(), str):
        again.append(suggestion.trial)
        after.ended(suggestion, view(ROWS), None)
    assert again == [0, 2]
    assert [trial.user_attrs.get("duplicate_of") for trial in after.store.trials()] == [None, 0, None]
    assert states(after) == ["COMPLETE"] * 3


def test_a_driver_that_died_between_two_writes_loses_no_trial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def die(self: object, *_: object) -> None:
        raise KeyboardInterrupt

    point = {"method.kappa_max": 0.05, "method.placement": "inout"}
    with monkeypatch.context() as killed:
        killed.setattr(TrialStore, "note_config", die)
        with pytest.raises(KeyboardInterrupt):
            StudyQueue(study_config(points=[point]), tmp_path).suggest()
    again = StudyQueue(study_config(points=[point]), tmp_path).suggest()
    assert not isinstance(again, str)
    resolved = again.config.resolved()["method"]
    assert (again.trial, resolved["kappa_max"], resolved["placement"]) == (0, 0.05, "inout")


def test_points_that_leave_something_open_are_filled_in_independently(tmp_path: Path) -> None:
    points = [{"method.placement": name} for name in ("inout", "qkvo", "qkvoinout")]
    source = StudyQueue(study_config(points=points), tmp_path)
    found = [source.suggest() for _ in points]
    assert len({s.config.resolved()["method"]["kappa_max"] for s in found if not isinstance(s, str)}) == 3


def test_fields_of_the_searched_method_need_no_name(tmp_path: Path) -> None:
    suggestion = StudyQueue(study_config(run={**RUN, "method": {"kappa_levels": 7}}), tmp_path).suggest()
    assert not isinstance(suggestion, str)
    method = suggestion.config.resolved()["method"]
    assert (method["name"], method["kappa_levels"]) == ("codyra", 7)


def test_same_sampler_seed_same_suggestions(tmp_path: Path) -> None:
    def hashes(folder: str, seed: int) -> list[str]:
        source = StudyQueue(study_config(sampler_seed=seed), tmp_path / folder)
        found = [source.suggest() for _ in range(3)]
        return [s.config.config_hash() for s in found if not isinstance(s, str)]

    assert hashes("a", 0) == hashes("b", 0) != hashes("c", 1)


@pytest.mark.parametrize("sampler", ["random", "qmc"])
def test_a_killed_study_draws_what_the_undisturbed_one_draws(sampler: str, tmp_path: Path) -> None:
    def hashes(folder: str, *, kills: bool) -> list[str]:
        found: list[str] = []
        source = StudyQueue(study_config(sampler=sampler, budget={"trials": 6}), tmp_path / folder)
        for _ in range(6):
            suggestion = source.suggest()
            assert not isinstance(suggestion, str)
            found.append(suggestion.config.config_hash())
            source.ended(suggestion, view(ROWS), None)
            if kills:
                source = StudyQueue(study_config(sampler=sampler, budget={"trials": 6}), tmp_path / folder)
        return found

    assert hashes("whole", kills=False) == hashes("killed", kills=True)


def test_given_points_come_first(tmp_path: Path) -> None:
    point = {"method.kappa_max": 0.05, "method.placement": "inout"}
    suggestion = StudyQueue(study_config(points=[point]), tmp_path).suggest()
    assert not isinstance(suggestion, str)
    resolved = suggestion.config.resolved()["method"]
    assert (resolved["kappa_max"], resolved["placement"]) == (0.05, "inout")


OTHER_SAMPLERS = [(sampler, name) for sampler in ("random", "nsga2") for name in ("codyra", "codyra-quick")]


@pytest.mark.parametrize(("sampler", "name"), [*(("tpe", name) for name in sorted(SPACES)), *OTHER_SAMPLERS])
def test_every_space_yields_configs_that_its_method_accepts(sampler: str, name: str, tmp_path: Path) -> None:
    """So few trials are drawn alike by all of them: from the space's own distributions."""
    source = StudyQueue(study_config(space=name, sampler=sampler, budget={"trials": 6}), tmp_path)
    for _ in range(6):
        suggestion = source.suggest()
        assert not isinstance(suggestion, str)
        assert suggestion.config.resolved()["method"]["name"] == SPACES[name].method
        source.ended(suggestion, view(ROWS), None)


@pytest.mark.parametrize("name", sorted(SPACES))
def test_spaces_name_fields_that_exist(name: str) -> None:
    space: Space = SPACES[name]
    for key in space.parameters:
        section, *path = key.partition("#")[0].split(".")
        assert section in ("method", "training")
        fields = METHODS[space.method].model_fields
        for field in path if section == "method" else ():
            assert field in fields
            fields = METHODS[fields[field].default["name"]].model_fields if field == "inner" else {}
    assert space.method in space.tree()


def test_conditions_are_honoured_and_counted() -> None:
    space = Space(
        "codyra",
        {
            "method.gate_update": choice("adamw", "prox_sgd"),
            "method.gate_lr_multiplier": choice(1.0, 10.0, 100.0).when(method__gate_update="adamw"),
        },
    )
    assert space.size() == 4
    counted = Space("lora", {"method.rank": IntUniform(4, 8), "method.alpha": choice(1, 2, 3).when(method__rank=(7, 8))})
    assert counted.size() == 3 + 2 * 3
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    drawn = [space.suggest(study.ask()) for _ in range(40)]
    assert all(("method.gate_lr_multiplier" in d) == (d["method.gate_update"] == "adamw") for d in drawn)
    assert len({d["method.gate_update"] for d in drawn}) == 2


def test_samplers_that_cannot_honour_conditions_refuse(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="sampler 'gp' cannot honour the conditions"):
        StudyQueue(study_config(space="codyra", sampler="gp"), tmp_path)


def test_a_grid_is_tried_whole_and_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Optuna's own grid stops its loop when the last point is told, and raises where the loop is not its own."""
    tiny = Space("lora", {"method.rank": choice(4, 8), "method.placement": choice("q", "k")})
    monkeypatch.setattr(StudyConfig, "search_space", lambda self: tiny)
    source = StudyQueue(study_config(space="probe", sampler="grid", budget={"trials": 9}), tmp_path)
    given = []
    while not isinstance(suggestion := source.suggest(), str):
        given.append(suggestion.config.config_hash())
        source.ended(suggestion, view(ROWS), None)
    assert len(given) == len(set(given)) == 4
    assert states(source) == ["COMPLETE"] * 4


def test_condition_on_a_later_parameter_is_refused() -> None:
    with pytest.raises(ConfigError, match="must come before it"):
        Space("lora", {"method.rank": choice(4).when(method__between="merge"), "method.between": Choice(("merge",))})


@given(st.integers(1, 20), st.integers(0, 20))
def test_sizes_multiply(low: int, more: int) -> None:
    space = Space("lora", {"a": IntUniform(low, low + more), "b": choice("x", "y")})
    assert space.size() == 2 * (more + 1)
    assert math.isinf(Space("lora", {"a": LogUniform(1e-3, 1)}).size())


def test_objectives_know_their_direction() -> None:
    assert Objective("zscl.last").maximize
    assert Objective("gem.bwt").maximize
    assert not Objective("codyra.forgetting").maximize
    assert not Objective("trainable_parameters").maximize
    with pytest.raises(ConfigError, match="nearest: 'zscl.last'"):
        Objective("zscl.lost")


def test_the_view_holds_no_test_number(make_config: Any, run_context: Any) -> None:
    """Sealed by construction: whatever the test matrix says, the view is the same."""
    from trainables.run import execute

    record = execute(make_config("lora"), run_context)
    changed = record.model_copy(update={"test": [[0.0] * 3] * 4})
    assert validation_view(changed) == validation_view(record)
    assert validation_view(record).rows == record.validation


def test_values_of_a_space_are_told_from_others() -> None:
    log, whole, one = LogUniform(1e-3, 0.1), IntUniform(4, 8), choice("q", None)
    assert all(log.contains(value) for value in (1e-3, 0.1, "5e-3"))
    assert not any(log.contains(value) for value in (0.2, "high", None, True))
    assert whole.contains(8) and not whole.contains(9) and not whole.contains(4.5)
    assert one.contains(None) and not one.contains("k")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"trials": 3}, "trials: unknown key; allowed are budget, carrier, .*"),
        ({"objective": []}, "nearest: 'objectives'"),
        (
            {"budget": {"trails": 3}},
            r"budget.trails: unknown key; allowed are disk_gib, gpu_hours, run_seconds, trials, wall_seconds \(nearest: 'trials'\)",
        ),
        ({"stopping": {"grace": 3}}, "nearest: 'grace_tasks'"),
        ({"constraints": {"zscl.last": {"mst": 3}}}, "allowed are least, most"),
        ({"warm_start": {"study": "x", "trial": 1}}, "nearest: 'trials'"),
        ({"points": [{"method.kapa_max": 0.01}]}, r"points.0: 'method.kapa_max' is not .* \(nearest: 'method.kappa_max'\)"),
        (
            {"points": [{}, {"method.kappa_max": 5.0}]},
            "points.1.method.kappa_max: '5.0' lies outside the space; allowed are 0.001 to 0.1, log",
        ),
        ({"points": [{"method.placement": "zz"}]}, "points.0.method.placement: 'zz' lies outside"),
        (
            {"points": [{"space": "olora"}], "space": ["codyra", "lora"]},
            "points.0.space: 'olora' lies outside the space; allowed are codyra",
        ),
        ({"seeds": [1, 2, 1]}, "seeds: '1' is named twice"),
        ({"objectives": ["zscl.last", "zscl.last"]}, "objectives: 'zscl.last' is named twice"),
        ({"space": ["lora", "lora"]}, "space.*'lora' is named twice"),
        ({"seeds": [0], "run": {**RUN, "seed": 3}}, "run.seed and seeds exclude each other"),
        ({"run": {**RUN, "method": "lora"}}, "'lora' is not the method of space 'codyra-quick'; it searches 'codyra'"),
        ({"space": ["codyra", "lora"], "methods": {"lroa": {}}}, "methods: 'lroa' is not a searched method.*nearest: 'lora'"),
        ({"space": "probe", "sampler": "grid", "points": [{"method.rank": 4}]}, "tries every point"),
        ({"constraints": {"zscl.last": {"most": 1, "least": 2}}}, "no value is at most 1 and at least 2"),
        ({"resources": {"gpus": 1.5}}, "resources.gpus: '1.5' is more than one GPU and not whole"),
        ({"space": "codira"}, "nearest: 'codyra'"),
        ({"objectives": ["zscl.lost"]}, "is not a objective|is not an objective"),
        ({"sampler": "bayes"}, "sampler"),
        ({"budget": {"trials": 0}}, "budget.trials"),
        ({"name": "../x"}, "cannot name a folder"),
        ({"resources": {"gpus": -1}}, "resources.gpus"),
        ({"stopping": {"rule": "asha"}}, "stopping.rule"),
    ],
)
def test_bad_sweep_files(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as error:
        study_config(**fields)
    assert "\n" not in str(error.value)
