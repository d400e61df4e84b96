"""The folder of a tuning, ``<out>/tunings/<name>``: its file, what was chosen, and which runs judged it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import yaml

from suite.errors import DamagedRun
from suite.files import atomic_write, read_json
from suite.runs.record import opened, sealed
from suite.yaml_files import load_yaml

FILE, CHOSEN, JUDGED, DIVERGED = "tune.yaml", "chosen", "judged", "diverged"
REMEDY = (
    "put back a copy, or remove this one file: 'tune --resume' then writes it again from the study and the runs that are stored"
)


@dataclass(frozen=True)
class Choice:
    """What became of an entrant's study, written once and never changed.

    Attributes:
        trial: None where no trial was learned to its end.
        score: what the rule chose it by.
        values: dotted field -> value of what the study searched.
        run: fields of the run that was chosen, without a seed.
    """

    trial: int | None = None
    score: float | None = None
    values: Mapping[str, Any] = field(default_factory=dict)
    run: Mapping[str, Any] = field(default_factory=dict)


class TuningFolder:
    """Files of the tuning ``name`` below ``out``; every one of them is replaced whole."""

    def __init__(self, out: Path, name: str) -> None:
        self.place = out / "tunings" / name

    @property
    def exists(self) -> bool:
        return (self.place / FILE).is_file()

    def fields(self) -> dict[str, Any]:
        """The file that the tuning began with, resolved."""
        return load_yaml(self.place / FILE)

    def begin(self, fields: Mapping[str, Any]) -> None:
        atomic_write(self.place / FILE, yaml.safe_dump(dict(fields), sort_keys=False, allow_unicode=True).encode())

    def require_whole(self, entrants: Iterable[str]) -> None:
        """Read everything that was written about ``entrants``.

        Raises:
            DamagedRun: a file has been changed since.
        """
        for entrant in entrants:
            self.choice(entrant), self.judged(entrant), self.diverged(entrant)

    def choice(self, entrant: str) -> Choice | None:
        """What was chosen; None while the study goes on.

        Raises:
            DamagedRun: it has been changed since.
        """
        fields = self._read(CHOSEN, entrant)
        try:
            return None if fields is None else Choice(**fields)
        except TypeError:
            raise _damaged(self._path(CHOSEN, entrant)) from None

    def choose(self, entrant: str, choice: Choice) -> None:
        self._write(CHOSEN, entrant, json.loads(json.dumps(asdict(choice))))

    def judged(self, entrant: str) -> dict[str, str]:
        """Hash of a judged run's config -> the run's id."""
        return self._read(JUDGED, entrant) or {}

    def judging_runs(self) -> set[str]:
        """Ids of all runs that judge, of every entrant.

        Raises:
            DamagedRun: a list of them has been changed since.
        """
        return {run_id for file in (self.place / JUDGED).glob("*.json") for run_id in self.judged(file.stem).values()}

    def note_judged(self, entrant: str, config_hash: str, run_id: str) -> None:
        self._write(JUDGED, entrant, {**self.judged(entrant), config_hash: run_id})

    def diverged(self, entrant: str) -> dict[str, str]:
        """The same of those runs that diverged, which they would do again."""
        return self._read(DIVERGED, entrant) or {}

    def note_diverged(self, entrant: str, config_hash: str, run_id: str) -> None:
        self._write(DIVERGED, entrant, {**self.diverged(entrant), config_hash: run_id})

    def _path(self, kind: str, entrant: str) -> Path:
        return self.place / kind / f"{entrant}.json"

    def _write(self, kind: str, entrant: str, fields: Mapping[str, Any]) -> None:
        atomic_write(self._path(kind, entrant), sealed(dict(fields)))

    def _read(self, kind: str, entrant: str) -> dict[str, Any] | None:
        path = self._path(kind, entrant)
        if not path.is_file():
            return None
        fields = read_json(path, REMEDY)
        try:
            return opened(fields if isinstance(fields, dict) else {}, where=str(path))
        except DamagedRun:  # its text has the remedy for a run's folder
            raise _damaged(path) from None


def _damaged(path: Path) -> DamagedRun:
    return DamagedRun(f"{path}: has changed since it was written; {REMEDY}.")


def tuning_names(out: Path) -> Sequence[str]:
    """The tunings below ``out``, in the order of their names."""
    return sorted(path.parent.name for path in (out / "tunings").glob(f"*/{FILE}"))
