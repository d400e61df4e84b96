"""Run a stored run again and compare the numbers."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from suite.config import RunConfig, validate
from suite.errors import DataError
from suite.runs.answers import answers_of
from suite.runs.finding import find_run
from suite.runs.outcomes import Key, Scores
from suite.runs.record import Record
from suite.runs.store import OpenRun, RunStore
from suite.workflows.arguments import PathGiven, RunName, checked
from suite.workflows.places import DATA, OUT, folder_named
from trainables.device import choose_device
from trainables.run import RunContext, execute
from trainables.stream_trainer import EVALUATED


@dataclass(frozen=True)
class Verdict:
    """Outcome of a repetition.

    Attributes:
        largest_gap: greatest difference of a matrix cell that both have, in accuracy points.
        differing: examples whose outcome changed, of ``examples`` compared (all rows, both splits).
        same_code: whether the code that decides numbers is the one the run was made with.
    """

    run_id: str
    largest_gap: float
    differing: int
    examples: int
    same_code: bool

    @property
    def agrees(self) -> bool:
        """Equal code must repeat every outcome; the spread of a run over repetitions on one machine is zero."""
        return self.differing == 0

    def sentence(self) -> str:
        code = "with the code it was made with" if self.same_code else "with other code than it was made with"
        word = "agrees" if self.agrees else "differs"
        return (
            f"run {self.run_id}, repeated {code}, {word}: {self.differing} of {self.examples} outcomes differ, "
            f"largest gap of a cell {self.largest_gap:.3f} points"
        )


@checked
def repeat(name: RunName, *, out: PathGiven = OUT, data_root: PathGiven = DATA, device: str = "auto") -> Verdict:
    """Train a stored run again in a temporary folder and compare every number with what is stored.

    Args:
        name: the run's id, the unique beginning of one, its name, a tag that it alone has, or its folder.
        out, data_root, device: as in ``run``.

    Raises:
        SuiteError: no such run, one that is not finished or is damaged, or other data than it had.
    """
    stored, data_root = find_run(RunStore(folder_named(out)), name), folder_named(data_root)
    record = stored.record
    if record.status != "finished":
        raise DataError(f"run {record.run_id}: is {record.status}, only finished runs can be repeated; finish it with 'run'.")
    choose_device(device)
    answers_of(stored)  # these and the outcomes are read before anything is learned again
    outcomes = stored.outcomes()
    config = validate(RunConfig, record.config, where=f"run {record.run_id}")
    if config.benchmark.open(data_root).fingerprint() != record.data_fingerprint:
        raise DataError(
            f"run {record.run_id}: the data under {data_root} has changed since; give the data root it was made with."
        )
    with tempfile.TemporaryDirectory(prefix="codyra-repeat-") as temporary:
        # Whether row 0 may differ from the published one was decided when the run was made.
        again = execute(config, RunContext(Path(temporary), data_root, device, accept_zero_shot=True))
        return _compare(record, outcomes, OpenRun(again, RunStore(Path(temporary)).folder(again.run_id)))


def _compare(record: Record, before: Mapping[Key, Scores], repeated: OpenRun) -> Verdict:
    """What one side lacks differs: other code may judge fewer tasks, and the repetition may diverge."""
    after, again = repeated.outcomes(), repeated.record
    differing = examples = 0
    for key in before.keys() | after.keys():
        one, other = before.get(key), after.get(key)
        count = len(one if one is not None else after[key])
        examples += count
        differing += count if one is None or other is None else int(np.count_nonzero(one != other))
    lines = [line for split in EVALUATED for line in zip(getattr(record, split), getattr(again, split), strict=False)]
    gaps = [abs(a - b) for pair in lines for a, b in zip(*pair, strict=True) if a is not None and b is not None]
    return Verdict(record.run_id, max(gaps), differing, examples, record.code_version == again.code_version)
