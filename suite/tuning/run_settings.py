"""What all runs of one command share on their way through Ray."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal
from uuid import uuid4

from suite.runs.validation_view import ValidationView
from suite.tuning.run_queue import Suggestion
from trainables.resources import Resources

EndListener = Callable[[Suggestion, ValidationView | None, str | None], None]
FULL_DISK = "the disk is full ({reason}); finished runs are stored: free space and add --resume."


@dataclass
class RunSettings:
    """What every run of a command shares.

    Attributes:
        carrier: ``auto`` takes Ray Train for several workers, else the direct one.
        storage: URI that run folders are mirrored to.
        sharing: runs that begin alike go on from each other's states (``RunContext``).
        selection: rule that the runs' records name for tables.
        driver: name of this driver among all that ever used ``out``.
        on_record: told of every stored run before the source is, so that a driver killed in between does both again: tracking.
        on_end: told after the source: progress.
        say: told in one sentence that no node has room for a run, once until one has, and that a run's worker has died.
        on_retry: told of the runs that ran out of memory before they are run again, with the larger resources.
    """

    out: Path
    data_root: Path
    device: str = "auto"
    address: str | None = None
    resources: Resources = field(default_factory=Resources)
    concurrency: int | None = None
    on_record: Callable[[Suggestion, ValidationView], None] | None = None
    on_end: EndListener | None = None
    say: Callable[[str], None] | None = None
    on_retry: Callable[[list[Suggestion], Resources], None] | None = None
    carrier: Literal["auto", "direct", "train"] = "auto"
    storage: str | None = None
    sharing: bool = True
    selection: str | None = None
    driver: str = field(default_factory=lambda: uuid4().hex)

    def attempt(self, run: Suggestion) -> str:
        """The name under which this driver's workers leave a run in its folder, for ``left_behind``."""
        return f"{self.driver} lane {run.lane} study {run.study} trial {run.trial} part {run.seed_index}"

    def uses_train(self) -> bool:
        return self.carrier == "train" or (self.carrier == "auto" and self.resources.workers > 1)
