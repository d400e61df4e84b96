"""How far a study goes: seeds per trial, budgets, constraints, warm starts, several methods, checkpoints kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import optuna
import pytest

from suite.config import validate
from suite.errors import ConfigError
from suite.runs.store import RunStore
from suite.runs.validation_view import ValidationView
from suite.tuning.run_queue import Suggestion
from suite.tuning.space import IntUniform, LogUniform, Space, SpaceUnion, by, choice
from suite.tuning.study import StudyQueue
from suite.tuning.study_config import StudyConfig

RUN = {"benchmark": {"name": "mini-mtil", "domains": ["shapes", "faces", "digits"]}}


def study_config(**fields: Any) -> StudyConfig:
    return validate(
        StudyConfig, {"name": "s", "run": RUN, "space": "codyra-quick", "budget": {"trials": 2}, **fields}, where="sweep.yaml"
    )


def view(
    last: float, status: str = "finished", *, parameters: int = 10, seconds: float = 1.0, run_id: str = "r"
) -> ValidationView:
    rows = [[50.0] * 3, [80.0, 40, 40], [70.0, 80, 40], [last] * 3]
    return ValidationView(run_id, status, None, ("a", "b", "c"), list(rows), parameters, 4.0, 0, seconds, 5)


def given(source: StudyQueue) -> Suggestion:
    found = source.suggest()
    assert isinstance(found, Suggestion)
    return found


def test_a_trial_is_the_mean_over_its_seeds(tmp_path: Path) -> None:
    source = StudyQueue(study_config(seeds=[3, 5], budget={"trials": 1}), tmp_path)
    first = given(source)
    assert (first.trial, first.seed_index, first.config.seed) == (0, 0, 3)
    assert source.suggest() == "wait"
    source.ended(first, view(60), None)
    second = given(source)
    assert (second.trial, second.seed_index, second.config.seed) == (0, 1, 5)
    assert second.config.settings_hash() == first.config.settings_hash()
    source.ended(second, view(70), None)
    assert source.suggest() == "finished"
    assert source.store.trials()[0].values == [65.0]
    assert len(source.store.views()) == 2


def test_a_trial_that_stops_or_breaks_learns_no_further_seed(tmp_path: Path) -> None:
    source = StudyQueue(study_config(seeds=[0, 1]), tmp_path)
    first, second = given(source), given(source)
    source.ended(first, view(60, "stopped"), None)
    source.ended(second, None, "the worker died")
    assert source.suggest() == "finished"
    reasons = [trial.user_attrs["reason"] for trial in source.store.trials()]
    assert reasons == ["stopped after task 3 of 3, seed 0", "the worker died, seed 0"]


def test_a_resumed_trial_goes_through_all_its_seeds_again(tmp_path: Path) -> None:
    """Finished ones are found by their identity, so this costs nothing; the mean needs all of them."""
    config = study_config(seeds=[0, 1], budget={"trials": 1})
    before = StudyQueue(config, tmp_path)
    before.ended(given(before), view(60), None)
    after = StudyQueue(config, tmp_path)
    for part, last in enumerate((60, 80)):
        run = given(after)
        assert (run.trial, run.seed_index) == (0, part)
        after.ended(run, view(last), None)
    assert after.store.trials()[0].values == [70.0]


def test_constraints_keep_trials_off_the_front(tmp_path: Path) -> None:
    source = StudyQueue(study_config(constraints={"trainable_parameters": {"most": 100}}, budget={"trials": 3}), tmp_path)
    for last, parameters in ((90, 1000), (70, 100), (60, 10)):
        source.ended(given(source), view(last, parameters=parameters), None)
    assert source.store.front() == [1]
    assert [trial.constraints["trainable_parameters"] for trial in source.store.trials()] == [900, 0, -90]


def test_gpu_hours_end_the_study_after_the_task_at_hand(tmp_path: Path) -> None:
    config = study_config(budget={"trials": 9, "gpu_hours": 0.5}, resources={"gpus": 0.25, "workers": 2})
    source = StudyQueue(config, tmp_path)
    first, second = given(source), given(source)
    assert source.may_go_on(first, view(60, "running", seconds=1800))
    assert not source.may_go_on(second, view(60, "running", seconds=1801))
    assert source.spent() == "budget.gpu_hours"
    assert source.suggest() == "finished"


def test_disk_budget_counts_what_lies_in_the_run_folders(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    (runs / "r").mkdir(parents=True)
    source = StudyQueue(study_config(budget={"trials": 9, "disk_gib": 1e-6}), tmp_path / "s", RunStore(tmp_path))
    run = given(source)
    assert source.may_go_on(run, view(60, "running"))
    (runs / "r" / "merged_1.safetensors").write_bytes(bytes(2000))
    assert not source.may_go_on(run, view(60, "running"))
    assert source.spent() == "budget.disk_gib"


def test_front_keeps_its_checkpoints_others_their_records(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    for name in "ab":
        (runs / name / "checkpoints").mkdir(parents=True)
        (runs / name / "record.json").write_text("{}")
    source = StudyQueue(study_config(keep="front"), tmp_path / "s", RunStore(tmp_path))
    source.ended(given(source), view(60, run_id="a"), None)
    source.ended(given(source), view(80, run_id="b"), None)
    assert not (runs / "a" / "checkpoints").exists()
    assert (runs / "a" / "record.json").exists()
    assert (runs / "b" / "checkpoints").exists()


def test_warm_start_tries_the_earlier_best_first(tmp_path: Path) -> None:
    earlier = StudyQueue(study_config(budget={"trials": 4}), tmp_path / "early")
    settings = []
    for last in (50, 90, 60, 70):
        run = given(earlier)
        settings.append(run.config.resolved()["method"])
        earlier.ended(run, view(last), None)
    later = StudyQueue(
        study_config(name="t", warm_start={"study": str(tmp_path / "early"), "trials": 2}, budget={"trials": 3}),
        tmp_path / "late",
    )
    assert [given(later).config.resolved()["method"] for _ in range(2)] == [settings[1], settings[3]]


def test_a_warm_start_takes_what_lies_in_the_space(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The usual second look is a narrower one: the best trial outside of it is no start, one inside is."""
    earlier = StudyQueue(study_config(points=[{"method.kappa_max": 0.09}, {"method.kappa_max": 0.005}]), tmp_path / "early")
    for last in (90, 60):
        earlier.ended(given(earlier), view(last), None)
    narrow = Space("codyra", {"method.kappa_max": LogUniform(1e-3, 1e-2)})
    monkeypatch.setattr(StudyConfig, "search_space", lambda self: narrow)
    config = study_config(name="t", warm_start={"study": str(tmp_path / "early")}, budget={"trials": 1})
    assert given(StudyQueue(config, tmp_path / "late")).config.resolved()["method"]["kappa_max"] == 0.005
    narrower = Space("codyra", {"method.kappa_max": LogUniform(1e-4, 1e-3)})
    monkeypatch.setattr(StudyConfig, "search_space", lambda self: narrower)
    with pytest.raises(ConfigError, match="no complete trial in space"):
        StudyQueue(config, tmp_path / "none")


