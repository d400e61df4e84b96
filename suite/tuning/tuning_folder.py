"""The folder of a tuning, ``<out>/tunings/<name>``: its file, what was chosen, and which runs judged it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import yaml

from suite.files import atomic_write, read_json
from suite.runs.record import opened, sealed
from suite.yaml_files import load_yaml

FILE, CHOSEN, JUDGED = "tune.yaml", "chosen", "judged"
REMEDY = "put back a copy of the tuning's folder, or rename the tuning to begin anew (runs that are finished are reused)"


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

    def choice(self, entrant: str) -> Choice | None:
        """What was chosen; None while the study goes on.

        Raises:
            DamagedRun: it has been changed since.
        """
        path = self.place / CHOSEN / f"{entrant}.json"
        if not path.is_file():
            return None
        return Choice(**opened(read_json(path, REMEDY), where=str(path)))

    def choose(self, entrant: str, choice: Choice) -> None:
        atomic_write(self.place / CHOSEN / f"{entrant}.json", sealed(json.loads(json.dumps(asdict(choice)))))

    def judged(self, entrant: str) -> dict[str, str]:
        """Hash of a judged run's config -> the run's id."""
        path = self.place / JUDGED / f"{entrant}.json"
        if not path.is_file():
            return {}
        found: dict[str, str] = opened(read_json(path, REMEDY), where=str(path))
        return found

    def note_judged(self, entrant: str, config_hash: str, run_id: str) -> None:
        atomic_write(self.place / JUDGED / f"{entrant}.json", sealed({**self.judged(entrant), config_hash: run_id}))


def tuning_names(out: Path) -> Sequence[str]:
    """The tunings below ``out``, in the order of their names."""
    return sorted(path.parent.name for path in (out / "tunings").glob(f"*/{FILE}"))
