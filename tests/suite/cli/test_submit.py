"""``submit`` against a real Ray head with its dashboard, and what it refuses before it asks anybody."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests
import yaml
from typer.testing import CliRunner

from suite.cli.main import app
from suite.errors import ConfigError
from suite.runs.record import read_record
from suite.workflows.tunings import read_tuning

TOKEN = "0123456789abcdef" * 4
BIN = Path(sys.executable).parent
SWEEP: dict[str, Any] = {
    "run": {
        "benchmark": {"name": "mini-mtil", "domains": ["shapes", "digits"], "shots": 4},
        "method": {"name": "codyra", "kappa_levels": 3},
        "training": {"steps": 8, "batch_size": 8},
    },
    "space": "codyra-quick",
    "sampler": "random",
    "budget": {"trials": 2},
    "concurrency": 1,
}

TUNE: dict[str, Any] = {
    "benchmarks": [{"name": "mini-mtil", "domains": ["shapes", "digits"], "shots": 4}],
    "methods": ["zero-shot", "lora"],
    "settings": {"training": {"steps": 2, "batch_size": 8}},
    "budget": {"trials": 1},
    "judge": {"seeds": [1]},
}


def free_ports(count: int) -> list[str]:
    servers = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [str(server.getsockname()[1]) for server in servers]
    for server in servers:
        server.close()
    return ports


def end_with_descendants(process: subprocess.Popen[Any]) -> None:
    """SIGKILL this head and what it started; 'ray stop' would end every Ray of the machine."""
    family = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
    process.kill()
    for member in family:
        if member.is_running():
            member.kill()
    process.wait()


@pytest.fixture(scope="module")
def dashboard() -> Iterator[str]:
    """Address of the dashboard of a head of two CPUs on loopback that asks for a token."""
    gcs, port, agent, client = free_ports(4)
    folder = tempfile.mkdtemp(prefix="cdy-")  # short: Ray's sockets lie in it
    environment = {key: value for key, value in os.environ.items() if key not in ("RAY_ADDRESS", "RAY_API_SERVER_ADDRESS")}
    environment |= {"PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}", "RAY_USAGE_STATS_ENABLED": "0", "OMP_NUM_THREADS": "1"}
    environment |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": TOKEN}
    command = [
        str(BIN / "ray"),
        "start",
        "--head",
        "--block",
        "--node-ip-address",
        "127.0.0.1",
        "--port",
        gcs,
        "--num-cpus",
        "2",
    ]
    command += ["--include-dashboard=true", "--dashboard-host", "127.0.0.1", "--dashboard-port", port, "--temp-dir", folder]
    command += [
        "--dashboard-agent-listen-port",
        agent,
        "--ray-client-server-port",
        client,
        "--object-store-memory",
        str(100 * 2**20),
    ]
    with (Path(folder) / "head.log").open("wb") as log:
        head = subprocess.Popen(command, stdout=log, stderr=log, env=environment, start_new_session=True)
    try:
        address = f"http://127.0.0.1:{port}"
        deadline = time.monotonic() + 180
        while not answers(address):
            assert head.poll() is None and time.monotonic() < deadline, (Path(folder) / "head.log").read_text()
            time.sleep(0.2)
        yield address
    finally:
        end_with_descendants(head)
        shutil.rmtree(folder, ignore_errors=True)


def get(address: str, path: str) -> Any:
    return requests.get(f"{address}{path}", headers={"Authorization": f"Bearer {TOKEN}"}, timeout=10).json()


def answers(address: str) -> bool:
    try:
        return get(address, "/api/version") is not None
    except requests.RequestException:
        return False


def sweep_file(folder: Path, name: str, **fields: Any) -> Path:
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump({**SWEEP, **fields}))
    return path


def start(*arguments: str | Path, folder: Path) -> subprocess.Popen[str]:
    """``codyra-suite submit``, with a RAY_ADDRESS around that must not win over --address."""
    call = [sys.executable, "-m", "suite.cli.main", "submit", *map(str, arguments)]
    environment = {
        **os.environ,
        "RAY_ADDRESS": "http://127.0.0.1:9",
        "RAY_AUTH_TOKEN": TOKEN,
        "OMP_NUM_THREADS": "1",
        "PYTHONUNBUFFERED": "1",
    }
    environment.pop("RAY_AUTH_MODE", None)
    return subprocess.Popen(
        call, cwd=folder, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True
    )


def submit(*arguments: str | Path, folder: Path) -> tuple[int, str]:
    process = start(*arguments, folder=folder)
    try:
        output, _ = process.communicate(timeout=600)
    finally:
        end_with_descendants(process)
    return process.returncode, output


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_sweep_runs_as_a_job_and_no_value_reaches_a_shell(dashboard: str, tmp_path: Path) -> None:
    out = tmp_path / "out; touch pwned $(touch pwned) 'x'"
    code, output = submit(sweep_file(tmp_path, "far"), "--address", f"{dashboard}/", "--no-env", "--out", out, folder=tmp_path)
    assert code == 0, output
    assert "ray job submit --address" in output and "2 finished" in output
    records = [read_record(path) for path in (out / "runs").glob("*/record.json")]
    assert [record.status for record in records] == ["finished"] * 2
    assert (out / "studies" / "far" / "optuna.db").is_file() and (out / "mlflow.db").is_file()
    here = subprocess.run(["git", "rev-parse", "HEAD"], cwd=Path(__file__).parent, capture_output=True, text=True, check=False)
    assert {record.commit for record in records} == {here.stdout.strip() or None}
    job = next(job for job in get(dashboard, "/api/jobs/") if "codyra-far-" in (job["submission_id"] or ""))
    assert job["status"] == "SUCCEEDED"
    assert not list(tmp_path.rglob("pwned"))


@pytest.mark.slow
def test_the_jobs_own_exit_code_comes_back(dashboard: str, tmp_path: Path) -> None:
    """Ray's command would say 1; the sweep on the cluster says 2, because the data that only the cluster could have are not there."""
    file = sweep_file(tmp_path, "bare", run={**SWEEP["run"], "benchmark": {"name": "trace-500"}})
    code, output = submit(
        file, "--address", dashboard, "--no-env", "--out", tmp_path / "out", "--tracking", "none", folder=tmp_path
    )
    assert code == 2, output
    assert "8 of 8 tasks cannot be read" in output and "failed with exit code 2" in output


