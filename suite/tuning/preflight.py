"""What runs would be refused for, asked before any of them begins, where they will be: here, or on the cluster."""

from __future__ import annotations

from collections.abc import Sequence

from suite.config import RunConfig
from suite.tuning.cluster import place_of, ray_session
from suite.tuning.places import Places
from suite.tuning.run_settings import RunSettings
from trainables.preflight import Refusal, refusals


def refused_runs(configs: Sequence[RunConfig], run_settings: RunSettings) -> list[Refusal]:
    """Those of ``configs`` that cannot begin, see ``trainables.preflight``; data and models of a cluster need not be here.

    A cluster is asked where a run has room, and waited for until it has a node for one.

    Raises:
        SuiteError: as ``ray_session``, for a cluster.
    """
    fields, data_root = [config.resolved() for config in configs], run_settings.data_root.resolve()
    if place_of(run_settings.address) is None:
        return refusals(fields, data_root)
    resources = run_settings.resources
    with ray_session(run_settings.address, resources):
        import ray

        Places(run_settings).most()  # says so where it has none yet
        asked = ray.remote(num_cpus=resources.cpus, num_gpus=resources.gpus)(refusals).remote(fields, data_root)
        found: list[Refusal] = ray.get(asked)
        return found
