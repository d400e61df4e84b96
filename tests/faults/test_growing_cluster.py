"""Sweeps on clusters whose nodes, separate processes on this machine, come and go."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import pytest
import yaml

from suite.config import RunConfig
from suite.measuring.ray_nodes import RayNode, RayNodes
from suite.runs.record import read_record
from suite.runs.store import RunStore
from suite.tuning.ray_runner import run_all
from suite.tuning.run_queue import ListQueue, Suggestion
from suite.tuning.run_settings import RunSettings

PATIENCE_SECONDS = 600
FAKE_HEAD_NODE_ID = 51 * "f" + "00000"  # as Ray's fake nodes have it
SWEEP: dict[str, Any] = {
    "name": "growing",
    "run": {
        "benchmark": {"name": "mini-mtil", "domains": ["shapes", "faces", "digits"], "shots": 4},
        "method": {"name": "codyra", "kappa_levels": 3},
        "training": {"steps": 100, "batch_size": 16},
    },
    "space": "codyra-quick",
    "sampler": "random",
    "budget": {"trials": 4},
}
pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


@contextmanager
def sweep(folder: Path, address: str) -> Iterator[subprocess.Popen[bytes]]:
    """The command on the cluster, its output in ``sweep.log``."""
    (folder / "sweep.yaml").write_text(yaml.safe_dump(SWEEP))
    command = [
        sys.executable,
        "-m",
        "suite.cli.main",
        "sweep",
        "sweep.yaml",
        "--address",
        address,
        "--out",
        "out",
        "--tracking",
        "none",
    ]
    with (folder / "sweep.log").open("wb") as log:
        process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log, start_new_session=True)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def wait(what: Callable[[], bool], process: subprocess.Popen[bytes], folder: Path) -> None:
    """Until ``what`` holds, while the sweep goes on."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not what():
        assert process.poll() is None and time.monotonic() < deadline, (folder / "sweep.log").read_text()
        time.sleep(0.2)


def finished(folder: Path) -> int:
    return sum(read_record(path).status == "finished" for path in folder.glob("out/runs/*/record.json"))


def joined(cluster: RayNodes) -> RayNode:
    node = cluster.join(1)
    node.wait()
    return node


def is_at_a_task(node: RayNode) -> bool:
    """Whether a trial on the node has worked for a while, so that the run is not over when the node goes."""
    return any(process.cpu_times().user > 1 for process in node.trials())


def states(folder: Path) -> list[str]:
    """Of all trials, as ``codyra-suite`` shows a finished study."""
    import optuna

    storage = f"sqlite:///{folder / 'out' / 'studies' / 'growing' / 'optuna.db'}"
    return [trial.state.name for trial in optuna.load_study(study_name="growing", storage=storage).get_trials()]


def test_a_sweep_waits_for_its_first_node_uses_those_that_join_and_outlives_those_that_leave(tmp_path: Path) -> None:
    with RayNodes(tmp_path, ["--num-cpus", "0"]) as cluster, sweep(tmp_path, cluster.address) as process:
        log = tmp_path / "sweep.log"
        wait(lambda: "waiting for nodes" in log.read_text(), process, tmp_path)
        told = "a run asks for 1 CPU and 0 GPUs, the cluster has 0 and 0; waiting for nodes that fit."
        assert log.read_text().count(told) == 1
        first = joined(cluster)
        wait(lambda: finished(tmp_path) == 1, process, tmp_path)
        second = joined(cluster)
        wait(lambda: is_at_a_task(first) and is_at_a_task(second), process, tmp_path)
        first.leave()
        second.kill()
        joined(cluster)
        assert process.wait(PATIENCE_SECONDS) == 0, log.read_text()
        assert states(tmp_path) == ["COMPLETE"] * 4
        assert finished(tmp_path) == 4


