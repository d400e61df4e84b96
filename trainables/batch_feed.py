"""Batches of a task in their order, prepared ahead on GPUs, and how long the steps had to wait for them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

import torch

from trainables.passes import Pass

AHEAD = 2  # batches prepared beside the step that runs


class BatchFeed:
    """The passes of ``count`` steps, drawn one after the other and no further, so that generators end where the task ends.

    Args:
        ahead: prepare them on a GPU beside the steps, on a stream of their own; nothing that steps change may decide what they are.

    Attributes:
        waited: seconds for which the device had nothing to do because its batch was not ready; on a CPU all of preparation.
    """

    def __init__(self, prepare: Callable[[], list[Pass]], count: int, device: torch.device, *, ahead: bool) -> None:
        self.prepare = prepare
        self.count = count
        self.device = device
        self.ahead = ahead and device.type == "cuda"
        self.waited = 0.0
        self._last: torch.cuda.Event | None = None

    def __iter__(self) -> Iterator[list[Pass]]:
        source = self._prefetched() if self.ahead else (self.prepare() for _ in range(self.count))
        while True:
            start = time.perf_counter()
            passes = next(source, None)
            if passes is None:
                return
            if self._is_idle():
                self.waited += time.perf_counter() - start
            yield passes
            if self.device.type == "cuda":
                self._last = torch.cuda.Event()
                self._last.record()

    def _is_idle(self) -> bool:
        """True when all earlier steps are done by now: an upper bound of waiting, since the last may have ended a moment ago."""
        return self.device.type != "cuda" or self._last is None or self._last.query()

    def _prefetched(self) -> Iterator[list[Pass]]:
        stream = torch.cuda.Stream(self.device)
        stream.wait_stream(torch.cuda.current_stream(self.device))  # what the task's beginning has put on the device is there

        def load() -> tuple[list[Pass], torch.cuda.Event]:
            with torch.cuda.stream(stream):
                passes, ready = self.prepare(), torch.cuda.Event()
                ready.record(stream)
            return passes, ready

        with ThreadPoolExecutor(1) as pool:
            queue: list[Future[tuple[list[Pass], torch.cuda.Event]]] = [
                pool.submit(load) for _ in range(min(AHEAD, self.count))
            ]
            for index in range(self.count):
                passes, ready = queue.pop(0).result()
                if index + AHEAD < self.count:
                    queue.append(pool.submit(load))
                current = torch.cuda.current_stream(self.device)
                current.wait_event(ready)
                for one in passes:
                    for batch in one.batches:
                        for value in batch.inputs.values():
                            value.record_stream(current)
                yield passes


@contextmanager
def own_stream(device: torch.device) -> Iterator[None]:
    """A stream of its own for a task's steps, as recording needs; nothing on a CPU."""
    if device.type != "cuda":
        yield
        return
    outer, inner = torch.cuda.current_stream(device), torch.cuda.Stream(device)
    inner.wait_stream(outer)
    with torch.cuda.stream(inner):
        yield
    outer.wait_stream(inner)
