"""The share of a machine that one run occupies."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, field_validator, model_validator

from suite.settings import Settings

SMALLEST_SHARE = 0.01  # of a CPU or GPU; below it Ray would start thousands of workers at a time
LEAST_GIB = 0.1  # below it a worker cannot even report that a run was too large


class Resources(Settings):
    """What one run occupies.

    Attributes:
        cpus: per worker.
        gpus: per worker; shares such as 0.25 let runs share a card, and bound each one's memory to its share of it.
        workers: processes that learn one stream together, each on its share of every batch.
        shard_frozen: the workers share the frozen weights of a language model too: each holds its part, and a block is whole only while
            it computes. For models that do not fit one card. It stands in a config only where it is on.
        memory_gib: bound on what a worker may allocate beyond what it holds when a run begins; None = no bound.
    """

    cpus: Annotated[float, Field(ge=SMALLEST_SHARE)] = 1.0
    gpus: Annotated[float, Field(ge=0)] = 0.0
    workers: Annotated[int, Field(ge=1)] = 1
    shard_frozen: bool = Field(default=False, exclude_if=lambda on: not on)
    memory_gib: Annotated[float, Field(ge=LEAST_GIB)] | None = None

    @field_validator("gpus")
    @classmethod
    def _whole_or_a_share(cls, gpus: float) -> float:
        if 0 < gpus < SMALLEST_SHARE:
            raise ValueError(f"'{gpus:g}' of a GPU is less than a run can use; use 0 or at least {SMALLEST_SHARE}")
        if gpus > 1 and not gpus.is_integer():
            raise ValueError(f"'{gpus:g}' is more than one GPU and not whole; use a share below 1 or a whole number")
        return gpus

    @model_validator(mode="after")
    def _several_where_sharded(self) -> Resources:
        if self.shard_frozen and self.workers == 1:
            raise ValueError(
                "shard_frozen lays the frozen weights over several workers; set workers to at least 2, or leave it out"
            )
        return self

    def larger(self) -> Resources | None:
        """Twice the memory share, for a run that ran out; None when it has whole cards and no bound already."""
        gpus = min(1.0, 2 * self.gpus) if self.gpus < 1 else self.gpus
        memory = None if self.memory_gib is None else 2 * self.memory_gib
        grown = self.model_copy(update={"gpus": gpus, "memory_gib": memory})
        return None if grown == self else grown
