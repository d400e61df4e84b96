"""Loading, overriding, resolving and hashing run configs; every bad input is one clear sentence."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from suite.config import RunConfig, apply_overrides, validate
from suite.errors import ConfigError
from suite.registry import METHODS
from suite.workflows.configs import run_config
from suite.yaml_files import load_yaml


def test_resolved_config_feeds_back_unchanged(make_config: Callable[..., RunConfig]) -> None:
    config = make_config("codyra", rank=4, placement="vision:qv")
    again = validate(RunConfig, yaml.safe_load(yaml.safe_dump(config.resolved())), where="again")
    assert again == config
    assert again.config_hash() == config.config_hash()


def test_a_placement_is_one_text_however_it_is_written(make_config: Callable[..., RunConfig]) -> None:
    config = make_config("codyra", placement={"weights": ["out", "v", "q"]})
    assert config.resolved()["method"]["placement"] == "qvout"
    assert config == make_config("codyra", placement="qvout")


def test_benchmark_fills_backbone_and_budget() -> None:
    config = run_config("mini-xtail", method="lora", seed=None, settings=[])
    resolved = config.resolved()
    assert resolved["backbone"]["name"] == "mini-clip"
    assert resolved["training"]["steps"] == 60
    assert resolved["method"]["placement"] == "qkvoinout"


def test_own_budget_unit_replaces_the_benchmarks() -> None:
    training = run_config("mini-mtil", method="lora", seed=None, settings=["training.epochs=2"]).resolved()["training"]
    assert (training["steps"], training["epochs"], training["batch_size"]) == (None, 2.0, 32)


def test_hashes_tell_what_they_should(make_config: Callable[..., RunConfig]) -> None:
    one, other = make_config("lora", seed=0), make_config("lora", seed=1)
    assert one.config_hash() != other.config_hash()
    assert one.settings_hash() == other.settings_hash()
    assert make_config("lora", rank=8).settings_hash() != one.settings_hash()


def test_overrides_reach_every_depth() -> None:
    fields = apply_overrides({"method": "lora"}, ["method.rank=8", "training.lr=1e-3", "seed=3", "benchmark.domains=[a, b]"])
    assert fields == {
        "method": {"name": "lora", "rank": 8},
        "training": {"lr": 0.001},
        "seed": 3,
        "benchmark": {"domains": ["a", "b"]},
    }


BAD: list[tuple[str, dict[str, Any], str]] = [
    ("nearest method", {"method": "codira"}, "nearest: 'codyra'"),
    (
        "unknown method lists all",
        {"method": "xyz"},
        f"use one of {', '.join(sorted(METHODS))}",
    ),
    ("nearest key", {"settings": ["method.rnak=3"]}, "method.rnak: unknown key.*nearest: 'rank'"),
    ("nearest training key", {"settings": ["training.step=3"]}, "training.step: unknown key.*nearest: 'steps'"),
    ("unknown section", {"settings": ["metod.rank=3"]}, "'metod' is no part of a run; write method.rank=3"),
    ("range", {"settings": ["method.rank=0"]}, r"method.rank: .*greater than or equal to 1 \(is 0\)"),
    ("type", {"settings": ["method.rank=many"]}, r"method.rank: takes a whole number \(is 'many'\)"),
    ("fraction", {"settings": ["method.dense_fraction=1.5"]}, "method.dense_fraction: .*less than 1"),
    ("a list", {"settings": ["benchmark.domains=shapes"]}, r"benchmark.domains: takes a list, as in \[a, b\] \(is 'shapes'\)"),
    ("fields", {"settings": ["training=60"]}, r"training: takes fields, as in \{field: value\} \(is 60\)"),
    ("choice", {"settings": ["method.threshold_op=hard"]}, "method.threshold_op: .*'soft' or 'codyra_release'"),
    ("placement", {"settings": ["method.placement=qkw"]}, "method.placement: 'qkw' is not a placement"),
    ("encoder", {"settings": ["method.placement=sound:q"]}, "'sound' is not an encoder"),
    ("learning rate", {"settings": ["training.lr=-1"]}, "training.lr: .*greater than 0"),
    ("two budgets", {"settings": ["training.steps=3", "training.epochs=2"]}, "steps and epochs are both set"),
    ("precision", {"settings": ["training.precision=fp8"]}, "training.precision"),
    ("kernels of another format", {"settings": ["training.kernels=triton"]}, "serves bf16 alone and precision is fp32"),
    ("schedule", {"settings": ["training.schedule=linear"]}, "training.schedule"),
    ("negative seed", {"seed": -1}, "seed: .*greater than or equal to 0"),
    ("backbone", {"settings": ["backbone.name=mini-clop"]}, "nearest: 'mini-clip'"),
    ("backbone field", {"settings": ["backbone.evalbatch=3"]}, "backbone.evalbatch: unknown key"),
    ("benchmark field", {"settings": ["benchmark.shot=3"]}, "benchmark.shot: unknown key.*nearest: 'shots'"),
    ("order", {"settings": ["benchmark.order=III"]}, "benchmark.order"),
    ("domain", {"settings": ["benchmark.domains=[shapes, face]"]}, "benchmark.domains: 'face'.*nearest: 'faces'"),
    ("task", {"settings": ["benchmark={name: mini-trace, tasks: [FOMCC]}"]}, "benchmark.tasks: 'FOMCC'.*nearest: 'FOMC'"),
    ("task of files", {"settings": ["benchmark={name: trace, tasks: [FOMCC]}"]}, "benchmark.tasks: 'FOMCC'.*nearest: 'FOMC'"),
    ("no equals sign", {"settings": ["method.rank"]}, "has no key or no '='"),
    ("no key", {"settings": ["=3"]}, "has no key"),
    ("bad yaml", {"settings": ["method.rank=[1"]}, "cannot be read"),
    ("through a value", {"settings": ["training.steps=3", "training.steps.x=3"]}, "is a plain value"),
    ("batch", {"settings": ["training.batch_size=0"]}, "training.batch_size"),
    ("levels", {"settings": ["method.kappa_levels=1"]}, "method.kappa_levels"),
    ("null rank", {"settings": ["method.rank=null"]}, "method.rank"),
    ("infinite rate", {"settings": ["training.lr=inf"]}, "training.lr: .*finite"),
    (
        "infinite temperature",
        {"settings": ["backbone={name: mini-lm, temperature: .inf}"]},
        r"'.inf' is no number that a setting can have",
    ),
    ("infinite threshold", {"settings": ["method.kappa_max=.inf"]}, r"'.inf' is no number that a setting can have"),
    ("no rate at all", {"settings": ["training.lr=nan"]}, "training.lr: .*finite"),
    ("a date", {"settings": ["benchmark.order=2024-01-01"]}, "benchmark.order"),
    ("method as list", {"settings": ["method=[lora]"]}, r"config: method: \['lora'\] is neither a name nor a mapping"),
    ("method as number", {"settings": ["method=7"]}, "config: method: 7 is neither a name nor a mapping"),
    ("backbone as number", {"settings": ["backbone=7"]}, "config: backbone: 7 is neither a name nor a mapping"),
    ("benchmark as number", {"settings": ["benchmark=7"]}, "config: benchmark: 7 is neither a name nor a mapping"),
    ("training as number", {"settings": ["training=7"]}, "config: training: "),
    ("placement as list", {"settings": ["method.placement=[q]"]}, r"method.placement: .*write it as text.*\(is \['q'\]\)"),
    (
        "weight of a mapping",
        {"settings": ["method.placement={weights: [q, zz]}"]},
        "method.placement.weights: .*'zz'.*q, k, v, o, in, out",
    ),
    ("no weight", {"settings": ["method.placement={weights: []}"]}, "method.placement.weights: names no weight"),
]


@pytest.mark.parametrize(("arguments", "message"), [case[1:] for case in BAD], ids=[case[0] for case in BAD])
def test_bad_input_is_one_sentence(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as error:
        run_config("mini-mtil", **{"method": "codyra", "seed": None, "settings": [], **arguments})
    assert "\n" not in str(error.value)
    assert str(error.value).endswith(".")


def test_a_value_of_several_types_is_told_once() -> None:
    told = {
        -1: "method.merged_rank: input should be greater than 0 (is -1).",
        float("nan"): "method.merged_rank: input should be a finite number (is nan).",
        "nan": "merged_rank 'nan' is neither a finite number above 0 nor the folder of a run.",
    }
    for value, sentence in told.items():
        with pytest.raises(ConfigError) as refused:
            validate(RunConfig, {"benchmark": "mini-mtil", "method": {"name": "squeeze", "merged_rank": value}}, where="run")
        assert str(refused.value).endswith(sentence) and str(refused.value).count(";") == 0


def test_all_problems_come_together() -> None:
    with pytest.raises(ConfigError, match="method.rank.*training.lr"):
        run_config("mini-mtil", method="lora", seed=None, settings=["method.rank=0", "training.lr=0"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("benchmark: [", "is not valid YAML"),
        ("- a\n- b", "holds a list"),
        ("benchmark: {nam: x}", "benchmark.name: is missing"),
        ("method: lora", "benchmark: is missing"),
        ("benchmark: {name: mini-mtil, order: 2024-01-01}", "benchmark.order"),
        ("benchmark: 3", "benchmark: 3 is neither"),
        ("benchmark: !!python/object:os.system {}", "is not valid YAML"),
    ],
)
def test_bad_files(text: str, message: str, tmp_path: Path) -> None:
    file = tmp_path / "run.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=message) as error:
        run_config(str(file), method=None, seed=None, settings=[])
    assert str(file) in str(error.value) or "benchmark" in str(error.value)


def test_missing_file_and_folder(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such file"):
        load_yaml(tmp_path / "none.yaml")
    with pytest.raises(ConfigError, match="is a folder"):
        load_yaml(tmp_path)
