"""Records on their way to a tracker, whichever it is.

Only the driver writes. What a tracker is away for, or refuses, waits in a spool folder (``<out>/spool/<tracker>``) and ends no
command; the next command with the same output folder and kind of tracker delivers it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from suite.errors import ConfigError, DataError
from suite.proxies import without_password
from suite.runs.record import RECORD, Record, read_record
from suite.runs.store import RunStore
from suite.tracking.about import About, typed_command
from suite.tracking.spool import Spool
from suite.tracking.tracker import Target, Tracker
from suite.tracking.trackers import tracker_for

PATIENCE_SECONDS = 20.0

Result = TypeVar("Result")


def open_delivery(uri: str | None, out: Path, *, patience_seconds: float = PATIENCE_SECONDS) -> Delivery:
    """The way to the tracker of ``uri`` (None = the default), found usable; what an earlier command left in the spool is delivered.

    A server that does not answer is no mistake of anybody: ``trouble`` says so, and records wait in the spool.

    Raises:
        ConfigError: no such tracker, or it can never take a record as it is; said before anything is trained.
    """
    delivery = Delivery(tracker_for(uri, out), patience_seconds=patience_seconds)
    delivery.open()
    return delivery


class Delivery:
    """Hands records to one tracker; see the module's text for what it promises. As a context manager it closes the tracker.

    Args:
        patience_seconds: how long a call is retried before the record is spooled. Once the server was found away, later
            calls try once and spool, until one gets through.

    Attributes:
        trouble: why the last call was not taken; None when it was.
        command: that delivers.
    """

    def __init__(self, tracker: Tracker, *, patience_seconds: float = PATIENCE_SECONDS) -> None:
        self.tracker = tracker
        self.spool = Spool.of(tracker.out, tracker.name)
        self.patience_seconds = patience_seconds
        self.trouble: str | None = None
        self.command = typed_command()
        self._is_away = False
        self._configs: dict[str, Mapping[str, Any]] = {}

    def __enter__(self) -> Delivery:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._do(self.tracker.close)

    @property
    def is_away(self) -> bool:
        """The server did not answer when it was asked last."""
        return self._is_away

    @property
    def takes_files(self) -> bool:
        """Drawing something for ``attach`` now is not in vain."""
        return self.tracker.takes_files and not self._is_away

    def open(self) -> None:
        """Try out whether records can be written, and deliver what waits; see ``open_delivery``."""
        try:
            self.tracker.check()
        except ConfigError:
            raise
        except Exception as error:  # of a library or a server that the suite knows nothing of
            self.trouble = self.tracker.reason_of(error)
            if not self.tracker.is_away(error):
                raise ConfigError(
                    f"tracking '{without_password(self.tracker.uri)}': cannot be used ({self.trouble}); name {self.tracker.usable} with "
                    "--tracking, or switch it off with --tracking none."
                ) from error
            self._is_away = True
            return
        self.flush()

    def log_study(self, name: str, config: Mapping[str, Any]) -> bool:
        """Say that a study is going on; False when that was spooled (its runs find or make it later)."""
        self._configs[name] = config
        return self._log_study(name, config, finished=None)

    def end_study(self, name: str, *, finished: bool) -> bool:
        """Say that a study is over, or was interrupted; False when that was spooled."""
        return self._log_study(name, self._configs.get(name, {}), finished=finished)

    def _log_study(self, name: str, config: Mapping[str, Any], *, finished: bool | None) -> bool:
        if self._do(lambda: self.tracker.log_study(name, config, finished=finished)):
            self.spool.release_study(name)
            return True
        self.spool.hold_study(name, dict(config), finished=finished, reason=self.trouble or "")
        return False

    def log_run(self, record: Record, about: About | None = None) -> bool:
        """Deliver a record, and what is said of it; False when it was spooled instead.

        Args:
            about: None = the command that goes on, and no title.
        """
        said = about or About(command=self.command)

        def log() -> None:
            self.tracker.log_run(record)
            self.tracker.describe(Target("run", record.run_id), said)

        was_away = self._is_away
        if not self._do(log):
            self.spool.hold_run(record.run_id, self.trouble or "", said)
            return False
        self.spool.release_run(record.run_id)
        if was_away:
            self.flush()
        return True

    def log_stored(self, run_id: str, title: str = "", study: str | None = None) -> bool:
        """``log_run`` for the record that is stored under an id.

        Args:
            title: of the run as a part of ``study`` (None = of none); a run that another study had first keeps its title there.

        Raises:
            DataError: there is none, or it is damaged.
        """
        record = read_record(self._folder(run_id))
        is_ours = next(iter(record.trials), None) == study
        return self.log_run(record, About(title if is_ours else "", self.command))

    def describe(self, target: Target, about: About) -> bool:
        """Show words and numbers of a run or study that was logged."""
        return self._do(lambda: self.tracker.describe(target, about))

    def flush(self) -> int:
        """Deliver what waits in the spool, as far as it is taken; returns how much still waits."""
        for name in self.spool.runs():
            if self._is_away:
                break
            if not (self._folder(name) / RECORD).is_file():
                self.spool.release_run(name)  # the run was removed; there is nothing left to deliver
                continue
            about = self.spool.about(name)
            try:
                self.log_run(read_record(self._folder(name)), about)
            except DataError as error:
                self.spool.hold_run(name, str(error), about)
        for name in self.spool.studies():
            if not self._is_away:
                config, finished = self.spool.study(name)
                self._log_study(name, config, finished=finished)
        return self.spool.count()

    def holds(self, target: Target, files: Sequence[Path], place: str) -> bool:
        """Whether these very files are in the folder ``place`` of a logged run or study; False when it or the server is not there."""
        return bool(self._ask(lambda: self.tracker.holds(target, files, place)))

    def attach(self, target: Target, files: Sequence[Path], place: str) -> bool:
        """Put ``files`` into the folder ``place`` of a logged run or study; False when it or the server is not there."""
        return bool(self._ask(lambda: self.tracker.attach(target, files, place)))

    def log_table(self, study: str, columns: Mapping[str, Sequence[Any]], name: str) -> bool:
        """Show a table on a study; the last one written under a name counts."""
        return self._do(lambda: self.tracker.log_table(study, columns, name))

    def _folder(self, run_id: str) -> Path:
        return RunStore(self.tracker.out).folder(run_id)

    def _do(self, act: Callable[[], None]) -> bool:
        def acted() -> bool:
            act()
            return True

        return self._ask(acted) or False

    def _ask(self, ask: Callable[[], Result]) -> Result | None:
        """``ask`` with growing pauses while the server does not answer; None when patience ends or it refuses.

        Neither ends a command: the run itself is stored, and ``trouble`` says what is in its way.
        """
        patience = 0.0 if self._is_away else self.patience_seconds
        deadline, pause = time.monotonic() + patience, 0.2
        while True:
            try:
                result = ask()
                self._is_away, self.trouble = False, None
                return result
            except Exception as error:  # of a library or a server that the suite knows nothing of
                self.trouble = self.tracker.reason_of(error)
                if not self.tracker.is_away(error):
                    self.trouble = f"refused: {self.trouble}"
                    return None
            if time.monotonic() + pause > deadline:
                self._is_away = True
                return None
            time.sleep(pause)
            pause = min(pause * 2, 5.0)
