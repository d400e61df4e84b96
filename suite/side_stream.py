"""Work beside other work on a GPU: on a stream of its own, in an order that both sides agree on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor


class SideStream:
    """A second stream of a device, which a recorded step follows too: it becomes a branch of the graph.

    Gradients go back on the stream that their values came from; torch's engine has each side wait for what it needs of the other.
    """

    def __init__(self, device: torch.device) -> None:
        self._stream = torch.cuda.Stream(device) if device.type == "cuda" else None

    @contextmanager
    def beside(self) -> Iterator[Callable[[Tensor], Tensor]]:
        """What is asked for inside begins behind all that was asked for before, and runs beside what is asked for next.

        Yields a function that gives a result of it to the stream outside, which waits for it. On a CPU everything runs in turn.
        """
        if self._stream is None:
            yield lambda result: result
            return
        side, outer = self._stream, torch.cuda.current_stream(self._stream.device)

        def joined(result: Tensor) -> Tensor:
            outer.wait_stream(side)
            result.record_stream(outer)  # its memory is not given away before the outer stream has read it
            return result

        side.wait_stream(outer)
        with torch.cuda.stream(side):
            yield joined
