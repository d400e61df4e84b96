"""A Ray of our own on this machine: who may reach it, and why it cannot start, in a sentence that says what to do."""

from __future__ import annotations

import logging
import os
import secrets
import shlex
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from suite.errors import SuiteError
from suite.signals import handlers_kept, kept_from_children
from suite.tuning.ray_messages import losses_unprinted

OBJECT_STORE_BYTES = 200 * 2**20  # results are small; Ray's default would take a third of the memory
WORKER_SECONDS = 50.0  # a worker that is not there by then, with an error in Ray's log, does not come
PATIENCE_SECONDS = 600.0  # the same without an error: a machine can be very busy
POLL_SECONDS = 5.0
UNPARSED = "'\"\\"  # characters that Ray's own parser of worker commands takes for syntax


def start() -> None:
    """Start Ray on loopback with all cores of this machine, and wait until it can start a worker.

    Raises:
        SuiteError: it cannot; the reason and what to change.
    """
    import ray

    _require_readable_paths(sys.executable, ray.__file__, tempfile.gettempdir())
    own_token()
    unsafe = shlex.quote(sys.executable) != sys.executable  # Ray pastes the path into a shell command
    try:
        with _told(), _loopback_only(), losses_unprinted(), kept_from_children(), handlers_kept():
            ray.init(
                address="local",  # a cluster that happens to run on this machine is used only when it is named
                include_dashboard=False,
                object_store_memory=OBJECT_STORE_BYTES,
                log_to_driver=False,
                logging_level=logging.ERROR,
                runtime_env={"py_executable": shlex.quote(sys.executable)} if unsafe else None,
            )
        _wait_for_a_worker()
    except BaseException:
        stop()
        raise


def stop() -> None:
    """Stop the Ray that ``start`` started, and leave none of its processes.

    Ray asks each with SIGTERM, which ``start`` kept from them, and waits a second for it; its agents would go on for minutes after
    a raylet that was killed.
    """
    import psutil
    import ray

    family: list[psutil.Process] = []
    node = _node()
    for info in (each for infos in (node.all_processes.values() if node else ()) for each in infos):
        info.process.terminate = info.process.kill
        with suppress(psutil.NoSuchProcess):
            family += psutil.Process(info.process.pid).children(recursive=True)
    ray.shutdown()
    for process in family:
        with suppress(psutil.NoSuchProcess):
            process.kill()


def token_file() -> Path:
    """Where Ray keeps this user's token.

    Raises:
        SuiteError: the user has no home folder.
    """
    try:
        return Path.home() / ".ray" / "auth_token"
    except RuntimeError:
        raise SuiteError(
            f"HOME: is not set, and the system knows no home folder of user {os.getuid()}; set HOME to a folder that this user can write."
        ) from None


def own_token() -> None:
    """See that the token that Ray asks for can be read by this user alone; Ray itself would make it readable by all.

    Raises:
        SuiteError: it cannot be written.
    """
    if {"RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"} & set(os.environ) or os.environ.get("RAY_AUTH_MODE", "token") != "token":
        return
    file = token_file()
    try:
        if file.is_file():
            if file.stat().st_mode & 0o077 and file.stat().st_uid == os.getuid():
                file.chmod(0o600)
            return
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as opened:
            opened.write(secrets.token_hex(32))
    except OSError as error:
        raise SuiteError(
            f"HOME: Ray keeps its token in {file}, which cannot be written ({error.strerror}); set HOME to a folder that this user can write."
        ) from None


@contextmanager
def _loopback_only() -> Iterator[None]:
    """Ray binds to 127.0.0.1 on systems on which it takes no part in clusters; it has no other setting for it."""
    from ray._private import ray_constants

    before = ray_constants.ENABLE_RAY_CLUSTER
    ray_constants.ENABLE_RAY_CLUSTER = False
    try:
        yield
    finally:
        ray_constants.ENABLE_RAY_CLUSTER = before


def _require_readable_paths(*paths: str) -> None:
    for path in paths:
        if found := next((character for character in UNPARSED if character in path), None):
            raise SuiteError(
                f"{path}: Ray cannot start workers from a path that holds {found}; move the checkout, the environment or TMPDIR to a "
                "folder without it."
            )


@contextmanager
def _told() -> Iterator[None]:
    """Ray raises everything from OSError to a bare Exception."""
    try:
        yield
    except Exception as error:
        raise SuiteError(_reason(error)) from None


def _reason(error: Exception) -> str:
    """What keeps Ray from starting, in the words of what can be changed."""
    said = " ".join(str(error).split())[:200]
    if "AF_UNIX" in said:
        return f"TMPDIR: '{tempfile.gettempdir()}' is too long for Ray's sockets, which take 107 characters in all; set TMPDIR to a shorter folder, such as /tmp."
    if isinstance(error, OSError) and error.filename:
        return f"{error.filename}: Ray cannot start here ({error.strerror}); free the place or set TMPDIR and HOME to folders that this user can write."
    return f"Ray cannot start on this machine ({said}); {_where_logs_are()}."


def _where_logs_are() -> str:
    """Of this process's own session: ``session_latest`` is whosoever began one last on this machine."""
    own = sorted((Path(tempfile.gettempdir()) / "ray").glob(f"session_*_{os.getpid()}"))
    return f"its logs lie in {own[-1] / 'logs'}" if own else "it has written no logs"


def _wait_for_a_worker() -> None:
    """Wait for a first worker, started as Ray Tune starts its own.

    Raises:
        SuiteError: Ray's log says that it cannot start one, or none came for ``PATIENCE_SECONDS``.
    """
    import ray

    answer = ray.remote(num_cpus=0, runtime_env={"env_vars": {"PL_DISABLE_FORK": "1"}})(_here).remote()
    begun = time.monotonic()
    while not ray.wait([answer], timeout=POLL_SECONDS)[0]:
        waited, said = time.monotonic() - begun, _last_of_the_log()
        if (waited > WORKER_SECONDS and said) or waited > PATIENCE_SECONDS:
            raise SuiteError(f"Ray starts no worker on this machine; the last line of its log: {said or 'none'}")
    ray.get(answer)


def _here() -> bool:
    return True


def _node() -> Any:
    from ray._private import worker

    return worker._global_node


def _last_of_the_log() -> str:
    """The last line that Ray's node wrote to its error log."""
    file = Path(_node().get_logs_dir_path()) / "raylet.err"
    lines = file.read_text(errors="replace").splitlines() if file.is_file() else []
    return next((line.strip()[:300] for line in reversed(lines) if line.strip()), "")
