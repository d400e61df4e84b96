"""What runs would be refused for, asked before any of them begins, where they will be: here, or on the cluster."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from suite.config import RunConfig
from suite.counting import counted
from suite.errors import ConfigError
from suite.tuning.cluster import place_of, ray_session
from suite.tuning.places import Places
from suite.tuning.run_settings import RunSettings
from trainables.device import choose_device
from trainables.preflight import Refusal, refusals


def refused_runs(configs: Sequence[RunConfig], run_settings: RunSettings) -> list[Refusal]:
    """Those of ``configs`` that cannot begin, see ``trainables.preflight``; data and models of a cluster need not be here.

    A cluster is asked where a run has room, and waited for until it has a node for one.

    Raises:
        ConfigError: where they will be there is no such device, which no run could do without.
        SuiteError: as ``ray_session``, for a cluster.
    """
    _require_own_gpu(run_settings)
    data_root = run_settings.data_root.resolve()
    if place_of(run_settings.address) is None:
        return refused_here(configs, data_root, run_settings.device, shard_frozen=run_settings.resources.shard_frozen)
    resources, fields = run_settings.resources, [config.resolved() for config in configs]
    with ray_session(run_settings.address, resources):
        import ray

        Places(run_settings).most()  # says so where it has none yet
        found = ray.remote(num_cpus=resources.cpus, num_gpus=resources.gpus)(_found)
        return _told(ray.get(found.remote(fields, data_root, run_settings.device, resources.shard_frozen)))


def refused_here(configs: Sequence[RunConfig], data_root: Path, device: str, *, shard_frozen: bool = False) -> list[Refusal]:
    """The same for runs in this process, whatever Ray there is; ``shard_frozen`` as in ``Resources``.

    Raises:
        ConfigError: this machine lacks the device.
    """
    return _told(_found([config.resolved() for config in configs], data_root.resolve(), device, shard_frozen))


def _require_own_gpu(run_settings: RunSettings) -> None:
    """Refuse the number of a GPU where Ray gives every run GPUs of its own, which it counts from 0."""
    kind, _, number = run_settings.device.partition(":")
    gpus = run_settings.resources.gpus
    if gpus and kind == "cuda" and number.isdigit() and int(number) >= max(1.0, gpus):
        raise ConfigError(
            f"device: '{run_settings.device}': Ray gives every run {counted(gpus, 'GPU')} of its own, counted from 0; use 'cuda'."
        )


def _found(fields: Sequence[Mapping[str, Any]], data_root: Path, device: str, shard_frozen: bool) -> list[Refusal] | str:
    """The refusals, or why the device is none; an error that Ray brings back would have its traceback in its text."""
    try:
        choose_device(device)
    except ConfigError as error:
        return str(error)
    return refusals(fields, data_root, shard_frozen=shard_frozen)


def _told(found: list[Refusal] | str) -> list[Refusal]:
    if isinstance(found, str):
        raise ConfigError(found)
    return found