def test_warm_start_from_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no optuna.db"):
        StudyQueue(study_config(warm_start={"study": str(tmp_path / "no")}), tmp_path / "s")


def test_several_spaces_search_over_their_methods(tmp_path: Path) -> None:
    config = study_config(
        space=["codyra-quick", "lora"], sampler="random", budget={"trials": 8}, methods={"codyra": {"kappa_levels": 20}}
    )
    source = StudyQueue(config, tmp_path)
    found = [given(source).config.resolved()["method"] for _ in range(8)]
    assert {fields["name"] for fields in found} == {"codyra", "lora"}
    assert all(fields["kappa_levels"] == 20 for fields in found if fields["name"] == "codyra")
    for trial in source.store.trials():
        chosen = trial.params["space"]
        assert all(name == "space" or name.startswith(f"{chosen}/") for name in trial.params)


def test_cases_of_one_field_exist_under_their_condition() -> None:
    space = Space(
        "lora",
        {
            "method.placement": choice("qv", "qkvoinout"),
            "method.rank": by("method.placement", {"qv": IntUniform(4, 64), ("qkvoinout",): IntUniform(4, 8)}),
        },
    )
    assert space.size() == 61 + 5
    assert space.tree().count("    method.rank: 4 to ") == 2
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    for _ in range(30):
        method, fields = space.fields(space.suggest(study.ask()))
        assert method == "lora"
        assert set(fields) == {"method.placement", "method.rank"}
        assert fields["method.placement"] == "qv" or fields["method.rank"] <= 8
    assert SpaceUnion({"a": space, "b": space}).size() == 2 * 66


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"space": ["codyra", "lora"], "run": {**RUN, "method": {"name": "lora"}}}, "run.method and several spaces"),
        ({"methods": {"lora": {}}}, "methods is for several spaces"),
        ({"budget": {"gpu_hours": 1}}, "needs resources.gpus"),
        ({"carrier": "direct", "resources": {"workers": 2}}, "has one worker"),
        ({"constraints": {"trainable_parameters": {}}}, "says 'most', 'least' or both"),
        ({"constraints": {"trainable_parametres": {"most": 1}}}, "nearest: 'trainable_parameters'"),
        ({"seeds": []}, "seeds"),
        ({"selection": "best"}, "selection"),
    ],
)
def test_settings_that_do_not_fit_are_named(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as error:
        study_config(**fields)
    assert "\n" not in str(error.value)


def test_several_spaces_refuse_a_grid(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="sampler 'grid' cannot honour"):
        StudyQueue(study_config(space=["codyra", "lora"], sampler="grid"), tmp_path)


@pytest.mark.parametrize("killed_after", [0, 1, 2])
def test_points_that_a_dead_driver_did_not_get_to_are_tried(
    killed_after: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SIGKILL between two of three points: --resume tries all three, in their order."""
    space = StudyQueue(study_config(), tmp_path / "any").space
    points = [
        dict(space.suggest(optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed)).ask())) for seed in range(3)
    ]
    config, enqueue, done = study_config(points=points, budget={"trials": 3}), optuna.Study.enqueue_trial, []

    def dying(study: optuna.Study, *args: Any, **fields: Any) -> None:
        if len(done) == killed_after:
            raise KeyboardInterrupt
        done.append(enqueue(study, *args, **fields))

    with monkeypatch.context() as patch:
        patch.setattr(optuna.Study, "enqueue_trial", dying)
        with pytest.raises(KeyboardInterrupt):
            StudyQueue(config, tmp_path / "s")
    for _ in range(2):
        source = StudyQueue(config, tmp_path / "s")
    assert len(source.store.trials()) == 3
    tried = [given(source) for _ in range(3)]
    assert [source.store.trials()[run.trial].params for run in tried] == points
