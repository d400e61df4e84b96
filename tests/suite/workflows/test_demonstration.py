"""What the demo is made of, before anything is trained; that it runs to its tables is for the slow tests and ``.ci/run``."""

from __future__ import annotations

from pathlib import Path

import pytest

from suite.errors import ConfigError
from suite.tuning.space import LogUniform
from suite.tuning.space_changes import LEARNING_RATE
from suite.tuning.tuning_folder import TuningFolder
from suite.workflows.demonstration import METHODS, demo_tuning, demonstrate
from suite.workflows.progress import QUIET


def test_the_methods_of_the_demo_are_tuned_alike_on_one_seed_more(tmp_path: Path) -> None:
    config, goes_on = demo_tuning(tmp_path)
    assert not goes_on
    entrants = {one.method.partition(" ")[0]: one for one in config.entrants}
    assert sorted(entrants) == sorted(METHODS)
    studies = [one.study for one in entrants.values() if one.study is not None]
    assert [study.budget.trials for study in studies] == [6] * 4
    assert {repr(study.search_space().parameters[LEARNING_RATE]) for study in studies} == {repr(LogUniform(2.5e-4, 4e-3))}
    assert all(study.first_points() for study in studies)  # every default setting lies in its space
    assert not set(config.judge.seeds) & set(config.search_seeds)


def test_a_folder_with_the_tuning_of_another_version_is_named_before_anything_is_trained(tmp_path: Path) -> None:
    config, _ = demo_tuning(tmp_path)
    folder = TuningFolder(tmp_path, config.name)
    folder.begin(config.model_dump(mode="json"))
    assert demo_tuning(tmp_path) == (config, True)
    folder.begin({**config.model_dump(mode="json"), "budget": {"trials": 5}})
    with pytest.raises(ConfigError, match=r"tunings/demo is the tuning of another version's demo; name another folder: --out"):
        demonstrate(tmp_path, "none", QUIET)
    assert [path.name for path in tmp_path.iterdir()] == ["tunings"]
