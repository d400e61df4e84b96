"""What a run would be refused for is found before it begins, in the words in which it would be refused."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from suite.backbones.lm_network import MINI_LM
from suite.config import RunConfig, validate
from suite.data.drawn_references import write_references
from suite.errors import ConfigError
from suite.registry import SPACES
from suite.tuning.points import spanning_points
from suite.tuning.preflight import refused_here, refused_runs
from suite.tuning.run_settings import RunSettings
from suite.workflows.comparing import able_runs, compare
from suite.workflows.papers import paper
from suite.workflows.progress import QUIET
from suite.workflows.running import run
from suite.workflows.sweep_checks import able_points
from suite.workflows.sweeping import study_config, sweep
from suite.workflows.tuning import tune
from trainables.assemble import assemble
from trainables.preflight import Refusal, refusals
from trainables.resources import Resources

MINI = {"name": "mini-mtil", "domains": ["shapes", "faces"], "shots": 2}
TEXT = {"name": "mini-trace", "tasks": ["Py150", "NumGLUE-ds"]}
LEVELS = {"benchmark": MINI, "method": {"name": "codyra", "kappa_levels": 9}, "training": {"steps": 4}}
REFUSED: list[tuple[dict[str, Any], str]] = [
    (LEVELS, "4 steps for task 'faces' leave no room for 9 threshold levels"),
    ({"benchmark": TEXT, "method": "rail-primal"}, "'rail-primal' needs a CLIP, and the backbone is a language model"),
    ({"benchmark": MINI, "method": {"name": "replay", "inner": "icl"}}, "'icl' inside 'replay' needs a language model, and the backbone"),
    ({"benchmark": TEXT, "method": "lwf-vr"}, "'lwf-vr' needs a CLIP"),
    ({"benchmark": TEXT, "method": {"name": "replay", "inner": {"placement": "vision:qv"}}}, "lora: placement 'vision:qv' names an encoder"),
    ({"benchmark": {**MINI, "domains": ["shapes", "faces", "digits"]}, "method": {"name": "replay", "memory_size": 2, "selection": "balanced"}}, "replay: a memory_size of 2"),
    ({"benchmark": MINI, "method": {"name": "icarl", "memory_size": 1}}, "icarl: a memory_size of 1 in equal shares leaves none of 2 tasks"),
    ({"benchmark": MINI, "method": "lora", "backbone": "mini-lm"}, "benchmark 'mini-mtil' holds images"),
    ({"benchmark": TEXT, "method": "lora", "backbone": "mini-clip"}, "benchmark 'mini-trace' needs a language model"),
    ({"benchmark": MINI, "method": "lora", "training": {"per_task": {"shape": {"steps": 1}}}}, "'shape' is not a task"),
    ({"benchmark": TEXT, "method": "lora", "training": {"precision": "bf16", "kernels": "triton"}}, "'triton' serves CLIP alone"),
    ({"benchmark": TEXT, "method": "lora", "training": {"encoders": "at_once"}}, "training.encoders: 'at_once' serves CLIP alone"),
    ({"benchmark": MINI, "method": "lora", "references": {"folder": "absent"}}, "absent"),
    ({"benchmark": {**MINI, "name": "mini-xtail"}, "method": "lora", "backbone": {"name": "open-clip", "model": "ViT-B-99"}}, "ViT-B-99"),
    ({"benchmark": TEXT, "method": "lora", "backbone": {"name": "causal-lm", "model": "./absent"}}, "'./absent' is not a folder"),
]  # fmt: skip


def config_of(fields: dict[str, Any]) -> RunConfig:
    return validate(RunConfig, fields, where="test")


@pytest.mark.parametrize(("fields", "reason"), REFUSED, ids=lambda value: value if isinstance(value, str) else "")
def test_the_sentence_is_the_one_that_the_run_would_end_with(fields: dict[str, Any], reason: str, tmp_path: Path) -> None:
    config = config_of(fields)
    (found,) = refusals([config.resolved()], tmp_path)
    assert reason in found.reason
    with pytest.raises(ConfigError if found.is_unfit else Exception) as refused:
        assemble(config, config.benchmark.build(tmp_path), torch.device("cpu"))
    assert str(refused.value) == found.reason


def test_a_language_model_reads_no_reference_pictures(tmp_path: Path) -> None:
    folder = write_references(tmp_path / "references", per_class=1)
    config = config_of({"benchmark": TEXT, "method": "lora", "references": {"folder": str(folder)}})
    (found,) = refusals([config.resolved()], tmp_path)
    assert "references: backbone 'mini-lm' reads no reference pictures" in found.reason
    with pytest.raises(ConfigError) as refused:
        assemble(config, config.benchmark.build(tmp_path), torch.device("cpu"))
    assert str(refused.value) == found.reason


def test_what_is_seen_without_weights_of_larger_backbones(tmp_path: Path) -> None:
    weightless = tmp_path / "weightless"
    shutil.copytree(MINI_LM, weightless, ignore=shutil.ignore_patterns("*.safetensors"))
    named = [
        {"benchmark": MINI, "method": "lora", "backbone": {"name": "open-clip", "model": "ViT-B-32", "pretrained": None}},
        {"benchmark": TEXT, "method": "lora", "backbone": {"name": "causal-lm", "model": str(weightless)}},
        {"benchmark": TEXT, "method": "lora", "backbone": {"name": "causal-lm", "model": str(MINI_LM)}},
    ]
    first, second = refusals([config_of(fields).resolved() for fields in named], tmp_path)
    assert "are 32 x 32, backbone 'open-clip' reads 224 x 224" in first.reason
    assert "there are no safetensors weights in it" in second.reason
    assert (first.position, second.position) == (0, 1)


def test_a_comparison_and_a_sweep_are_refused_before_anything_is_trained(tmp_path: Path) -> None:
    settings = ["benchmark.domains=[shapes,faces]", "benchmark.shots=2", "training.steps=4", "codyra.kappa_levels=9"]
    places = {"out": tmp_path / "out", "data_root": tmp_path, "tracking": "none"}
    with pytest.raises(
        ConfigError, match=r"^mini-mtil codyra seed 0, mini-mtil codyra seed 1: codyra: 4 steps .* codyra.kappa_levels="
    ):
        compare(["mini-mtil"], ["lora", "codyra"], [0, 1], settings, **places)  # type: ignore[arg-type]
    fields = {"name": "night", "run": LEVELS, "space": "codyra-quick", "objectives": ["zscl.last"], "budget": {"trials": 2}}
    with pytest.raises(ConfigError, match="^study 'night': no trial could begin: codyra: 4 steps"):
        sweep(fields, **places)  # type: ignore[arg-type]
    assert not (tmp_path / "out").exists()


SWEEP = {"name": "night", "run": LEVELS, "space": "codyra-quick", "budget": {"trials": 2}}
TUNE = {"name": "fair", "benchmarks": ["mini-mtil"], "methods": ["lora"], "budget": {"trials": 2}}


@pytest.mark.parametrize(
    "begin",
    [
        partial(run, "mini-mtil"),
        partial(compare, ["mini-mtil"], ["lora"]),
        partial(sweep, SWEEP),
        partial(tune, TUNE),
        partial(paper, "xtail"),
    ],
    ids=["run", "compare", "sweep", "tune", "paper"],
)
def test_a_device_that_is_not_there_is_refused_before_anything(begin: Callable[..., object], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="^device: 'cuda:99' is asked for but this machine has"):
        begin(out=tmp_path / "out", data_root=tmp_path, device="cuda:99", tracking="none")
    assert not (tmp_path / "out").exists()


def test_the_number_of_a_gpu_is_refused_where_ray_chooses_it(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="device: 'cuda:1': Ray gives every run 1 GPU of its own, counted from 0; use 'cuda'"):
        refused_runs([], RunSettings(tmp_path, tmp_path, "cuda:1", resources=Resources(gpus=1.0)))


def test_a_part_of_a_space_that_cannot_begin_is_left_out_of_the_bill(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The levels of CoDyRA's threshold do not fit into 6 steps everywhere; a sweep and a tuning go on with what does."""
    few = {"name": "few", "run": {"benchmark": MINI, "training": {"steps": 16}}, "space": "codyra"}
    config = study_config(few, where="sweep")
    points = spanning_points(config)
    found = refused_here(points, tmp_path, "cpu")
    able = able_points(config, points, found, QUIET)
    assert able and len(able) == len(points) - len(found) < len(points)
    assert (
        "study 'few': trials in a part of its space will fail, as one that was drawn to try it: codyra: 16 steps" in caplog.text
    )
    with pytest.raises(ConfigError, match="^study 'few': no trial could begin: codyra: 16 steps"):
        able_points(config, points[:1], [Refusal(0, found[0].reason, False)], QUIET)


