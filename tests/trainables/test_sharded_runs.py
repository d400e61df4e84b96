"""Runs whose workers hold the frozen weights of a language model together: equal to those where each holds all of them, or refused."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from suite.backbones.lm_network import MINI_LM
from suite.config import RunConfig, validate
from suite.errors import ConfigError
from suite.runs.record import Record, read_record
from suite.workflows.exporting import export
from trainables.assemble import assemble
from trainables.preflight import refusals
from trainables.resources import Resources
from trainables.worker_group import WorkerGroup

MODEL = {"name": "causal-lm", "model": str(MINI_LM), "max_prompt_tokens": 64, "max_answer_tokens": 16}
TEXT = {"name": "mini-trace", "tasks": ["FOMC", "NumGLUE-cm"], "limit": 12}
SCRIPT = """
import json, sys
from datetime import timedelta
from pathlib import Path
import torch
import torch.distributed as dist
torch.set_num_threads(1)
from suite.config import RunConfig, validate
from trainables.run import RunContext, execute
from trainables.worker_group import WorkerGroup
fields, out, rank, port, shards, rows = json.loads(sys.argv[1]), Path(sys.argv[2]), *map(int, sys.argv[3:7])
dist.init_process_group("gloo", f"tcp://127.0.0.1:{port}", timedelta(seconds=120), 2, rank)
where = RunContext(out, out, "cpu", group=WorkerGroup(rank, 2, bool(shards)))
execute(validate(RunConfig, fields, where="test"), where, lambda report: report.row < rows)
dist.destroy_process_group()
"""


def fields_of(method: dict[str, Any], **others: Any) -> dict[str, Any]:
    training = {"steps": 8, "batch_size": 8, "clip_norm": 1.0, "lr": 5e-3, "precision": "fp32", **others.pop("training", {})}
    return {"benchmark": TEXT, "method": method, "backbone": MODEL, "training": training, **others}


def learned(fields: dict[str, Any], out: Path, *, shards: bool, rows: int = 9) -> Record:
    """What two processes make of a run, stopped after so many ``rows``."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        port = server.getsockname()[1]
    numbers = [[str(number) for number in (rank, port, int(shards), rows)] for rank in range(2)]
    command = [sys.executable, "-c", SCRIPT, json.dumps(fields), str(out)]
    workers = [subprocess.Popen([*command, *own], stderr=subprocess.PIPE, text=True) for own in numbers]
    said = [worker.communicate(timeout=280)[1] for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0], "\n".join(said)
    (record,) = out.glob("runs/*/record.json")
    return read_record(record)


def equal_files(one: Path, other: Path) -> bool:
    """Bit for bit the same tensors; safetensors writes metadata in any order."""
    tensors, others = load_file(one), load_file(other)
    return tensors.keys() == others.keys() and all(torch.equal(value, others[key]) for key, value in tensors.items())


@pytest.mark.slow
def test_shards_learn_what_whole_weights_learn_and_go_on_after_a_stop(tmp_path: Path) -> None:
    """Where no map is small beside its factors, both ways compute the same products: equal bit for bit."""
    fields = fields_of({"name": "codyra", "rank": 2, "kappa_levels": 3, "placement": "qkvoinout"})
    whole = learned(fields, tmp_path / "whole", shards=False)
    stopped = learned(fields, tmp_path / "shards", shards=True, rows=1)
    assert (stopped.status, stopped.tasks_done) == ("stopped", 1)
    shared = learned(fields, tmp_path / "shards", shards=True)
    assert shared.run_id == whole.run_id, "where a run's weights lie is no part of what it is"
    assert (shared.status, shared.test, shared.validation) == ("finished", whole.test, whole.validation)
    assert any(cell for row in shared.test for cell in row if cell)
    for one, other in zip(whole.results, shared.results, strict=True):
        assert other.train_loss == one.train_loss
        assert {**other.digests, "state": ""} == {**one.digests, "state": ""}  # of merged parts, outcomes and answers
        assert (other.update_norm, other.effective_rank) == (one.update_norm, one.effective_rank)
        assert "sharded_over" not in one.facts
    assert equal_files(*(next((tmp_path / place).rglob("state_2.safetensors")) for place in ("whole", "shards")))
    assert [result.facts.get("sharded_over") for result in shared.results[1:]] == [2, 2]
    files = [
        export(record.run_id, "hf", tmp_path / f"to_{place}", out=tmp_path / place, data_root=tmp_path, device="cpu").files[0]
        for place, record in {"whole": whole, "shards": shared}.items()
    ]
    assert equal_files(*files)


@pytest.mark.slow
@pytest.mark.parametrize(
    "method",
    [
        {"name": "lora", "rank": 8, "between": "stack"},  # live branches, which are merged into the shards for every evaluation
        {"name": "replay", "memory_size": 8, "inner": {"name": "inflora", "rank": 2}},  # passes of its own between tasks
        {"name": "any-ssr", "rank": 2},  # chooses a branch for each example while answers are generated
    ],
    ids=lambda method: method["name"],
)
def test_methods_that_pass_the_network_otherwise(method: dict[str, Any], tmp_path: Path) -> None:
    whole, shared = (learned(fields_of(method), tmp_path / str(on), shards=on) for on in (False, True))
    assert (shared.status, shared.test, shared.validation) == ("finished", whole.test, whole.validation)
    for one, other in zip(whole.results, shared.results, strict=True):
        assert other.train_loss == (None if one.train_loss is None else pytest.approx(one.train_loss, rel=1e-3))
        assert other.effective_rank == one.effective_rank


def test_one_worker_has_nobody_to_share_weights_with() -> None:
    with pytest.raises(ConfigError, match="^sweep: shard_frozen lays the frozen weights over several workers; set workers to"):
        validate(Resources, {"shard_frozen": True}, where="sweep")
    assert "shard_frozen" not in Resources(workers=2).model_dump(), "configs without it stay as they were written"


CLIP = {"name": "mini-mtil", "domains": ["shapes", "faces"], "shots": 2}
REFUSED = [
    ({"benchmark": CLIP, "method": "lora"}, "backbone 'mini-clip' fits one card and is not laid over several workers"),
    ({"benchmark": TEXT, "method": "lora"}, "backbone 'mini-lm' fits one card"),
    *((fields_of({"name": name}), f"'{name}' learns or reads the frozen") for name in ("finetune", "joint", "ewclora", "keeplora")),
    (fields_of({"name": "replay", "inner": {"name": "keeplora"}}), "'keeplora' inside 'replay' learns or reads the frozen weights"),
]  # fmt: skip


@pytest.mark.parametrize(("fields", "reason"), REFUSED)
def test_what_cannot_be_sharded_is_refused_before_weights_are_read(
    fields: dict[str, Any], reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = validate(RunConfig, fields, where="test")
    (found,) = refusals([config.resolved()], tmp_path, shard_frozen=True)
    assert found.reason.startswith("resources.shard_frozen: ") and reason in found.reason
    stream = config.benchmark.open(tmp_path)
    monkeypatch.setattr(type(config.backbone), "build", None)
    monkeypatch.setattr(type(config.backbone), "build_sharded", None)
    with pytest.raises(ConfigError) as refused:
        assemble(config, stream, torch.device("cpu"), group=WorkerGroup(0, 2, shards=True))
    assert str(refused.value) == found.reason
