"""Stored studies: which there are, and one of them with its trials."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from suite.config import validate
from suite.errors import ConfigError, SuiteError, nearest
from suite.parts import named_fields
from suite.registry import SPACES
from suite.tuning.finished_trials import stored_study
from suite.tuning.objectives import Objective
from suite.tuning.study_config import StudyConfig
from suite.tuning.study_result import Study
from suite.tuning.trials import DUPLICATE
from suite.workflows.arguments import PathGiven, WatcherGiven, checked
from suite.workflows.places import OUT, folder_named
from suite.workflows.progress import QUIET
from suite.workflows.sweeping import FILE, of_today
from suite.workflows.tracking import say_unreadable
from suite.yaml_files import load_yaml

SHOWN = 5


@dataclass(frozen=True)
class StoredStudy:
    """A study below an output folder.

    Attributes:
        study: its config and trials.
        began: when its file was written last, which a resume does too.
    """

    study: Study
    folder: Path
    began: datetime

    @property
    def name(self) -> str:
        return self.study.config.name

    @property
    def states(self) -> Mapping[str, int]:
        """How many trials are COMPLETE, PRUNED, FAIL, RUNNING or WAITING, repetitions left out."""
        return Counter(trial.state.name for trial in self.study.trials if DUPLICATE not in trial.user_attrs)

    @property
    def best(self) -> Mapping[str, float]:
        """Objective -> its best value on validation among the best trials; empty before the first one is complete."""
        front = [self.study.trials[number].values for number in self.study.front]
        goals = [Objective(name) for name in self.study.config.objectives] if front else []
        return {
            goal.name: (max if goal.maximize else min)(values[place] for values in front) for place, goal in enumerate(goals)
        }

    @property
    def benchmark(self) -> str:
        return str(named_fields(self.study.config.run.get("benchmark") or {}, "benchmark").get("name", ""))

    @property
    def methods(self) -> list[str]:
        """The methods that are searched."""
        spaces = self.study.config.space
        names = [spaces] if isinstance(spaces, str) else spaces
        return list(dict.fromkeys(SPACES[name].method for name in names))


@checked
def studies(
    *,
    benchmark: str | None = None,
    method: str | None = None,
    out: PathGiven = OUT,
    watcher: WatcherGiven = QUIET,
) -> list[StoredStudy]:
    """The studies below ``out``, those of tunings among them, in the order of their names; of those that cannot be read the watcher is told.

    Args:
        benchmark, method: only studies of it, as their file names them.
        out: folder of runs and studies.

    Raises:
        SuiteError: there is no study, or none that matches.
    """
    place = folder_named(out) / "studies"
    found, unreadable = [], []
    for name in _names(place):
        try:
            found.append(_read(place / name))
        except SuiteError as error:
            unreadable.append(str(error))
    say_unreadable(unreadable, watcher)
    if not found and not unreadable:
        raise ConfigError(f"studies: {place} holds no study; 'codyra-suite sweep' makes one, or name another folder as --out.")
    kept = [one for one in found if benchmark in (None, one.benchmark) and (method is None or method in one.methods)]
    if found and not kept:
        asked = {"benchmark": benchmark, "method": method}
        shown = " and ".join(f"{name} = '{value}'" for name, value in asked.items() if value is not None)
        raise ConfigError(f"studies: none of {len(found)} is of {shown}; leave a filter out.")
    return kept


@checked
def study(name: str, *, out: PathGiven = OUT) -> StoredStudy:
    """The study with this name, or the one whose name begins like this.

    Args:
        name: the name, or a beginning of it that no other study has.
        out: as in ``studies``.

    Raises:
        SuiteError: there is none, there are several, or it is damaged.
    """
    place = folder_named(out) / "studies"
    names = _names(place)
    found = [name] if name in names else [one for one in names if name and one.startswith(name)]
    if len(found) > 1:
        shown = ", ".join(found[:SHOWN]) + (", ..." if len(found) > SHOWN else "")
        raise ConfigError(f"study '{name}': {len(found)} studies begin like this ({shown}); give more of the name.")
    if not found:
        near = nearest(name, names)
        hint = f" (nearest: '{near}')" if near else ""
        raise ConfigError(f"study '{name}': there is none below {place}{hint}; 'codyra-suite studies list' shows them.")
    return _read(place / found[0])


def study_objectives(out: Path) -> dict[str, list[str]]:
    """Name -> objectives of every study below ``out`` whose file can be read; no database is opened."""
    found = {}
    for name in _names(out / "studies"):
        with suppress(SuiteError):
            found[name] = list(_config(out / "studies" / name).objectives)
    return found


def _names(place: Path) -> list[str]:
    return sorted(file.parent.name for file in place.glob(f"*/{FILE}"))


def _read(folder: Path) -> StoredStudy:
    began = datetime.fromtimestamp((folder / FILE).stat().st_mtime, UTC)
    return StoredStudy(stored_study(_config(folder), folder), folder, began)


def _config(folder: Path) -> StudyConfig:
    file = folder / FILE
    return validate(StudyConfig, of_today(StudyConfig, load_yaml(file)), where=str(file))