def test_methods_that_nobody_named_are_left_out_where_they_do_not_fit(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    configs = [config_of({"benchmark": TEXT, "method": name}) for name in ("rail-primal", "lora")]
    run_settings = RunSettings(tmp_path, tmp_path)
    able, left_out = able_runs(configs, run_settings, QUIET, leaves_out=True)
    assert list(able) == configs[1:] and "needs a CLIP" in left_out[0]
    assert "left out: mini-trace rail-primal seed 0: method: 'rail-primal' needs a CLIP" in caplog.text
    with pytest.raises(ConfigError, match="'rail-primal' needs a CLIP"):
        able_runs(configs, run_settings, QUIET, leaves_out=False)


def test_a_rank_that_no_layer_has_is_refused_before_anything_is_trained(tmp_path: Path) -> None:
    config = config_of({"benchmark": MINI, "method": {"name": "replay", "inner": {"name": "lora", "rank": 97}}})
    with pytest.raises(ConfigError, match=r"method\.rank: vision\.0\.q has 96 inputs, .* at most 96"):
        assemble(config, config.benchmark.build(tmp_path), torch.device("cpu"))


def test_a_study_searches_placements_that_its_backbone_has() -> None:
    texts, images = ({"name": "t", "run": {"benchmark": one}, "space": "treelora"} for one in ("mini-trace", "mini-xtail"))
    searched = study_config(texts, where="sweep")
    assert str(searched.search_space().parameters["method.placement"].text()) == "qv | qkvo | inout | qkvoinout"
    assert "vision:qkvo" in searched.left_out()["method.placement"]
    whole = study_config(images, where="sweep")
    assert whole.left_out() == {} and whole.search_space().parameters == SPACES["treelora"].parameters
