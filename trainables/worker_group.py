"""Workers that learn one stream together: equal random draws everywhere, each takes its rows, gradients are added up.

Data position, augmentation and replay are drawn by every worker for the whole batch from equal generators, so that all stay
in step and a checkpoint of the first worker is one of all. Losses that are means over rows keep their value; a loss that
compares rows of a batch with each other (CLIP's text-to-image term) sees one worker's rows only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch import Tensor, nn

from suite.backbones.learner import Batch

if TYPE_CHECKING:
    from torch.distributed.device_mesh import DeviceMesh

Result = TypeVar("Result")


@dataclass(frozen=True)
class WorkerGroup:
    """Place of this process among those that learn a stream; ``ALONE`` is a process on its own.

    Attributes:
        shards: the workers share the frozen weights too, so that all of them have to pass the network equally often.
    """

    rank: int = 0
    size: int = 1
    shards: bool = False

    @property
    def leads(self) -> bool:
        """True for the one worker that writes."""
        return self.rank == 0

    def share(self, batches: Sequence[Batch]) -> tuple[list[Batch], float]:
        """This worker's rows of every batch and its weight in the mean over the first one, the current task's.

        Batches with fewer rows than workers are seen whole by all.
        """
        if self.size == 1:
            return list(batches), 1.0
        shares = [self._rows(batch) for batch in batches]
        whole = len(shares[0]) == len(batches[0])
        return shares, 1.0 / self.size if whole else len(shares[0]) / len(batches[0])

    def _rows(self, batch: Batch) -> Batch:
        if len(batch) < self.size:
            return batch
        first, last = (len(batch) * place // self.size for place in (self.rank, self.rank + 1))
        inputs = {name: value[first:last] for name, value in batch.inputs.items()}
        return replace(batch, tasks=batch.tasks[first:last], rows=batch.rows[first:last], inputs=inputs)

    def add(self, value: Tensor) -> Tensor:
        """Sum over workers, in place."""
        if self.size > 1:
            torch.distributed.all_reduce(value)
        return value

    def add_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Every worker gets the sum of all gradients, as one message."""
        if self.size == 1:
            return
        gradients = [p.grad for p in parameters if p.grad is not None]
        flat = self.add(torch.cat([gradient.flatten() for gradient in gradients]))
        for gradient, summed in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
            gradient.copy_(summed.view_as(gradient))

    def mesh(self, device: torch.device) -> DeviceMesh:
        """All workers, as torch lays weights over them."""
        from torch.distributed.device_mesh import init_device_mesh

        return init_device_mesh(device.type, (self.size,))

    def own(self, items: Sequence[int]) -> list[int]:
        """The items that fall to this worker."""
        return list(items[self.rank :: self.size])

    def together(self, found: dict[int, Any]) -> dict[int, Any]:
        """Union of all workers' entries."""
        if self.size == 1:
            return found
        parts: list[dict[int, Any]] = [{} for _ in range(self.size)]
        torch.distributed.all_gather_object(parts, found)
        return {key: value for part in parts for key, value in part.items()}

    def from_first(self, make: Callable[[], Result]) -> Result:
        """What ``make`` returns on the first worker, on all; the others wait for it."""
        if self.size == 1:
            return make()
        box: list[Any] = [make() if self.leads else None]
        torch.distributed.broadcast_object_list(box, src=0)
        result: Result = box[0]
        return result


ALONE = WorkerGroup()
