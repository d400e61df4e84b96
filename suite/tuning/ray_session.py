"""The Ray a command works on: one that is there already, or a local one that starts and stops with the command."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Annotated

from pydantic import Field, field_validator

from suite.errors import SuiteError
from suite.settings import Settings
from suite.signals import handlers_kept
from suite.tuning import local_ray

ANSWER_SECONDS = 10.0
SMALLEST_SHARE = 0.01  # of a CPU or GPU; below it Ray would start thousands of workers at a time


class Resources(Settings):
    """What one run occupies.

    Attributes:
        cpus: per worker.
        gpus: per worker; shares such as 0.25 let runs share a card, and bound each one's memory to its share of it.
        workers: processes that learn one stream together, each on its share of every batch.
        memory_gib: bound on what a worker may allocate beyond what it holds when a run begins; None = no bound.
    """

    cpus: Annotated[float, Field(ge=SMALLEST_SHARE)] = 1.0
    gpus: Annotated[float, Field(ge=0)] = 0.0
    workers: Annotated[int, Field(ge=1)] = 1
    memory_gib: Annotated[float, Field(gt=0)] | None = None

    @field_validator("gpus")
    @classmethod
    def _whole_or_a_share(cls, gpus: float) -> float:
        if 0 < gpus < SMALLEST_SHARE:
            raise ValueError(f"'{gpus:g}' of a GPU is less than a run can use; use 0 or at least {SMALLEST_SHARE}")
        if gpus > 1 and not gpus.is_integer():
            raise ValueError(f"'{gpus:g}' is more than one GPU and not whole; use a share below 1 or a whole number")
        return gpus

    def larger(self) -> Resources | None:
        """Twice the memory share, for a run that ran out; None when it has whole cards and no bound already."""
        gpus = min(1.0, 2 * self.gpus) if self.gpus < 1 else self.gpus
        memory = None if self.memory_gib is None else 2 * self.memory_gib
        grown = self.model_copy(update={"gpus": gpus, "memory_gib": memory})
        return None if grown == self else grown


@contextmanager
def ray_session(address: str | None, resources: Resources) -> Iterator[int]:
    """Connect or start, yield how many runs fit at a time, disconnect or stop. Inside another session: use that one.

    Raises:
        SuiteError: nobody answers at the address, a local Ray cannot start, or the cluster can never fit one run; said at once.
    """
    _quiet()
    place = address or os.environ.get("RAY_ADDRESS")
    with token_shown() if place else nullcontext():
        yield from _connected(place, resources)


def _connected(place: str | None, resources: Resources) -> Iterator[int]:
    import ray

    if ray.is_initialized():
        yield _fitting(ray.cluster_resources(), resources)
        return
    with handlers_kept():
        if place:
            _connect(place)
        else:
            local_ray.start()
    try:
        yield _fitting(ray.cluster_resources(), resources)
    finally:
        ray.shutdown()


def _connect(place: str) -> None:
    import ray

    try:
        _require_somebody(place)
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
            f"resources: a run asks for {asked_cpus:g} CPUs and {asked_gpus:g} GPUs, the cluster has {cpus:g} and "
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
