"""How many parts of each slot a task may leave in the weights: a number, or what a finished run left there.

Controls of CoDyRA share this: its rank at the end is a result, theirs is set to it. ``merged_rank`` is either the mean over slots and
tasks ("effective rank" of the leaderboard), or the folder of a finished run, whose ranks are taken over slot by slot and task by task.
So, with the rank that the first command ends with, the four are compared at equal merged rank:

    codyra-suite compare -b mini-mtil -m codyra -m lora --set lora.rank=8 --seeds 0-4
    codyra-suite compare -b mini-mtil -m squeeze -m random-parts --set squeeze.merged_rank=7.83 --set random-parts.merged_rank=7.83 --seeds 0-4
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from pydantic import Field, model_validator

from suite.errors import ConfigError
from suite.lowrank.layer import Slot
from suite.lowrank.placement import Placement
from suite.parts import MethodConfig
from suite.runs.record import read_record

Ranks = dict[str, int]  # slot -> parts that are merged


class MergedRankConfig(MethodConfig):
    """What controls with a given merged rank have in common.

    Attributes:
        rank: parts that a task begins with.
        merged_rank: parts per slot that are merged: their mean, or a finished run (its folder or ``record.json``) whose ranks are taken over.
    """

    rank: Annotated[int, Field(ge=1, le=512)] = 16
    merged_rank: Annotated[float, Field(gt=0, le=512)] | str = 8.0
    placement: Placement = Placement(weights=("q", "k", "v", "o", "in", "out"))

    @model_validator(mode="after")
    def _within_the_rank(self) -> MergedRankConfig:
        if isinstance(self.merged_rank, str) and _is_number(self.merged_rank):
            raise ValueError(f"merged_rank '{self.merged_rank}' is neither a finite number above 0 nor the folder of a run")
        if not isinstance(self.merged_rank, str) and self.merged_rank > self.rank:
            raise ValueError(f"merged_rank {self.merged_rank:g} exceeds rank {self.rank}, the parts there are")
        return self

    def merged_ranks(self, slots: Sequence[Slot], tasks: Sequence[str]) -> list[Ranks]:
        """Merged parts per slot, task by task.

        Raises:
            ConfigError: the run that is named lacks a slot, left more parts in one than there are, or see ``named_ranks``.
            DamagedRun: there is no readable record.
        """
        names = [slot.name for slot in slots]
        found = self.named_ranks(tasks)
        if found is None:
            assert not isinstance(self.merged_rank, str)
            return [spread(self.merged_rank, names)] * len(tasks)
        missing = [name for ranks in found for name in names if name not in ranks]
        if missing:
            raise ConfigError(
                f"method.merged_rank: the run in {self.merged_rank} has no rank for {missing[0]}; name a run with the same "
                "method.placement."
            )
        most = max(ranks[name] for ranks in found for name in names)
        if most > self.rank:
            raise ConfigError(
                f"method.merged_rank: the run in {self.merged_rank} left {most} parts in a slot, and method.rank offers {self.rank}; "
                f"set method.rank to at least {most}."
            )
        return [{name: ranks[name] for name in names} for ranks in found]

    def named_ranks(self, tasks: Sequence[str]) -> list[Ranks] | None:
        """Ranks of the run that ``merged_rank`` names, task by task; None where it is a number.

        Raises:
            ConfigError: the run learned something else, or is not finished.
            DamagedRun: there is no readable record.
        """
        if not isinstance(self.merged_rank, str):
            return None
        record = read_record(Path(self.merged_rank).expanduser())
        if record.status != "finished":
            raise ConfigError(f"method.merged_rank: the run in {self.merged_rank} is {record.status}; name a finished one.")
        if list(record.tasks) != list(tasks):
            raise ConfigError(
                f"method.merged_rank: the run in {self.merged_rank} learned {', '.join(record.tasks)}, and this one is to learn "
                f"{', '.join(tasks)}; name a run on this stream."
            )
        return [result.effective_rank for result in record.results[1:]]


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def spread(mean: float, names: Sequence[str]) -> Ranks:
    """Whole ranks whose mean is ``mean``, rounded down to a whole sum, the larger ones evenly among the smaller."""
    sums = [math.floor(mean * count + 1e-9) for count in range(len(names) + 1)]
    return {name: after - before for name, before, after in zip(names, sums, sums[1:], strict=False)}
