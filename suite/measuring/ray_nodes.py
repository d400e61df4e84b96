"""A Ray cluster of separate node processes on this machine, which join and leave as machines do."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from suite.errors import SuiteError
from suite.tuning.cluster import token_shown

TRIAL_NAMES = ("ray::StreamTrainable", "ray::ResourceTrainable")
START_SECONDS = 180


class RayNode:
    """One node with all its processes.

    Args:
        options: of ``ray start``.
        environment: variables beside this process's own.
    """

    def __init__(self, options: Sequence[str], scratch: Path, environment: Mapping[str, str] | None = None) -> None:
        ray = Path(sys.executable).parent / "ray"
        with (
            token_shown()
        ):  # a head asks for the user's token where there is one, and a node that joins has to be told to show it
            variables = {**os.environ, "RAY_USAGE_STATS_ENABLED": "0", **(environment or {})}
        variables.pop("RAY_ADDRESS", None)
        common = ["--node-ip-address", "127.0.0.1", "--object-store-memory", str(100 * 2**20), "--block"]
        self._log = scratch / f"node{time.monotonic_ns()}.log"
        with self._log.open("wb") as log:
            command = [str(ray), "start", *options, *common]
            self._process = subprocess.Popen(command, stdout=log, stderr=log, env=variables, start_new_session=True)

    def wait(self) -> None:
        """Until it belongs to the cluster.

        Raises:
            SuiteError: it ended, or took too long.
        """
        deadline = time.monotonic() + START_SECONDS
        while "Ray runtime started" not in self._log.read_text():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise SuiteError(f"a Ray node did not start within {START_SECONDS} s; see {self._log}.")
            time.sleep(0.2)

    def trials(self) -> list[psutil.Process]:
        """Its processes that train."""
        return [process for process in self._descendants() if _title(process).startswith(TRIAL_NAMES)]

    def leave(self) -> None:
        """SIGTERM to the node, as a spot machine is told to go; it ends its own processes."""
        family = self._descendants()
        self._process.terminate()
        self._process.wait()
        psutil.wait_procs(family, timeout=START_SECONDS)

    def kill(self) -> None:
        """SIGKILL to all its processes, wherever they moved."""
        for process in self._descendants():
            with suppress(psutil.NoSuchProcess):
                process.kill()
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def _descendants(self) -> list[psutil.Process]:
        with suppress(psutil.NoSuchProcess):
            family: list[psutil.Process] = psutil.Process(self._process.pid).children(recursive=True)
            return family
        return []


class RayNodes:
    """A head and the nodes that joined it; all are killed at the end.

    Args:
        scratch: folder of the nodes' logs.
        head: options of the head beside its address, such as ``--num-cpus``.
        environment: variables of the head beside this process's own.
    """

    def __init__(self, scratch: Path, head: Sequence[str], environment: Mapping[str, str] | None = None) -> None:
        self.scratch = scratch
        self.address = f"127.0.0.1:{_free_port()}"
        self._head, self._environment = head, environment
        self.nodes: list[RayNode] = []

    def __enter__(self) -> RayNodes:
        options = ["--head", "--port", self.address.rpartition(":")[2], "--include-dashboard=false", *self._head]
        self.nodes.append(RayNode(options, self.scratch, self._environment))
        try:
            self.nodes[0].wait()
        except BaseException:
            self.nodes[0].kill()
            raise
        return self

    def __exit__(self, *_: Any) -> None:
        for node in reversed(self.nodes):
            node.kill()

    def join(self, cpus: int) -> RayNode:
        """Start one more node with so many CPUs; it belongs to the cluster some seconds later."""
        node = RayNode(["--address", self.address, "--num-cpus", str(cpus)], self.scratch)
        self.nodes.append(node)
        return node

    def trials(self) -> list[psutil.Process]:
        """Processes of all nodes that train."""
        return [process for node in self.nodes for process in node.trials()]


def _title(process: psutil.Process) -> str:
    with suppress(psutil.Error):
        return " ".join(process.cmdline())
    return ""


def _free_port() -> int:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        port: int = server.getsockname()[1]
        return port
