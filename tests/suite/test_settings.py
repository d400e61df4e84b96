"""Numbers of a config are numbers: no truth values, no NaN, nothing endless, in every config model."""

from __future__ import annotations

from typing import Any

import pytest

from suite.cli.options import seed_list
from suite.config import RunConfig, apply_overrides, validate
from suite.errors import ConfigError
from suite.tuning.study_config import StudyConfig

RUN = {"benchmark": "mini-mtil", "method": "codyra"}
STUDY = {"name": "s", "run": {"benchmark": "mini-mtil"}, "space": "codyra-quick"}


@pytest.mark.parametrize(
    ("override", "reason"),
    [
        ("training.steps=true", "training.steps: 'true' is a truth value and no number"),
        ("seed=false", "seed: 'false' is a truth value"),
        ("method.rank=yes", "method.rank: 'true' is a truth value"),
        ("backbone.name=true", "backbone.name"),
        ("benchmark.domains=[true]", "benchmark.domains: 'true' is a truth value"),
        ("training.batch_size=99999999999999999999", "training.batch_size: '99999999999999999999' is too large"),
        ("training.batch_size=9000000000", "training.batch_size: input should be less than or equal to 1000000"),
        ("seed=" + "9" * 5000, r"--set seed: '9+\.\.\.' cannot be read \(a number of 5000 characters"),
        ("training.lr=.nan", "'.nan' is no number that a setting can have"),
        ("training.lr=nan", "training.lr"),
        ("training.lr=1e999", "training.lr"),
        ("training.lr=[" + "[" * 3000, "nested more than 50 levels"),
    ],
)
def test_a_run_takes_plain_numbers_only(override: str, reason: str) -> None:
    with pytest.raises(ConfigError, match=reason) as refused:
        validate(RunConfig, apply_overrides(RUN, [override]), where="config")
    assert len(str(refused.value)) < 600


def test_truth_values_stay_where_they_are_meant() -> None:
    assert (
        validate(RunConfig, apply_overrides(RUN, ["training.deterministic=false"]), where="c").training.deterministic is False
    )


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"constraints": {"zscl.last": {"most": float("nan")}}}, "constraints.zscl.last.most: input should be a finite number"),
        ({"constraints": {"zscl.last": {"most": "nan"}}}, "should be a finite number"),
        ({"budget": {"trials": True}}, "budget.trials: 'true' is a truth value"),
        ({"budget": {"wall_seconds": float("inf")}}, "should be a finite number"),
        ({"seeds": [0, True]}, "seeds: 'true' is a truth value"),
        ({"resources": {"cpus": 1e-9}}, "resources.cpus: input should be greater than or equal to 0.01"),
        ({"resources": {"gpus": 1e-9}}, "resources.gpus: '1e-09' of a GPU is less than a run can use"),
        ({"sampler_seed": 10**20}, "sampler_seed: '100000000000000000000' is too large"),
    ],
)
def test_a_study_takes_plain_numbers_only(fields: dict[str, Any], reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        validate(StudyConfig, {**STUDY, **fields}, where="sweep.yaml")


@pytest.mark.parametrize("text", ["²", "٣", "0-99999999999", "9" * 5000, "2-1", "", "1-", "-1", "a", "0-2-4", "1.5"])
def test_seeds_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="--seeds") as refused:
        seed_list(text)
    assert len(str(refused.value)) < 300


def test_many_problems_are_counted() -> None:
    with pytest.raises(ConfigError, match="and 480 more") as refused:
        validate(RunConfig, {**RUN, "training": {f"key{number}": 1 for number in range(500)}}, where="config")
    assert len(str(refused.value)) < 10_000
