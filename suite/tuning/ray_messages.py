"""What Ray itself writes between a command's own lines."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def losses_unprinted() -> Iterator[None]:
    """Inside, ``ray.init`` connects without printing on standard output, in a dozen lines each, that a worker or a node died.

    Ray has no setting for it. The suite says itself, in a sentence, which run was hit and that it goes on.
    """
    from ray._private import worker

    before = worker.listen_error_messages
    worker.listen_error_messages = _listen_to_none
    try:
        yield
    finally:
        worker.listen_error_messages = before


def _listen_to_none(worker: Any, threads_stopped: threading.Event) -> None:
    """In the place of Ray's listener, which ends when this event is set."""
    threads_stopped.wait()
