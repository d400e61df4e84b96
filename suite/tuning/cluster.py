"""The Ray a command works on: one that is there already, or a local one that starts and stops with the command."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

from suite.counting import counted
from suite.errors import SuiteError
from suite.signals import handlers_kept
from suite.tuning import local_ray
from trainables.resources import Resources

ANSWER_SECONDS = 10.0


@contextmanager
def ray_session(address: str | None, resources: Resources) -> Iterator[int]:
    """Connect or start, yield how many runs fit at a time, disconnect or stop. Inside another session: use that one.

    Raises:
        SuiteError: nobody answers at the address, a local Ray cannot start, or the cluster can never fit one run; said at once.
    """
    _quiet()
    place = place_of(address)
    with token_shown() if place else nullcontext():
        yield from _connected(place, resources)


def place_of(address: str | None) -> str | None:
    """The Ray that is asked for; None = a local one."""
    return address or os.environ.get("RAY_ADDRESS")


def _connected(place: str | None, resources: Resources) -> Iterator[int]:
    import ray

    if ray.is_initialized():
        yield _fitting(ray.cluster_resources(), resources)
        return
    if place:
        _connect(place)
    else:
        local_ray.start()
    try:
        yield _fitting(ray.cluster_resources(), resources)
    finally:
        if place:
            ray.shutdown()
        else:
            local_ray.stop()


def _connect(place: str) -> None:
    import ray

    try:
        _require_somebody(place)
        with handlers_kept():
            ray.init(address=place, log_to_driver=False, logging_level=logging.ERROR)
    except (OSError, ValueError, RuntimeError) as error:
        raise SuiteError(
            f"Ray at '{place}' does not answer ({' '.join(str(error).split())[:150]}); check --address or RAY_ADDRESS, or leave both out "
            "to use this machine."
        ) from None


def _require_somebody(place: str) -> None:
    """Ray itself would try for minutes where nobody listens.

    Raises:
        OSError: nobody does.
    """
    host, colon, port = place.removeprefix("ray://").rpartition(":")
    if colon and port.isdigit():
        socket.create_connection((host.strip("[]"), int(port)), timeout=ANSWER_SECONDS).close()


def cluster_resources(address: str, resources: Resources) -> dict[str, float]:
    """CPUs and GPUs of the Ray at ``address``; refuses what it can never fit, as ``ray_session``."""
    with ray_session(address, resources):
        import ray

        found: dict[str, float] = ray.cluster_resources()
        return found


@contextmanager
def token_shown() -> Iterator[None]:
    """Authenticate with the user's Ray token where there is one and nothing else was said; before Ray is imported.

    ``ray start`` asks for the token as soon as one exists, a client offers it only when told to. Afterwards a Ray of our own starts without.
    """
    has_token = {"RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"} & set(os.environ) or local_ray.token_file().is_file()
    if not has_token or "RAY_AUTH_MODE" in os.environ:
        yield
        return
    os.environ["RAY_AUTH_MODE"] = "token"
    try:
        yield
    finally:
        del os.environ["RAY_AUTH_MODE"]


def _fitting(there: dict[str, float], resources: Resources) -> int:
    cpus, gpus = there.get("CPU", 0.0), there.get("GPU", 0.0)
    asked_cpus, asked_gpus = resources.workers * resources.cpus, resources.workers * resources.gpus
    if cpus < asked_cpus or gpus < asked_gpus:
        raise SuiteError(
            f"resources: a run asks for {counted(asked_cpus, 'CPU')} and {counted(asked_gpus, 'GPU')}, the cluster has {cpus:g} and "
            f"{gpus:g}; lower resources or add nodes."
        )
    by_gpu = [int(gpus / asked_gpus + 1e-9)] if asked_gpus else []
    return min([int(cpus / asked_cpus + 1e-9), *by_gpu])


def _quiet() -> None:
    """Settings without which Ray reports usage, writes files nobody asked for and prints what a user cannot act on."""
    for name, value in {
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
        "RAY_TRAIN_ENABLE_V2_MIGRATION_WARNINGS": "0",
        "RAY_AIR_NEW_OUTPUT": "0",
        "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
        "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
        "TUNE_GLOBAL_CHECKPOINT_S": "3600",
    }.items():
        os.environ.setdefault(name, value)
    logging.getLogger("ray").setLevel(logging.ERROR)
    logging.getLogger("ray._private.authentication.authentication_token_setup").setLevel(logging.ERROR)
    # What Tune logs about a broken trial stands, with its reason, in the study and in the summary.
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)
