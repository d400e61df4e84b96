"""What a user writes of a run is refused where it cannot mean anything, with what to write instead."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from suite.errors import ConfigError
from suite.tuning.study_config import StudyConfig
from suite.workflows.configs import comparison, run_config
from suite.workflows.sweeping import study_config
from suite.workflows.tune_files import tune_config


def run(fields: dict[str, Any]) -> object:
    settings = {f"{part}.{key}": value for part, inner in fields.items() for key, value in inner.items()}
    return run_config("mini-trace", method="lora", settings=settings)


def compare(fields: dict[str, Any]) -> object:
    settings = {f"{part}.{key}": value for part, inner in fields.items() for key, value in inner.items()}
    return comparison(["mini-trace"], ["lora"], [0], settings)


def sweep(fields: dict[str, Any]) -> StudyConfig:
    return study_config({"name": "night", "run": {"benchmark": "mini-trace", **fields}, "space": "lora"}, where="sweep")


def tune(fields: dict[str, Any]) -> object:
    return tune_config(
        {"name": "fair", "benchmarks": ["mini-trace"], "methods": ["lora"], "budget": {"trials": 2}, "settings": fields}
    )


EVERYWHERE = pytest.mark.parametrize("read", [run, compare, sweep, tune])


@EVERYWHERE
def test_a_field_of_another_backbone_names_that_one(read: Callable[[dict[str, Any]], object]) -> None:
    with pytest.raises(
        ConfigError, match=r"backbone\.model: unknown key; .*; backbone\.model needs backbone\.name=causal-lm\.$"
    ):
        read({"backbone": {"model": "some/model"}})
    read({"backbone": {"name": "causal-lm", "model": "some/model"}})


@EVERYWHERE
def test_a_micro_batch_is_no_larger_than_a_batch(read: Callable[[dict[str, Any]], object]) -> None:
    with pytest.raises(
        ConfigError, match=r"training\.micro_batch_size: 9 rows .* training.batch_size is 8; use at most 8, or null"
    ):
        read({"training": {"batch_size": 8, "micro_batch_size": 9}})
    read({"training": {"batch_size": 8, "micro_batch_size": 8}})


def test_the_benchmarks_own_micro_batch_is_nobodys_mistake() -> None:
    config = run_config("trace", method="lora", settings={"training.batch_size": 2})
    assert config.training.micro_batch_size == 4
    with pytest.raises(ConfigError, match="3 rows"):
        run_config("trace", method="lora", settings={"training.batch_size": 2, "training.micro_batch_size": 3})
