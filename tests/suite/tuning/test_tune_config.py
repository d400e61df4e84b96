"""The file of a tuning before anything happens: every mistake is one sentence, and what each method searches and is judged on."""

from __future__ import annotations

from typing import Any

import pytest

from suite.config import validate
from suite.errors import ConfigError
from suite.registry import METHODS, SPACES
from suite.tuning.space import LogUniform
from suite.tuning.space_changes import LEARNING_RATE
from suite.tuning.tune_config import RATES, TuneConfig
from suite.workflows.tune_files import tune_config

TUNE: dict[str, Any] = {
    "name": "fair",
    "benchmarks": ["mini-xtail"],
    "methods": ["zero-shot", "lora", {"name": "replay", "inner": {"name": "codyra", "rank": 8}}],
    "settings": {"training": {"steps": 60}},
    "budget": {"trials": 2},
}


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"methods": []}, "methods: takes a list of at least one name"),
        ({"benchmarks": []}, "benchmarks: takes a list of at least one name"),
        ({"methods": ["lora", "lora"]}, "methods: 'lora' is named twice"),
        ({"methods": [{"name": "lora", "rank": 4}, {"name": "lora", "rank": 8}]}, "methods: 'lora' is named twice"),
        ({"benchmarks": ["mini-mtil", "mini-mtil"]}, "benchmarks: 'mini-mtil' is named twice"),
        ({"methods": ["lroa"]}, "methods.name: 'lroa' is not a method"),
        ({"methods": [7]}, "an entry: 7 is neither a name nor a mapping"),
        ({"methods": [{"name": "lora", "rnak": 4}]}, "tune: run: method.rnak: unknown key"),
        ({"methods": ["icl"], "benchmarks": ["mini-trace"]}, "methods: 'icl' has no search space for its demonstrations"),
        ({"budget": {"trials": 0}}, "budget.trials: input should be greater than or equal to 1"),
        ({"budget": {"trials": 10**400}}, "too large"),
        ({"budget": {"run_seconds": float("nan")}}, "budget.run_seconds"),
        ({"budget": {}}, "budget: nothing is given; every study gets the same budget in one unit"),
        ({"budget": {"trials": 2, "run_seconds": 9}}, "budget: trials and run_seconds are given"),
        ({"budget": {"gpu_hours": 1}}, "budget.gpu_hours needs resources.gpus above 0; use budget.run_seconds on CPUs"),
        ({"judge": {"seeds": [0, 1]}}, "judge.seeds: 0 is in search_seeds"),
        ({"search_seeds": [4, 5], "judge": {"seeds": [5, 4, 6]}}, "judge.seeds: 5, 4 are in search_seeds"),
        ({"judge": {"seeds": [1, 1]}}, "judge.seeds: 1 is named twice"),
        ({"judge": {"seeds": [-1]}}, r"^tune: judge.seeds.0: input should be greater than or equal to 0 \(is -1\).$"),
        ({"judge": {"orders": ["III"]}}, "judge.orders: 'III': benchmark 'mini-xtail' has the orders I, II"),
        ({"judge": {"orders": ["I"]}}, "judge.orders: 'I' is the order of the trials on 'mini-xtail'"),
        ({"judge": {"orders": ["II", "II"]}}, "judge.orders: 'II' is named twice"),
        ({"judge": {"orders": {"mini-mtil": ["II"]}}}, "judge.orders: 'mini-mtil' is not among the benchmarks"),
        (
            {"benchmarks": [{"name": "mini-xtail", "domains": ["shapes", "digits"]}], "judge": {"orders": ["II"]}},
            r"'mini-xtail' has no orders \(its tasks stand in the order of domains\)",
        ),
        ({"settings": {"seed": 3}}, "settings: 'seed' is none of the settings that all runs share"),
        ({"settings": {"training": {"stepz": 3}}}, "training.stepz: unknown key"),
        ({"spaces": {"lora": "olora"}}, "lora: 'olora' is a space of 'olora'"),
        ({"spaces": {"codyra": "codyra"}}, "spaces: 'codyra' is not among the methods"),
        ({"objective": "zscl.lats"}, "'zscl.lats' is not a"),
        ({"selection": "oracle"}, "selection: input should be 'two-phase'"),
        ({"learning_rate": [1e-2, 1e-3]}, "learning_rate: the first limit, 0.01, must be below the second"),
        ({"name": "a b"}, "name: 'a b' cannot name a folder"),
        ({"name": "../x", "methods": ["zero-shot"]}, "name: '../x' cannot name a folder"),
        (
            {"name": "x" * 60},
            "is too long: 'x+.mini-xtail.zero-shot' names a folder, and has 81 of at most 64 .*; use at most 43 here",
        ),
        ({"sampler": "grid"}, "sampler: 'grid' cannot try the learning rate"),
        (
            {"methods": [{"name": "replay", "inner": "zero-shot"}]},
            r"'replay \+ zero-shot': space 'replay' searches method.inner.placement, method.inner.rank, which this method does not have",
        ),
        ({"search_seeds": []}, "search_seeds: takes a list of at least one, as in"),
        ({"judge": {"orders": []}}, r"judge.orders: takes a list of orders, as in \[II, III\], or one per benchmark"),
        ({"judge": {"orders": {"mini-xtail": []}}}, "judge.orders: takes a list of orders"),
        ({"judge": {"orders": [1.5]}}, "judge.orders: takes a list of orders"),
        ({"bugdet": 3}, "bugdet: unknown key"),
    ],
)
def test_a_mistake_is_one_sentence(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as told:
        tune_config({**TUNE, **fields})
    assert "\n" not in str(told.value) and str(told.value).startswith("tune: ")


def test_with_fewer_rows_it_is_another_tuning() -> None:
    config = tune_config({**TUNE, "benchmarks": ["mini-xtail", {"name": "mini-mtil", "limit": 99}]}, limit=8)
    assert config.name == "fair-limit-8"
    assert {one.judged(one.run, [1])[0].benchmark.limit for one in config.entrants} == {8}
    for fields, limit, message in (
        ({}, 0, "benchmark.limit: input should be greater than or equal to 1"),
        ({"benchmarks": [7]}, 8, "7 is neither a name nor a mapping"),
        ({"benchmarks": "mini-xtail"}, 8, "benchmarks: takes a list"),
    ):
        with pytest.raises(ConfigError, match=message) as told:
            tune_config({**TUNE, **fields}, limit)
        assert "\n" not in str(told.value) and str(told.value).startswith("tune: ")


def test_limits_of_the_learning_rate_hold_for_every_method() -> None:
    own = {one.method: one.study for one in tune_config(TUNE).entrants}
    given = {one.method: one.study for one in tune_config({**TUNE, "learning_rate": [2e-4, 3e-3]}).entrants}
    for method in ("lora", "replay + codyra"):
        before, after = own[method], given[method]
        assert before is not None and after is not None
        assert before.search_space().parameters[LEARNING_RATE] == LogUniform(*RATES)
        assert after.search_space().parameters == {**before.search_space().parameters, LEARNING_RATE: LogUniform(2e-4, 3e-3)}


def test_a_field_that_is_fixed_to_nothing_is_not_searched() -> None:
    """``alpha: null`` is LoRA's own default: as large as the rank."""
    (lora,) = tune_config({**TUNE, "methods": [{"name": "lora", "alpha": None}]}).entrants
    assert lora.study is not None and "method.alpha" not in lora.study.search_space().parameters


def test_what_every_method_searches_and_is_judged_on() -> None:
    entrants = {one.method: one for one in tune_config(TUNE).entrants}
    assert list(entrants) == ["zero-shot", "lora", "replay + codyra"]
    assert entrants["zero-shot"].study is None
    replay = entrants["replay + codyra"].study
    assert replay is not None and replay.name == "fair.mini-xtail.replay-codyra"
    assert "method.inner.rank" not in replay.search_space().parameters  # the file fixes it
    assert {one.orders for one in entrants.values()} == {("II",)}
    for one in entrants.values():
        judged = one.judged(one.run, [1, 2])
        assert [(run.seed, run.resolved()["benchmark"]["order"]) for run in judged] == [(1, "II"), (2, "II")]


def test_every_method_that_takes_steps_tunes_its_learning_rate() -> None:
    """Also where its space has none; and the default setting is the first trial wherever the space can hold it."""
    names = [name for name in METHODS if name in SPACES and METHODS[name].__module__.startswith(("baselines", "trainables"))]
    fields = {**TUNE, "methods": names, "spaces": {"codyra": "codyra-quick"}}
    config = validate(TuneConfig, fields, where="tune")
    without, outside = set(), set()
    for one in config.entrants:
        assert one.study is not None
        if LEARNING_RATE not in one.study.search_space().parameters:
            without.add(one.method)
        if not one.study.first_points():
            outside.add(one.method)
    assert without == {"rail-dual", "rail-primal"}  # closed forms
    assert outside == {"rail-primal"}  # its width follows the features unless it is set
