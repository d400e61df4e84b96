"""The Ray a command works on: one that is there already, or a local one that starts and stops with the command."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from suite.errors import SuiteError

OBJECT_STORE_BYTES = 200 * 2**20  # results are small; Ray's default would take a third of the memory


class Resources(BaseModel):
    """What one run occupies; GPU shares such as 0.25 let runs share a card."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    cpus: Annotated[float, Field(gt=0)] = 1.0
    gpus: Annotated[float, Field(ge=0)] = 0.0


@contextmanager
def ray_session(address: str | None, resources: Resources) -> Iterator[int]:
    """Connect or start, yield how many runs fit at a time, disconnect or stop. Inside another session: use that one.

    Raises:
        SuiteError: nobody answers at the address, or the cluster can never fit one run; said at once.
    """
    _quiet()
    import ray

    if ray.is_initialized():
        yield _fitting(ray.cluster_resources(), resources)
        return
    place = address or os.environ.get("RAY_ADDRESS")
    try:
        if place:
            ray.init(address=place, log_to_driver=False, logging_level=logging.ERROR)
        else:
            ray.init(
                include_dashboard=False,
                object_store_memory=OBJECT_STORE_BYTES,
                log_to_driver=False,
                logging_level=logging.ERROR,
            )
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise SuiteError(
            f"Ray at '{place or 'local'}' does not answer ({' '.join(str(error).split())[:150]}); check --address or RAY_ADDRESS, "
            "or leave both out to use this machine."
        ) from None
    try:
        yield _fitting(ray.cluster_resources(), resources)
    finally:
        ray.shutdown()


def _fitting(there: dict[str, float], resources: Resources) -> int:
    cpus, gpus = there.get("CPU", 0.0), there.get("GPU", 0.0)
    if cpus < resources.cpus or gpus < resources.gpus:
        raise SuiteError(
            f"resources: a run asks for {resources.cpus:g} CPUs and {resources.gpus:g} GPUs, the cluster has {cpus:g} and "
            f"{gpus:g}; lower resources or add nodes."
        )
    by_gpu = [int(gpus / resources.gpus + 1e-9)] if resources.gpus else []
    return min([int(cpus / resources.cpus + 1e-9), *by_gpu])


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
