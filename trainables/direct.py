"""Carrier ``direct``: Ray Tune calls the stream trainer in its own, reused process; one Tune iteration is one task."""

from __future__ import annotations

import errno
from collections.abc import Generator
from pathlib import Path
from typing import Any

import torch
from ray import tune

from suite.config import RunConfig, validate
from suite.errors import DamagedRun, DataError, SuiteError
from suite.runs.record import Record
from suite.runs.validation_view import validation_view
from trainables.crashes import ran_out_of_memory
from trainables.memory_bound import bound_memory
from trainables.resources import Resources
from trainables.run import Report, RunContext, stream_reports


class ReusedTrainable(tune.Trainable):
    """A trainable whose process goes from run to run; subclasses bring ``setup``, ``step`` and ``cleanup``."""

    def cleanup(self) -> None:
        """End what still runs, storing what it finished."""

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self.cleanup()
        self.setup(new_config)
        return True

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Nothing: the run's own checkpoints lie in its folder and are found by its identity."""

    def load_checkpoint(self, checkpoint: Any) -> None:
        """Nothing: see ``save_checkpoint``."""


class StreamTrainable(ReusedTrainable):
    """``config`` holds the resolved run config and its run_context as plain values.

    Every result carries the validation view of the record so far and nothing of its test numbers.
    """

    reports: Generator[Report, None, Record] | None = None

    def setup(self, config: dict[str, Any]) -> None:
        resources = Resources(**config["resources"])
        torch.set_num_threads(max(1, int(resources.cpus)))
        bound_memory(resources)
        run = validate(RunConfig, config["run"], where="trial")
        self.reports = stream_reports(run, surroundings_of(config, "direct"))

    def step(self) -> dict[str, Any]:
        assert self.reports is not None
        try:
            report = next(self.reports)
        except StopIteration as end:
            record: Record = end.value
            return {"view": validation_view(record).as_text(), "done": True}
        except (SuiteError, OSError, RuntimeError, MemoryError) as error:
            return ending(error)
        return {"view": validation_view(report.record).as_text(), "done": report.record.status == "finished"}

    def cleanup(self) -> None:
        """Called when the trial ends or is stopped: closing the generator stores a run that is not finished as stopped."""
        if self.reports is not None:
            self.reports.close()
            self.reports = None


def surroundings_of(config: dict[str, Any], carrier: str) -> RunContext:
    """The run_context among a trial's plain values."""
    return RunContext(
        out=Path(config["out"]),
        data_root=Path(config["data_root"]),
        device=config["device"],
        study=config["study"],
        trial=config["trial"],
        selection=config["selection"],
        carrier=carrier,
        storage=config["storage"],
        attempt=config["attempt"],
        sharing=config["sharing"],
    )


def ending(error: Exception) -> dict[str, Any]:
    """The last result of a run that cannot go on: a mistake, missing data, too little memory, or a full disk.

    Raises:
        Exception: ``error`` itself when it is none of these; the carrier's retries deal with it.
    """
    if isinstance(error, SuiteError):
        return {
            "error": str(error),
            "no_data": isinstance(error, DataError) and not isinstance(error, DamagedRun),
            "done": True,
        }
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return {"error": f"no space left to write {error.filename or 'a file'}", "disk_full": True, "done": True}
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)) or ran_out_of_memory(str(error)):
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        return {"error": f"out of memory: {first}", "done": True}
    raise error
