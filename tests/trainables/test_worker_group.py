"""Two workers that share every batch learn what one learns alone; batches are divided without loss."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from suite.backbones.learner import Batch
from suite.runs.record import Record, read_record
from trainables.worker_group import ALONE, WorkerGroup

RUN = """
import json, os, sys
from pathlib import Path
import torch
import torch.distributed as dist
torch.set_num_threads(1)
from suite.config import RunConfig, validate
from trainables.run import RunContext, execute
from trainables.worker_group import WorkerGroup
fields, out, rank, size, port = json.loads(sys.argv[1]), Path(sys.argv[2]), *map(int, sys.argv[3:6])
if size > 1:
    dist.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=size)
execute(validate(RunConfig, fields, where="test"), RunContext(out, out, "cpu", group=WorkerGroup(rank, size)))
"""


def batch(count: int) -> Batch:
    rows = torch.arange(count)
    return Batch(torch.zeros_like(rows), rows, {"pixels": rows[:, None].float()})


def learned(method: dict[str, object], out: Path, size: int) -> Record:
    fields = {
        "benchmark": {"name": "mini-mtil", "domains": ["shapes", "faces"], "shots": 4},
        "method": method,
        "backbone": {"name": "mini-clip", "text_to_image_loss": False},
        "training": {"steps": 8, "batch_size": 8, "clip_norm": 1.0},
    }
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        port = server.getsockname()[1]
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", RUN, json.dumps(fields), str(out), str(rank), str(size), str(port)], env=dict(os.environ)
        )
        for rank in range(size)
    ]
    assert [worker.wait(timeout=280) for worker in workers] == [0] * size
    records = list(out.glob("runs/*/record.json"))
    assert len(records) == 1
    return read_record(records[0])


@pytest.mark.slow
@pytest.mark.parametrize(
    "method", [{"name": "codyra", "kappa_levels": 3}, {"name": "replay", "memory_size": 20}], ids=["codyra", "replay"]
)
def test_two_workers_learn_what_one_learns(method: dict[str, object], tmp_path: Path) -> None:
    """Every loss here is a mean over rows, so gradients differ by rounding alone."""
    alone, together = learned(method, tmp_path / "one", 1), learned(method, tmp_path / "two", 2)
    assert together.run_id == alone.run_id
    assert together.status == "finished"
    assert together.test[0] == alone.test[0]
    for one, two in zip(alone.results, together.results, strict=True):
        assert two.effective_rank == one.effective_rank
        if one.train_loss is not None:
            assert two.train_loss == pytest.approx(one.train_loss, rel=1e-3)
        for slot, size in one.update_norm.items():
            assert two.update_norm[slot] == pytest.approx(size, rel=1e-2, abs=1e-6)


@given(st.integers(1, 40), st.integers(2, 5))
def test_shares_are_a_partition_with_weights_that_add_up(count: int, size: int) -> None:
    shares = [WorkerGroup(rank, size).share([batch(count), batch(3 * count)]) for rank in range(size)]
    assert sum(weight for _, weight in shares) == pytest.approx(1.0)
    rows = [int(row) for (first, _), _ in shares for row in first.rows]
    if count >= size:
        assert rows == list(range(count))
        assert all(torch.equal(first.inputs["pixels"][:, 0].long(), first.rows) for (first, _), _ in shares)
    else:
        assert rows == list(range(count)) * size


def test_alone_nothing_is_divided() -> None:
    whole = batch(5)
    shares, weight = ALONE.share([whole])
    assert shares == [whole]
    assert weight == 1.0
    assert ALONE.own([1, 2, 3]) == [1, 2, 3]
    assert WorkerGroup(1, 2).own([1, 2, 3]) == [2]
