"""Exported weights are judged as the run judged itself: in its precision, on the tasks that it had evaluated."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from suite.benchmarks.mini_trace import COUNTS
from suite.config import RunConfig, validate
from suite.errors import ConfigError
from suite.workflows.exporting import export
from trainables.run import RunContext, execute


def test_a_bf16_run_is_judged_in_bf16(make_config: Callable[..., RunConfig], run_context: RunContext, tmp_path: Path) -> None:
    record = execute(make_config("lora", training={"precision": "bf16"}), run_context)
    exported = export(record.run_id, "open_clip", tmp_path, out=run_context.out, data_root=run_context.data_root, device="cpu")
    assert (exported.differing, exported.examples) == (0, 482)


@pytest.mark.parametrize(
    ("method", "beside"),
    [
        ("l2p", r" \(prompts\)"),
        ({"name": "rail-primal", "width": 8}, ""),
        ({"name": "replay", "inner": {"name": "icarl", "herding": "class", "classifier": "nearest_mean"}}, ""),
    ],
)
def test_what_stands_beside_the_weights_is_refused(method: str | dict[str, Any], beside: str, tmp_path: Path) -> None:
    """Before a file is written, whatever the format."""
    fields = {
        "benchmark": {"name": "mini-mtil", "domains": ["arrows"], "shots": 2},
        "method": method,
        "training": {"steps": 1, "batch_size": 2},
    }
    record = execute(validate(RunConfig, fields, where="test"), RunContext(tmp_path, tmp_path, "cpu"))
    wanted = (
        rf"export: method '.*' computes with more than weights{beside}, which no format holds; its answers are those of the "
    )
    with pytest.raises(ConfigError, match=wanted):
        export(record.run_id, "open_clip", tmp_path / "to", out=tmp_path, data_root=tmp_path, device="cpu")
    assert not (tmp_path / "to").exists()


def test_a_stopped_text_run_is_judged_on_what_it_learned(tmp_path: Path) -> None:
    """After one task a text stream has answered that task alone."""
    fields = {
        "benchmark": {"name": "mini-trace", "tasks": ["C-STANCE", "ScienceQA"]},
        "method": {"name": "lora", "rank": 2},
        "training": {"steps": 2, "batch_size": 4},
    }
    config = validate(RunConfig, fields, where="test")
    record = execute(config, RunContext(tmp_path, tmp_path, "cpu"), lambda report: report.row < 1)
    assert record.tasks_done == 1
    exported = export(record.run_id, "hf", tmp_path, out=tmp_path, data_root=tmp_path, device="cpu")
    assert (exported.differing, exported.examples) == (0, COUNTS["test"])
    card = next(file for file in exported.files if file.name == "README.md").read_text()
    assert card.startswith("---\nlibrary_name: transformers\n") and "license: apache-2.0" in card
    cells = " | ".join("-" if value is None else f"{value:.1f}" for value in record.test[1])
    assert f"| C-STANCE | {cells} |" in card and f"codyra-suite repeat {record.run_id}" in card and str(record.commit) in card
