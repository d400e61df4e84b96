"""The Ray a command works on: one that is there already, or a local one that starts and stops with the command."""

from __future__ import annotations

import json
import logging
import os
import re
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

from suite.counting import counted
from suite.errors import SuiteError
from suite.signals import handlers_kept
from suite.tuning import local_ray
from suite.tuning.ray_messages import losses_unprinted
from trainables.resources import Resources

ANSWER_SECONDS = 10.0
OWN_TYPE = re.compile("node_[0-9a-f]{56}")  # of a node that no autoscaler started


@contextmanager
def ray_session(address: str | None, resources: Resources) -> Iterator[None]:
    """Connect or start, disconnect or stop. Inside another session: use that one.

    Raises:
        SuiteError: nobody answers at the address, or a Ray on this machine cannot start or can never fit one run; said at once. Of
            a cluster nobody knows that: nodes may join.
    """
    _quiet()
    place = place_of(address)
    with token_shown() if place else nullcontext():
        yield from _connected(place, resources)


def place_of(address: str | None) -> str | None:
    """The Ray that is asked for; None = a local one."""
    return address or os.environ.get("RAY_ADDRESS")


def _connected(place: str | None, resources: Resources) -> Iterator[None]:
    import ray

    if ray.is_initialized():
        if not place:
            _require_room(resources)
        yield
        return
    if place:
        _connect(place)
    else:
        local_ray.start()
    try:
        if not place:
            _require_room(resources)
        yield
    finally:
        if place:
            ray.shutdown()
        else:
            local_ray.stop()


def _connect(place: str) -> None:
    import ray

    try:
        _require_somebody(place)
        with handlers_kept(), losses_unprinted():
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
    """CPUs and GPUs of the Ray at ``address``.

    Raises:
        SuiteError: nobody answers, or no run fits on the nodes that are there now.
    """
    with ray_session(address, resources):
        import ray

        _require_room(resources)
        found: dict[str, float] = ray.cluster_resources()
        return found


@contextmanager
def token_shown() -> Iterator[None]:
    """Authenticate with the user's Ray token where there is one and nothing else was said.

    ``ray start`` asks for the token as soon as one exists, a client offers it only when told to. Afterwards a Ray of our own starts without.
    """
    has_token = {"RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"} & set(os.environ) or local_ray.token_file().is_file()
    if not has_token or "RAY_AUTH_MODE" in os.environ:
        yield
        return
    os.environ["RAY_AUTH_MODE"] = "token"
    _tell_ray()
    try:
        yield
    finally:
        del os.environ["RAY_AUTH_MODE"]
        _tell_ray()


def _tell_ray() -> None:
    """A Ray that was imported before, as in a notebook, has read its variables once and the token with them."""
    raylet: Any = sys.modules.get("ray._raylet")
    if raylet:
        raylet.Config.initialize("")
        raylet.AuthenticationTokenLoader.instance().reset_cache()


def fitting_runs(resources: Resources) -> int:
    """Runs that the nodes which are there now carry at a time, were nobody else on them. Workers of one run may be on several nodes."""
    import ray

    workers = sum(_fitting_workers(node["Resources"], resources) for node in ray.nodes() if node["Alive"])
    return workers // resources.workers


def _fitting_workers(node: dict[str, float], resources: Resources) -> int:
    asked = [("CPU", resources.cpus), *([("GPU", resources.gpus)] if resources.gpus else [])]
    return min(int(node.get(kind, 0.0) / each + 1e-9) for kind, each in asked)


def missing_room(resources: Resources) -> str:
    """What a run asks for beside what the cluster has, for a cluster on which none fits."""
    import ray

    there = ray.cluster_resources()
    cpus, gpus = resources.workers * resources.cpus, resources.workers * resources.gpus
    has_cpus, has_gpus = there.get("CPU", 0.0), there.get("GPU", 0.0)
    in_parts = " on nodes too small for it" if cpus <= has_cpus and gpus <= has_gpus else ""
    asked = f"{counted(cpus, 'CPU')} and {counted(gpus, 'GPU')}"
    return f"resources: a run asks for {asked}, the cluster has {has_cpus:g} and {has_gpus:g}{in_parts}"


def _require_room(resources: Resources) -> None:
    if not fitting_runs(resources):
        raise SuiteError(f"{missing_room(resources)}; lower resources or add nodes.")


def has_autoscaler() -> bool:
    """Whether something starts nodes for runs that wait: Ray's autoscaler, in either of its versions, or KubeRay's.

    Ray reports on every cluster. Nodes have the types of the autoscaler's configuration; where there is none, each is a type of its own.
    """
    from ray.experimental.internal_kv import _internal_kv_get

    if _internal_kv_get("__autoscaler_v2_enabled", namespace="__autoscaler") == b"1":
        return True
    report = json.loads(_internal_kv_get("__autoscaling_status") or b"{}").get("autoscaler_report") or {}
    return any(not OWN_TYPE.fullmatch(kind) for kind in report.get("active_nodes") or ())


def _quiet() -> None:
    """Settings without which Ray reports usage, writes files nobody asked for, prints what a user cannot act on and lets all others go first."""
    for name, value in {
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_worker_niceness": "0",  # at Ray's own 15, runs beside two other busy processes get a few percent of the cores
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
        "RAY_TRAIN_ENABLE_V2_MIGRATION_WARNINGS": "0",
        "RAY_AIR_NEW_OUTPUT": "0",
        "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
        "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
        "TUNE_GLOBAL_CHECKPOINT_S": "3600",
        "TUNE_MAX_PENDING_TRIALS_PG": "1000000",  # QueueSearcher decides how many wait
    }.items():
        os.environ.setdefault(name, value)
    logging.getLogger("ray").setLevel(logging.ERROR)
    logging.getLogger("ray._private.authentication.authentication_token_setup").setLevel(logging.ERROR)
    # What Tune logs about a broken trial stands, with its reason, in the study and in the summary.
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)
