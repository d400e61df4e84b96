"""Whom ``submit`` talks to: a dashboard of the right Ray, and nobody else."""

from __future__ import annotations

import json
import shlex
import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from suite.errors import ConfigError, SuiteError
from suite.tuning.submission import Job, check_address

Serve = Callable[[int, bytes], str]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """``serve(status, body)``: address of a server that answers everything so."""
    servers = []

    def begin(status: int, body: bytes) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(status)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Silent."""

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}"

    yield begin
    for server in servers:
        server.shutdown()
        server.server_close()


def test_the_right_ray_is_taken_whatever_its_patch(serve: Serve) -> None:
    address = serve(200, json.dumps({"ray_version": "2.60.9"}).encode())
    assert check_address(f"{address}/") == address


@pytest.mark.parametrize(
    ("status", "body", "message"),
    [
        (200, b'{"ray_version": "2.9.3"}', "runs Ray 2.9.3, this suite 2.60"),
        (200, b"<html>login</html>", "is no Ray dashboard"),
        (200, b"[1]", "is no Ray dashboard"),
        (404, b'{"ray_version": "2.60.0"}', "is no Ray dashboard"),
        (401, b"", "asks for Ray's token"),
    ],
)
def test_somebody_else_is_refused(serve: Serve, status: int, body: bytes, message: str) -> None:
    with pytest.raises(SuiteError, match=message):
        check_address(serve(status, body))


def test_nobody_there_is_said_with_the_cause() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"http://127.0.0.1:{server.getsockname()[1]}"
    with pytest.raises(SuiteError, match=r"nobody answers at .* \(\[Errno 111\] Connection refused\)"):
        check_address(address)


@pytest.mark.parametrize(
    "address", ["", "auto", "head:8265", "ray://head:10001", "ftp://head", "http://", "http://head:8265/jobs"]
)
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(ConfigError, match="write it as http://HEAD:8265"):
        check_address(address)


def test_the_line_is_an_argument_list_that_a_shell_reads_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "http://elsewhere:8265")
    job = Job("http://head:8265", "codyra-far-1")
    command = job.submit_command(Path("/a b/job"), Path("/a b/env.yaml"), ["python", "--out=$(touch x)"], wait=False)
    assert command[:3] == ["env", "-u", "RAY_ADDRESS"]
    assert command[command.index("--") + 1 :] == ["python", "--out=$(touch x)"]
    assert "--no-wait" in command and shlex.split(shlex.join(command)) == command
