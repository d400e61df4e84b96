"""Workers that Ray ends for want of memory: a failure of their own trials, where Ray Tune would end the whole sweep.

Tune's actor manager (Ray 2.56, ``ray/air/execution/_internal/actor_manager.py``) knows errors of actors and of tasks. When the memory monitor ends a
worker that is at work, Ray reports an ``OutOfMemoryError``, which is neither, and Tune raises it out of ``Tuner.fit``.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def lost_workers_fail_their_trials() -> Iterator[None]:
    """Inside, what ends a worker is told to Tune as the loss of that trial's actor, with Ray's own text."""
    from ray.exceptions import RayActorError, RayTaskError
    from ray.tune.execution import tune_controller

    controller: Any = tune_controller
    stock: Any = controller.RayActorManager

    class ActorManager(stock):  # type: ignore[misc]
        def _actor_task_failed(self, tracked_actor_task: Any, exception: Exception) -> None:
            known = isinstance(exception, (RayActorError, RayTaskError))
            super()._actor_task_failed(tracked_actor_task, exception if known else RayActorError(error_msg=str(exception)))

    controller.RayActorManager = ActorManager
    try:
        yield
    finally:
        controller.RayActorManager = stock