@pytest.mark.slow
def test_a_lost_log_is_found_again_and_ctrl_c_leaves_the_job(dashboard: str, tmp_path: Path) -> None:
    file = sweep_file(tmp_path, "long", budget={"trials": 500})
    process = start(file, "--address", dashboard, "--no-env", "--out", tmp_path / "out", "--tracking", "none", folder=tmp_path)
    try:
        assert process.stdout is not None
        read_until(process, "Running entrypoint for job")
        for follower in psutil.Process(process.pid).children():
            follower.kill()
        read_until(process, "its log from the beginning")
        read_until(process, "Running entrypoint for job")
        os.kill(process.pid, signal.SIGINT)
        rest, _ = process.communicate(timeout=600)
        assert process.returncode == 130
    finally:
        end_with_descendants(process)
    assert "follow: " in rest and "stop: " in rest
    (job,) = (job for job in get(dashboard, "/api/jobs/") if "codyra-long-" in (job["submission_id"] or ""))
    assert job["status"] == "RUNNING"
    stop = next(line.partition("stop:")[2].strip() for line in rest.splitlines() if "stop:" in line)
    environment = {**os.environ, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": TOKEN, "RAY_ADDRESS": "http://127.0.0.1:9"}
    subprocess.run(["/bin/sh", "-c", stop], env=environment, check=True, capture_output=True, timeout=180)
    assert get(dashboard, f"/api/jobs/{job['submission_id']}")["status"] == "STOPPED"


def read_until(process: subprocess.Popen[str], text: str) -> None:
    assert process.stdout is not None
    seen = []
    for line in process.stdout:
        seen.append(line)
        if text in line:
            return
    raise AssertionError("".join(seen))


@pytest.mark.parametrize(
    ("fields", "options", "message"),
    [
        ({}, ["--address", "127.0.0.1:8265"], "'127.0.0.1:8265' is not a dashboard's address; write it as http://HEAD:8265."),
        ({}, ["--address", "ray://127.0.0.1:10001"], "is not a dashboard's address"),
        ({"trials": 3}, ["--address", "http://127.0.0.1:9"], "far.yaml: trials: unknown key"),
        (
            {"run": {**SWEEP["run"], "method": {"name": "codyra", "rnak": 4}}},
            ["--address", "http://127.0.0.1:9"],
            "method.rnak: unknown key",
        ),
        ({}, ["--address", "http://127.0.0.1:9", "--env", "A-B=1"], "--env: 'A-B=1' is no variable; write it as NAME=VALUE."),
        (
            {},
            ["--address", "http://127.0.0.1:9", "--tracking", "sqlite:///mlflow.db"],
            "is a relative place, lost with the job",
        ),
        ({"warm_start": {"study": "old"}}, ["--address", "http://127.0.0.1:9"], "warm_start.study: 'old' is relative"),
    ],
)
def test_mistakes_are_said_before_anybody_is_asked(
    fields: dict[str, Any], options: list[str], message: str, tmp_path: Path
) -> None:
    done = CliRunner().invoke(app, ["submit", str(sweep_file(tmp_path, "far", **fields)), *options])
    assert isinstance(done.exception, ConfigError)
    assert message in str(done.exception) and "\n" not in str(done.exception)


@pytest.mark.parametrize(
    ("fields", "options", "message"),
    [
        ({"judge": {"seeds": [0]}}, [], "judge.seeds: 0 is in search_seeds"),
        ({}, ["--accept-changes"], "fair.yaml' is a tuning, whose file may not change once it has begun; leave it out."),
        ({}, ["--tracking", "sqlite:///mlflow.db"], "is a relative place, lost with the job"),
    ],
)
def test_mistakes_in_a_tuning_are_said_too(fields: dict[str, Any], options: list[str], message: str, tmp_path: Path) -> None:
    file = tmp_path / "fair.yaml"
    file.write_text(yaml.safe_dump({**TUNE, **fields}))
    done = CliRunner().invoke(app, ["submit", str(file), "--address", "http://127.0.0.1:9", *options])
    assert isinstance(done.exception, ConfigError)
    assert message in str(done.exception) and "\n" not in str(done.exception)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_tuning_runs_as_a_job(dashboard: str, tmp_path: Path) -> None:
    file, out = tmp_path / "fair.yaml", tmp_path / "out"
    file.write_text(yaml.safe_dump(TUNE))
    code, output = submit(file, "--address", dashboard, "--no-env", "--out", out, folder=tmp_path)
    assert code == 0, output
    assert "Next: judge with at least 3 seeds" in output
    tuning = read_tuning("fair", out)
    assert [
        setting.finished for one in tuning.methods for setting in (one.default, one.tuned) if setting and not setting.finished
    ] == []
    code, output = submit(file, "--address", dashboard, "--no-env", "--out", out, "--resume", folder=tmp_path)
    assert code == 0 and "Next: judge with at least 3 seeds" in output


def test_an_address_that_nobody_answers_is_one_sentence_and_exit_code_2(tmp_path: Path) -> None:
    code, output = submit(sweep_file(tmp_path, "far"), "--address", "http://127.0.0.1:9", folder=tmp_path)
    assert (code, output.count("\n")) == (2, 1), output
    assert "nobody answers at 'http://127.0.0.1:9'" in output
