"""A Ray of our own: reachable by its user alone, from any folder; what keeps it from starting is told by name."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from suite.errors import SuiteError
from suite.tuning import local_ray
from suite.tuning.cluster import ray_session
from trainables.resources import Resources

START = """
import json, psutil
from suite.tuning import local_ray
local_ray.WORKER_SECONDS = 1.0
from suite.tuning.cluster import ray_session
from trainables.resources import Resources
with ray_session(None, Resources(cpus=0.1)):
    processes = [psutil.Process(), *psutil.Process().children(recursive=True)]
    print(json.dumps([c.laddr.ip for p in processes for c in p.net_connections("inet") if c.status == "LISTEN"]))
"""


def started(python: Path, home: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    home.mkdir()
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    command = [str(python), "-c", START]
    return subprocess.run(command, env={**kept, "HOME": str(home), **environment}, capture_output=True, text=True, umask=0o022)


def test_it_listens_on_loopback_with_a_token_of_its_user_from_a_folder_with_a_blank(tmp_path: Path) -> None:
    """Ray pastes the path of Python into a shell command; by itself it listens everywhere and shows its token to all."""
    (tmp_path / "a b").symlink_to(sys.prefix)
    done = started(tmp_path / "a b" / "bin" / "python", tmp_path / "home")
    assert done.returncode == 0, done.stderr
    assert {address.removeprefix("::ffff:") for address in json.loads(done.stdout.splitlines()[-1])} == {"127.0.0.1"}
    token = tmp_path / "home" / ".ray" / "auth_token"
    assert (token.stat().st_mode & 0o777, token.parent.stat().st_mode & 0o777) == (0o600, 0o700)


@pytest.mark.slow
def test_workers_that_cannot_start_are_told_with_the_last_line_of_rays_log(tmp_path: Path) -> None:
    """Ray starts workers through bash, which is not on this PATH."""
    done = started(Path(sys.executable), tmp_path / "home", PATH="/nowhere")
    assert "Ray starts no worker on this machine; the last line of its log: FileNotFoundError" in done.stderr, done.stderr


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        (
            "HOME",
            "/proc/self",
            r"HOME: Ray keeps its token in /proc/self/\.ray/auth_token, which cannot be written .*; set HOME",
        ),
        ("TMPDIR", "x" * 100, r"TMPDIR: '.*' is too long for Ray's sockets, .*; set TMPDIR to a shorter folder"),
        ("TMPDIR", "it's", r"it's: Ray cannot start workers from a path that holds '; move .*TMPDIR"),
    ],
    ids=["home", "long", "quote"],
)
def test_what_keeps_it_from_starting_is_named(
    variable: str, value: str, message: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    if variable == "TMPDIR":
        (tmp_path / value).mkdir()
        monkeypatch.setattr("tempfile.tempdir", str(tmp_path / value))
        monkeypatch.setenv("RAY_TMPDIR", str(tmp_path / value))
    monkeypatch.setenv(variable, str(tmp_path / value))
    for name in ("RAY_ADDRESS", "RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(SuiteError, match=message), ray_session(None, Resources()):
        pass


def test_logs_are_those_of_this_process(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    (tmp_path / "ray" / f"session_2026-01-01_00-00-00_000000_{os.getpid() + 1}").mkdir(parents=True)
    assert local_ray._reason(RuntimeError("no")) == "Ray cannot start on this machine (no); it has written no logs."
    own = tmp_path / "ray" / f"session_2026-01-01_00-00-00_000000_{os.getpid()}"
    own.mkdir()
    assert local_ray._reason(RuntimeError("no")).endswith(f"; its logs lie in {own / 'logs'}.")


def test_a_user_whom_the_system_does_not_know_is_told_to_set_home(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(_: int) -> None:
        raise KeyError

    for name in ("HOME", "RAY_ADDRESS", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH", "RAY_AUTH_MODE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("pwd.getpwuid", unknown)
    with (
        pytest.raises(SuiteError, match="HOME: is not set, .*set HOME to a folder that this user can write"),
        ray_session(None, Resources()),
    ):
        pass
