"""What a tracker is, and the one that logs nothing.

A tracker shows finished runs to people: MLflow, TensorBoard. The truth stays in the run folders, so a tracker is told of a record
and may be told again; ``suite.tracking.delivery`` decides when, and keeps what could not be delivered. A new tracker is one file
with a subclass of ``Tracker`` and one line in ``suite.tracking.trackers``, or an entry point of an outside package.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol

from suite.errors import ConfigError, DamagedRun
from suite.runs.labels import NONE, Labels, all_labels
from suite.runs.record import RECORD, Record, setting_text
from suite.runs.record_shape import require_shape
from suite.runs.store import RunStore
from suite.tracking.about import About

if TYPE_CHECKING:
    from suite.runs.outcomes import Key, Scores


class TrackedRun(Protocol):
    """A stored run as tables read it."""

    @property
    def record(self) -> Record: ...

    def outcomes(self, row: int | None = None) -> Mapping[Key, Scores]:
        """Per-example scores, of one row of the matrices or of all; empty when the run stored none.

        Raises:
            DamagedRun: they are not what the record was made from.
        """
        ...


@dataclass(frozen=True)
class RunFields:
    """What runs are asked for by, of one run: ``setting`` as tables show it, ``studies`` that it is a trial of, ``tags`` that people gave it."""

    benchmark: str
    method: str
    setting: str
    studies: tuple[str, ...]
    tags: tuple[str, ...] = ()

    @classmethod
    def of(cls, record: Record, tags: tuple[str, ...] = ()) -> RunFields:
        return cls(record.benchmark, record.method, setting_text(record.setting), tuple(record.trials), tags)

    def values(self, name: str) -> tuple[str, ...]:
        """What the field ``name`` (``benchmark``, ``method``, ``study``, ``setting`` or ``tag``) could be asked for."""
        several = {"study": self.studies, "tag": self.tags}
        return several[name] if name in several else (str(getattr(self, name)),)

    def match(self, asked: Mapping[str, str]) -> bool:
        """Whether every field that is asked for has its value; the text of a setting need only occur in it."""
        return all(value in (self.setting if name == "setting" else self.values(name)) for name, value in asked.items())


@dataclass(frozen=True)
class Target:
    """What files are attached to: a run by its id, or a study by its name."""

    kind: Literal["run", "study"]
    name: str


class Tracker(ABC):
    """One place that results go to. Only the driver of a command calls it, from one thread.

    Every call may be repeated with equal or newer content and must then leave one copy of it. A call that fails raises whatever the
    library behind it raises; ``is_away`` and ``reason_of`` say what that means. Nothing is retried or kept back here.

    Args:
        uri: as the user wrote it, beginning with the scheme that chose this class; ``__init__`` raises ConfigError for one that names
            no place.
        out: folder of the runs; ``RunStore(out)`` has their files.

    Attributes:
        name: one lower-case word for messages and for the folder of notes on what is not delivered yet.
        usable: what can be named instead of a place that cannot be used, for "name ... with --tracking".
        takes_files: False when ``attach`` would drop what it is given; nothing is drawn then.
    """

    name: ClassVar[str]
    usable: ClassVar[str]
    takes_files: ClassVar[bool] = True

    def __init__(self, uri: str, out: Path) -> None:
        self.uri = uri
        self.out = out

    @abstractmethod
    def check(self) -> None:
        """Find out, before anything is trained, whether results can be written.

        Raises:
            ConfigError: the URI can never be used; other errors are judged by ``is_away``.
        """

    @abstractmethod
    def log_study(self, name: str, config: Mapping[str, Any], *, finished: bool | None) -> None:
        """Begin a study, or say how it ended.

        Args:
            config: the study's settings; empty when they are not known.
            finished: None for a study that is going on, False for one that broke off.
        """

    @abstractmethod
    def log_run(self, record: Record) -> None:
        """Show a record: its settings, metrics per row, summary and status. A run belongs to the first of ``record.trials``."""

    def describe(self, target: Target, about: About) -> None:
        """Show title, description and numbers of a run or a study; called after it was logged, and again when they have changed."""

    def attach(self, target: Target, files: Sequence[Path], place: str) -> bool:
        """Put ``files`` into the folder ``place`` of a run or study; False when that was never logged."""
        return False

    def holds(self, target: Target, files: Sequence[Path], place: str) -> bool:
        """Whether ``attach`` has put these very files there."""
        return False

    def log_table(self, study: str, columns: Mapping[str, Sequence[Any]], name: str) -> None:
        """Show a table on a study, in the place of the one that it had under this name."""

    def close(self) -> None:
        """Let go of what is open; called once, after the last of the other calls."""

    def forget(self, run_id: str) -> None:
        """Show a run no more, because its folder is about to be deleted; nothing to do where it was never shown."""

    def read_labels(self) -> Mapping[str, Labels]:
        """Run id -> tags and note of every stored run that has some; as for ``read_runs``."""
        return all_labels(RunStore(self.out).place)

    def read_runs(self, fields: Mapping[str, str], unreadable: list[str]) -> Iterator[TrackedRun]:
        """Every stored run, each once, for tables. A tracker that cannot give back whole records leaves this to the run folders.

        Args:
            fields: as far as they are asked for ``benchmark``, ``method``, ``study``, ``setting`` and ``tag``, as ``RunFields.match`` reads
                them. Runs that do not match may be left out.
            unreadable: takes a sentence for every run that is stored and cannot be read.

        Raises:
            SuiteError: there is no reading at all.
        """
        listing = RunStore(self.out).all()
        unreadable += listing.damaged
        for run in listing.runs:
            try:
                require_shape(run.record, str(run.folder / RECORD))
            except DamagedRun as error:
                unreadable.append(str(error))
                continue
            yield run

    def read_fields(self) -> Iterator[RunFields]:
        """Of every stored run what it can be asked for by; read to say why a question found nothing."""
        labels = self.read_labels()
        return (RunFields.of(run.record, labels.get(run.record.run_id, NONE).tags) for run in self.read_runs({}, []))

    @property
    def nothing_stored(self) -> str:
        """What to do when ``read_runs`` finds nothing, as a sentence without its end."""
        return (
            f"{RunStore(self.out).place} holds no run; name the folder that --out of the runs was, or name another --tracking"
        )

    def pages(self) -> Sequence[str]:
        """Where a person looks at what was logged, a line each: a command to start with, an address; empty without such a place."""
        return ()

    def is_away(self, error: Exception) -> bool:
        """Whether the same call may succeed later without anybody doing anything."""
        return False

    def reason_of(self, error: Exception) -> str:
        """The few words of an error that say what is wrong, on one line."""
        system = error.strerror if isinstance(error, OSError) else None
        return system or " ".join(f"{type(error).__name__}: {error}".split())[:200]

    @classmethod
    def local_place(cls, uri: str) -> Path | None:
        """The file or folder of this machine that ``uri`` names; None when it names another machine, or nothing."""
        return None


class RunFolders(Tracker):
    """``none``: nothing is logged anywhere, and tables are made from the run folders."""

    name = "none"
    usable = "an MLflow"
    takes_files = False

    def __init__(self, uri: str, out: Path) -> None:
        if uri != "none":
            raise ConfigError(f"tracking '{uri}': 'none' takes nothing behind it; write none to log nothing.")
        super().__init__(uri, out)

    def check(self) -> None:
        """Every run folder is checked by whoever writes to it."""

    def log_study(self, name: str, config: Mapping[str, Any], *, finished: bool | None) -> None:
        """The study's own folder has all of it."""

    def log_run(self, record: Record) -> None:
        """The run's own folder has all of it."""
