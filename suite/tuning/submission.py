"""A job on a Ray cluster: is somebody there, hand it over with ``ray job submit``, follow its log, return its exit code.

What ``ray job submit`` of Ray 2.60 does on its own and is put right here: RAY_ADDRESS wins over ``--address``; a failed job
exits with 1 whatever its own code, a stopped one with 0; a log connection that breaks reads as a failed job.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from suite.errors import ConfigError, SuiteError
from suite.proxies import proxy_of, reach_directly
from suite.tuning.cluster import token_shown

ANSWER_SECONDS = 10.0
PATIENCE_SECONDS = 60.0  # a dashboard that is away for shorter is waited for while following
OVERRIDING = ("RAY_ADDRESS", "RAY_API_SERVER_ADDRESS")
ENDED = {"SUCCEEDED", "FAILED", "STOPPED"}
STOPPED_CODE = 143  # what a shell reports of a process that SIGTERM ended, which is how Ray stops a job


@dataclass(frozen=True)
class Job:
    """A job as ``ray job`` knows it.

    Attributes:
        address: the dashboard's ``http://HOST:PORT``.
        name: submission id.
    """

    address: str
    name: str

    def submit_command(self, working_folder: Path, environment: Path, entrypoint: list[str], *, wait: bool) -> list[str]:
        """``ray job submit`` as an argument list; Ray quotes the entry point's parts for the shell of the cluster."""
        options = ["--submission-id", self.name, "--runtime-env", str(environment), "--working-dir", str(working_folder)]
        return self._command("submit", *options, *([] if wait else ["--no-wait"]), "--", *entrypoint)

    def logs_command(self) -> list[str]:
        return self._command("logs", "--follow", self.name)

    def stop_command(self) -> list[str]:
        return self._command("stop", self.name)

    def _command(self, verb: str, *rest: str) -> list[str]:
        here = Path(sys.executable).parent / "ray"
        ray = str(here) if here.is_file() else shutil.which("ray") or "ray"
        said = [name for name in OVERRIDING if os.environ.get(name)]
        without = ["env", *(part for name in said for part in ("-u", name))] if said else []
        return [*without, ray, "job", verb, "--address", self.address, *rest]


def check_address(address: str) -> str:
    """The address of a dashboard that answers and runs the Ray this suite was made for, without a slash at its end.

    Raises:
        ConfigError: not an ``http(s)://HOST:PORT``.
        SuiteError: nobody or somebody else answers there, or another version of Ray.
    """
    parts = urlsplit(address)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.path not in ("", "/"):
        raise ConfigError(f"--address: '{address}' is not a dashboard's address; write it as http://HEAD:8265.")
    reach_directly(address)
    address = address.rstrip("/")
    try:
        answer = _get(address, "/api/version")
    except OSError as error:
        proxy = proxy_of(address)
        asked = f", asked through the proxy '{proxy}'; add the host to no_proxy if it needs none" if proxy else ""
        raise SuiteError(
            f"--address: nobody answers at '{address}' ({_reason(error)}{asked}); is the cluster up, its dashboard on, and the tunnel to it "
            "open ('ssh -L 8265:127.0.0.1:8265 HEAD')?"
        ) from None
    if answer is None or "ray_version" not in answer:
        raise SuiteError(
            f"--address: what answers at '{address}' is no Ray dashboard; give the head's dashboard, port 8265 by default."
        )
    there, here = str(answer["ray_version"]), version("ray")
    if there.split(".")[:2] != here.split(".")[:2]:
        raise SuiteError(
            f"--address: the cluster at '{address}' runs Ray {there}, this suite {here}; use the same minor version on both."
        )
    return address


def submit(job: Job, command: list[str], say: Callable[[str], None], *, follow: bool) -> int:
    """Run ``command`` (from ``Job.submit_command``) and, if asked, stay until the job ends; the job's exit code.

    Ctrl-C leaves the job running and says how to follow and stop it.

    Raises:
        SuiteError: the job could not be handed over, or the dashboard went away while it was followed.
        KeyboardInterrupt: after the hints.
    """
    try:
        code = _run(command)
        state = _state(job, PATIENCE_SECONDS)
        if state is None:
            raise SuiteError(
                f"job '{job.name}' was not taken by '{job.address}' (ray job submit ended with {code}); see its output above."
            )
        if not follow:
            say(_hints(job))
            return 0
        while state["status"] not in ENDED:
            say("the log's connection broke, the job goes on; its log from the beginning:")
            _run(job.logs_command())
            state = _state(job, PATIENCE_SECONDS) or {"status": "FAILED", "message": "the cluster has forgotten the job"}
    except KeyboardInterrupt:
        say(_hints(job) if _state(job, 1.0) else f"job '{job.name}' was not submitted.")
        raise
    return _exit_code(job, state, say)


def _run(command: list[str]) -> int:
    """Run ``command`` outside the terminal's foreground group: Ctrl-C reaches us alone, and we end it."""
    with token_shown():
        environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, process_group=0)
    try:
        return process.wait()
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait()


def _exit_code(job: Job, state: dict[str, Any], say: Callable[[str], None]) -> int:
    """The driver's code, 128 + n if signal n ended it; 143 for a job that was stopped, 1 for one that failed without a driver."""
    status, code = state["status"], state.get("driver_exit_code")
    if status == "SUCCEEDED":
        return 0
    code = 128 - code if code and code < 0 else code
    say(
        f"job '{job.name}': {status.lower()}"
        + (f" with exit code {code}" if code else f" ({' '.join(str(state.get('message')).split())})")
    )
    return STOPPED_CODE if status == "STOPPED" else int(code or 1)


def _hints(job: Job) -> str:
    return (
        f"job '{job.name}' runs on at {job.address}\n"
        f"  follow: {shlex.join(job.logs_command())}\n"
        f"  stop:   {shlex.join(job.stop_command())}"
    )


def _state(job: Job, patience_seconds: float) -> dict[str, Any] | None:
    """What the cluster knows of the job, None when it knows nothing of it.

    Raises:
        SuiteError: nobody answered for ``patience_seconds``.
    """
    deadline = time.monotonic() + patience_seconds
    while True:
        try:
            return _get(job.address, f"/api/jobs/{job.name}")
        except OSError as error:
            if time.monotonic() > deadline:
                raise SuiteError(
                    f"job '{job.name}': '{job.address}' does not answer any more ({_reason(error)}); the job may still run: "
                    f"{shlex.join(job.logs_command())}."
                ) from None
            time.sleep(1.0)


def _get(address: str, path: str) -> dict[str, Any] | None:
    """The JSON object at ``path``; None when there is none.

    Raises:
        OSError: nobody answers.
        SuiteError: Ray's token is missing or wrong.
    """
    import requests

    with token_shown():
        from ray._private.authentication.http_token_authentication import get_auth_headers_if_auth_enabled

        headers = get_auth_headers_if_auth_enabled({})
    answer = requests.get(f"{address}{path}", headers=headers, timeout=ANSWER_SECONDS)
    if answer.status_code in (401, 403):
        raise SuiteError(
            f"--address: '{address}' asks for Ray's token; set RAY_AUTH_TOKEN or copy the head's ~/.ray/auth_token here."
        )
    try:
        found = answer.json() if answer.ok else None
    except requests.JSONDecodeError:
        return None
    return found if isinstance(found, dict) else None


def _reason(error: OSError) -> str:
    """The innermost cause of a failed request in a few words."""
    inner: BaseException = error
    while inner.__cause__ or inner.__context__:
        inner = inner.__cause__ or inner.__context__  # type: ignore[assignment]
    return " ".join(str(inner).split())[:120]
