"""Stored answers under another rule equal a run that was scored so from the start; exported language models answer the same."""

from __future__ import annotations

import json
import shutil
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from suite.benchmarks.mini_trace import COUNTS
from suite.config import RunConfig, validate
from suite.errors import ConfigError, DataError, SuiteError
from suite.runs.generations import GENERATIONS
from suite.runs.outcomes import read_outcomes
from suite.runs.record import Record
from suite.runs.row_file import block
from suite.workflows.exporting import export
from suite.workflows.publishing import publish, verify
from suite.workflows.repeating import repeat
from suite.workflows.rescoring import rescore_run
from suite.yaml_files import load_yaml
from trainables.run import RunContext, execute


def config(scoring: str = "strict", **method: Any) -> RunConfig:
    fields = {
        "benchmark": {"name": "mini-trace", "tasks": ["C-STANCE", "ScienceQA"], "scoring": scoring},
        "method": {"name": "lora", "rank": 2, **method},
        "training": {"steps": 4, "batch_size": 4},
    }
    return validate(RunConfig, fields, where="test")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Record, Path]:
    out = tmp_path_factory.mktemp("out")
    return execute(config(), RunContext(out, out, "cpu")), out


@pytest.mark.parametrize("scoring", ["trace", "treelora"])
def test_equals_a_run_scored_so_from_the_start(scoring: str, trained: tuple[Record, Path], tmp_path: Path) -> None:
    record, out = trained
    again = rescore_run(record.run_id, scoring, out, out)
    direct = execute(config(scoring), RunContext(tmp_path, tmp_path, "cpu"))
    assert (again.run_id, again.scoring, again.metrics, again.setting) == (
        direct.run_id,
        scoring,
        direct.metrics,
        direct.setting,
    )
    assert again.test == direct.test
    assert again.validation == direct.validation
    ours, theirs = (read_outcomes(folder / "runs" / again.run_id) for folder in (out, tmp_path))
    assert ours.keys() == theirs.keys()
    assert all(np.array_equal(ours[key], theirs[key]) for key in ours)


def test_the_first_run_stays_and_a_second_call_changes_nothing(trained: tuple[Record, Path]) -> None:
    record, out = trained
    before = (out / "runs" / record.run_id / "record.json").read_bytes()
    first = rescore_run(record.run_id, "trace", out, out)
    stamp = (out / "runs" / first.run_id / "record.json").stat().st_mtime_ns
    assert rescore_run(record.run_id, "trace", out, out) == first
    assert (out / "runs" / first.run_id / "record.json").stat().st_mtime_ns == stamp
    assert (out / "runs" / record.run_id / "record.json").read_bytes() == before


def test_a_run_that_has_gone_on_is_scored_again(tmp_path: Path) -> None:
    here = RunContext(tmp_path, tmp_path, "cpu")
    stopped = execute(config(), here, lambda report: report.row < 1)
    early = rescore_run(stopped.run_id, "trace", tmp_path, tmp_path)
    assert (early.status, early.tasks_done) == ("stopped", 1)
    execute(config(), here)
    late = rescore_run(stopped.run_id, "trace", tmp_path, tmp_path)
    assert (late.run_id, late.status, late.tasks_done) == (early.run_id, "finished", 2)


def test_the_config_of_the_other_rule_lies_beside_the_record(trained: tuple[Record, Path]) -> None:
    record, out = trained
    again = rescore_run(record.run_id, "treelora", out, out)
    fields = load_yaml(out / "runs" / again.run_id / "config.yaml")
    assert validate(RunConfig, fields, where="test") == config("treelora")


def test_what_cannot_be_scored_again_is_named(trained: tuple[Record, Path], tmp_path: Path) -> None:
    record, out = trained
    with pytest.raises(ConfigError, match="scored by 'strict' already"):
        rescore_run(record.run_id, "strict", out, out)
    with pytest.raises(ConfigError, match="scoring"):
        rescore_run(record.run_id, "tracee", out, out)
    copy = tmp_path / "runs" / record.run_id
    copy.mkdir(parents=True)
    (copy / "record.json").write_bytes((out / "runs" / record.run_id / "record.json").read_bytes())
    with pytest.raises(DataError, match="are not stored"):
        rescore_run(record.run_id, "trace", tmp_path, out)


@pytest.mark.parametrize("format", ["hf", "peft"])
def test_exported_language_models_answer_the_same(format: str, trained: tuple[Record, Path], tmp_path: Path) -> None:
    record, out = trained
    exported = export(record.run_id, format, tmp_path, out=out, data_root=out, device="cpu")
    assert exported.differing == 0
    assert exported.examples == 2 * COUNTS["test"]
    assert all(file.exists() for file in exported.files)


def test_exported_folder_loads_with_the_auto_classes(trained: tuple[Record, Path], tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    record, out = trained
    exported = export(record.run_id, "hf", tmp_path, out=out, data_root=out, device="cpu")
    folder = exported.files[0].parent
    network = AutoModelForCausalLM.from_pretrained(folder, local_files_only=True)
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    assert network.config.tie_word_embeddings
    assert "lm_head.weight" not in load_file(exported.files[0])
    assert torch.equal(network.lm_head.weight, network.model.embed_tokens.weight)
    assert tokenizer.decode(tokenizer("Stance:")["input_ids"]) == "Stance:"


def test_exported_adapters_are_in_pefts_form(trained: tuple[Record, Path], tmp_path: Path) -> None:
    record, out = trained
    exported = export(record.run_id, "peft", tmp_path, out=out, data_root=out, device="cpu")
    fields = json.loads((exported.files[0] / "adapter_config.json").read_bytes())
    assert fields["peft_type"] == "LORA"
    assert "model.layers.0.self_attn.q_proj" in fields["target_modules"]


def test_a_language_model_is_not_an_open_clip_model(trained: tuple[Record, Path], tmp_path: Path) -> None:
    record, out = trained
    with pytest.raises(ConfigError, match="use --format hf or peft"):
        export(record.run_id, "open_clip", tmp_path, out=out, data_root=out, device="cpu")


@pytest.mark.parametrize(
    ("harm", "reason"),
    [
        (lambda data: data[: len(data) // 2], "checksum differs"),
        (lambda data: b"overwritten", "is damaged"),
        (lambda data: block(0, zlib.compress(b"[1]")), "holds no answers"),
    ],
    ids=["truncated", "overwritten", "of another shape"],
)
def test_answers_that_are_not_the_runs_are_named_by_whoever_reads_them(
    harm: Callable[[bytes], bytes], reason: str, trained: tuple[Record, Path], tmp_path: Path
) -> None:
    record, out = trained
    shutil.copytree(out / "runs" / record.run_id, tmp_path / "runs" / record.run_id)
    file = tmp_path / "runs" / record.run_id / GENERATIONS
    file.write_bytes(harm(file.read_bytes()))
    assert reason in "; ".join(fault for one in verify(tmp_path) for fault in one.faults)
    for vouch in (
        lambda: repeat(record.run_id, out=tmp_path, data_root=tmp_path),
        lambda: publish(tmp_path / "site", group="ours", out=tmp_path, tracking="none"),
        lambda: rescore_run(record.run_id, "trace", tmp_path, tmp_path),
    ):
        with pytest.raises(SuiteError, match=reason):
            vouch()
    assert not (tmp_path / "site").exists()
