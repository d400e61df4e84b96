"""Notes on what a tracker has not taken yet: one small file per run or study, below ``<out>/spool/<tracker>``.

A note says which run or study waits and why; the truth stays in the run's folder. Its name is all that delivery needs, so that a
note that was damaged, or a folder that was moved, loses nothing.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from suite.files import atomic_write
from suite.tracking.about import About

PLACE = "spool"
NOTHING = About()


class Spool:
    """The notes in one folder.

    Args:
        folder: made when the first note is written.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @classmethod
    def of(cls, out: Path, tracker: str) -> Spool:
        """The notes of one kind of tracker; what waits for MLflow is nothing that TensorBoard could take in its place."""
        return cls(out / PLACE / tracker)

    def runs(self) -> list[str]:
        """Ids of the runs that wait."""
        return _names(self.folder)

    def studies(self) -> list[str]:
        """Names of the studies that wait."""
        return _names(self._studies)

    def hold_run(self, run_id: str, reason: str, about: About = NOTHING) -> None:
        atomic_write(self.folder / f"{run_id}.json", json.dumps({"reason": reason, "about": about.fields()}).encode())

    def about(self, run_id: str) -> About:
        """What is to be said of a run that waits; nothing where its note does not tell."""
        return About.of_fields(_fields(self.folder / f"{run_id}.json").get("about"))

    def hold_study(self, name: str, config: dict[str, Any], *, finished: bool | None, reason: str) -> None:
        """Args:
        finished: True or False for a study that is over or broke off; None for one that is going on.
        """
        fields = {"config": config, "finished": finished, "reason": reason}
        atomic_write(self._studies / f"{name}.json", json.dumps(fields, default=str).encode())

    def study(self, name: str) -> tuple[dict[str, Any], bool | None]:
        """Config and state of a study that waits; of a damaged note neither is known."""
        fields = _fields(self._studies / f"{name}.json")
        config, finished = fields.get("config"), fields.get("finished")
        return (config if isinstance(config, dict) else {}), (finished if isinstance(finished, bool) else None)

    def release_run(self, run_id: str) -> None:
        (self.folder / f"{run_id}.json").unlink(missing_ok=True)

    def release_study(self, name: str) -> None:
        (self._studies / f"{name}.json").unlink(missing_ok=True)

    def count(self) -> int:
        return len(self.runs()) + len(self.studies())

    def sentence(self) -> str | None:
        """What waits here, why, and how it gets delivered; None when nothing does."""
        runs, studies = self.runs(), self.studies()
        if not runs and not studies:
            return None
        notes = [self.folder / f"{name}.json" for name in runs] + [self._studies / f"{name}.json" for name in studies]
        reasons = [str(fields["reason"]) for fields in map(_fields, notes) if fields.get("reason")]
        shown = f" ({reasons[-1]})" if reasons else ""
        counted = [(len(runs), "run", "runs"), (len(studies), "study", "studies")]
        what = " and ".join(f"{count} {one if count == 1 else many}" for count, one, many in counted if count)
        verb = "waits" if len(notes) == 1 else "wait"
        return (
            f"tracking: {what} {verb} in {self.folder} for {self.folder.name} to take them{shown}; the next 'run', 'compare' or 'sweep' "
            "with the same --out and tracker delivers what it can."
        )

    @property
    def _studies(self) -> Path:
        return self.folder / "studies"


def _names(folder: Path) -> list[str]:
    return sorted(path.stem for path in folder.glob("*.json") if path.is_file() and not path.name.startswith("."))


def _fields(note: Path) -> dict[str, Any]:
    try:
        fields = json.loads(note.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return fields if isinstance(fields, dict) else {}
