"""Run a stored run again and compare the numbers."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from suite.config import RunConfig, validate
from suite.errors import DataError
from suite.identity import code_version
from suite.outcomes import read_outcomes
from suite.record import Record, read_record
from trainables.restore import find_run
from trainables.run import Surroundings, execute


@dataclass(frozen=True)
class Verdict:
    """Outcome of a replay.

    Attributes:
        largest_gap: greatest difference of a matrix cell, in accuracy points.
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


def replay_run(name: str, out: Path, data_root: Path, device: str) -> Verdict:
    """Train the run ``name`` again in a temporary folder and compare it with what is stored.

    Raises:
        DataError: the run is not finished, or the data has changed.
    """
    folder = find_run(name, out)
    record = read_record(folder)
    if record.status != "finished":
        raise DataError(f"run {record.run_id}: is {record.status}, only finished runs can be replayed; finish it with 'run'.")
    config = validate(RunConfig, record.config, where=str(folder / "record.json"))
    if config.benchmark.build(data_root).fingerprint() != record.data_fingerprint:
        raise DataError(f"run {record.run_id}: the data under {data_root} has changed since; give the data root it was made with.")
    with tempfile.TemporaryDirectory(prefix="codyra-replay-") as temporary:
        again = execute(config, Surroundings(Path(temporary), data_root, device))
        return _compare(record, folder, again, Path(temporary) / "runs" / again.run_id)


def _compare(record: Record, folder: Path, again: Record, again_folder: Path) -> Verdict:
    before, after = read_outcomes(folder), read_outcomes(again_folder)
    differing = sum(int(np.count_nonzero(before[key] != after[key])) for key in before)
    cells = [np.array([*r.validation, *r.test], dtype=np.float64) for r in (record, again)]
    return Verdict(
        record.run_id,
        float(np.nanmax(np.abs(cells[0] - cells[1]))),
        differing,
        sum(len(scores) for scores in before.values()),
        record.code_version == code_version(),
    )