class Paused(ListQueue):
    """A list between whose first and second run something happens, while Tune keeps the process of the first for the second."""

    def __init__(self, configs: list[RunConfig], between: Callable[[], None]) -> None:
        super().__init__(configs)
        self.between = between
        self.done = 0

    def suggest(self) -> Suggestion | Literal["finished", "wait"]:
        if self._next > self.done:
            return "wait"
        if self._next == 1:
            self.between()
        return super().suggest()

    def ended(self, run: Suggestion, view: Any, reason: str | None) -> None:
        self.done += 1
        super().ended(run, view, reason)


@pytest.mark.parametrize("ending", ["leave", "kill"])
def test_a_node_may_go_between_two_runs(ending: str, make_config: Callable[..., RunConfig], tmp_path: Path) -> None:
    """The process that ran the first run, kept for the second, is gone with its node."""
    import ray  # noqa: F401  # before the session, as in a notebook, where it has read its variables by then

    configs = [make_config("lora"), make_config("lora", seed=1)]
    with RayNodes(tmp_path, ["--num-cpus", "0"]) as cluster:
        first = joined(cluster)

        def between() -> None:
            getattr(first, ending)()
            joined(cluster)

        queue = Paused(configs, between)
        assert run_all(queue, RunSettings(tmp_path / "out", tmp_path, "cpu", address=cluster.address))
        assert (queue.done, queue.failures) == (2, {})
        assert len(RunStore(tmp_path / "out").all().runs) == 2


@pytest.mark.parametrize("version", [1, 2])
def test_an_autoscaler_starts_nodes_for_the_runs_that_wait(version: int, tmp_path: Path) -> None:
    """Ray's own autoscaler, which starts none to two nodes as processes of this machine."""
    file = tmp_path / "autoscaler.yaml"
    variables = {
        "AUTOSCALER_UPDATE_INTERVAL_S": "1",
        "RAY_FAKE_CLUSTER": "1",
        "RAY_OVERRIDE_NODE_ID_FOR_TESTING": FAKE_HEAD_NODE_ID,
    }
    if version == 2:
        variables |= {"RAY_enable_autoscaler_v2": "1", "RAY_CLOUD_INSTANCE_ID": FAKE_HEAD_NODE_ID}
    cluster = RayNodes(tmp_path, ["--num-cpus", "0", "--autoscaling-config", str(file)], variables)
    file.write_text(json.dumps(autoscaling(cluster.address)))
    with cluster, sweep(tmp_path, cluster.address) as process:
        wait(lambda: len(cluster.trials()) == 2, process, tmp_path)
        assert process.wait(PATIENCE_SECONDS) == 0, (tmp_path / "sweep.log").read_text()
        assert states(tmp_path) == ["COMPLETE"] * 4


def autoscaling(address: str) -> dict[str, Any]:
    """A cluster file whose machines are processes."""
    provider = {
        "type": "external",
        "module": "ray.autoscaler._private.fake_multi_node.node_provider.FakeMultiNodeProvider",
        "gcs_address": address,
        "launch_multiple": True,
        "head_node_id": FAKE_HEAD_NODE_ID,
        **dict.fromkeys(
            ("use_node_id_as_ip", "disable_node_updaters", "disable_launch_config_check", "foreground_node_launch"), True
        ),
        "worker_liveness_check": False,
    }
    worker = {"CPU": 1, "object_store_memory": 100 * 2**20}
    commands = ("initialization_commands", "setup_commands", "head_setup_commands", "worker_setup_commands")
    lists = (
        *commands,
        "head_start_ray_commands",
        "worker_start_ray_commands",
        "cluster_synced_files",
        "rsync_exclude",
        "rsync_filter",
    )
    return {
        **{name: [] for name in lists},
        **{name: {} for name in ("docker", "file_mounts")},
        "auth": {"ssh_user": "nobody"},
        "file_mounts_sync_continuously": False,
        "upscaling_speed": 1.0,
        "cluster_name": "growing",
        "provider": provider,
        "max_workers": 2,
        "idle_timeout_minutes": 1,
        "head_node_type": "ray.head.default",
        "available_node_types": {
            "ray.head.default": {"resources": {"CPU": 0}, "node_config": {}, "max_workers": 0},
            "spot": {"resources": worker, "node_config": {}, "min_workers": 0, "max_workers": 2},
        },
    }
