"""The runs below an output folder, and the promises that hold for them."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from suite.config import CONFIG, RunConfig, write_config
from suite.errors import ConfigError, DamagedRun
from suite.runs.checks import require_answers, require_outcomes
from suite.runs.generations import (
    GENERATIONS,
    answers_digest,
    append_generations,
    read_generations,
    row_of,
    stored_generations,
    write_generations,
)
from suite.runs.locking import locked, this_process, write_lock
from suite.runs.outcomes import (
    OUTCOMES,
    Key,
    Scores,
    append_outcomes,
    outcomes_digest,
    read_outcomes,
    stored_outcomes,
    write_outcomes,
)
from suite.runs.record import RECORD, Record, Status, TaskResult, read_record, write_record

LOCK, CHECKPOINTS = ".lock", "checkpoints"


@dataclass(frozen=True)
class OpenRun:
    """A stored run: its record, and its other files once they are asked for, compared with the record."""

    record: Record
    folder: Path

    def outcomes(self, row: int | None = None) -> dict[Key, Scores]:
        """Per-example scores of the record's rows, or of one; empty for a run that stored none and promises none.

        Raises:
            DamagedRun: damaged, missing, or not what the record was made from.
        """
        path = stored_outcomes(self.folder)
        if path is None and not any("outcomes" in result.digests for result in self.record.results):
            return {}
        found = read_outcomes(self.folder)
        require_outcomes(self.record, found, where=str(path or self.folder / OUTCOMES), row=row)
        rows = range(len(self.record.results)) if row is None else (row,)
        return {key: scores for key, scores in found.items() if key[1] in rows}

    def answers(self) -> dict[str, list[str]]:
        """Generated answers of the record's rows; empty for a run that generated none.

        Raises:
            DamagedRun: damaged, missing, or not those of the record's rows.
        """
        path = stored_generations(self.folder)
        if path is None and any("answers" in result.digests for result in self.record.results):
            raise DamagedRun(
                f"{self.folder / GENERATIONS}: the answers of run {self.record.run_id} are not stored; put back a copy, or run it again."
            )
        texts = read_generations(self.folder, self.record.tasks_done)
        require_answers(self.record, texts, where=str(path or self.folder / GENERATIONS))
        return texts


@dataclass(frozen=True)
class Listing:
    """Every run of a store: those that can be read, and one sentence for each that cannot."""

    runs: list[OpenRun] = field(default_factory=list)
    damaged: list[str] = field(default_factory=list)


class RunStore:
    """The runs below one output folder; nothing else knows that they lie in ``<out>/runs/<run id>``.

    What is atomic: every single file, but ``outcomes.rows`` and ``generations.rows``, which grow by blocks. ``record.json`` is written
    last and carries checksums of itself and of what its rows stand on, so a row is there with all its outcomes, answers and checkpoints,
    or not at all.

    What survives a kill at any line: all rows that were noted before it. Files that are ahead of the record belong to a row that
    was not noted; they are ignored by readers and written again by whoever goes on.

    Who owns a folder: the process inside ``alone``. Others may read at any time; they see the last noted row. Only a driver
    whose own worker has died or waits for an answer says with ``mark`` how a run ended.

    What a second process sees: it waits in ``alone`` for the first one and then finds its record.

    A record that is finished never becomes anything else: ``mark``, ``end`` and ``note_row`` leave it and return what stands.
    Studies that ask for it again are added to it, nothing more. One damaged run concerns nobody but who asks for it.
    """

    def __init__(self, out: Path) -> None:
        self.place = out / "runs"

    def folder(self, run_id: str) -> Path:
        """Where the files of a run lie, or will."""
        return self.place / run_id

    def open(self, run_id: str) -> OpenRun | None:
        """The run with this id, None when there is no record of it.

        Raises:
            DamagedRun: its record is damaged, or another run's.
        """
        folder = self.folder(run_id)
        if not (folder / RECORD).is_file():
            return None
        record = read_record(folder)
        if record.run_id != run_id:
            raise DamagedRun(
                f"{folder / RECORD}: is the record of run {record.run_id}, not of {run_id}; put it back where it belongs."
            )
        return OpenRun(record, folder)

    def find(self, name: str) -> OpenRun:
        """The run ``name``: the path of its folder, its id, or a unique beginning of one.

        Raises:
            ConfigError: no such run, or several.
            DamagedRun: it is damaged.
        """
        if (Path(name) / RECORD).is_file():
            return OpenRun(read_record(Path(name)), Path(name))
        found = [run_id for run_id in self._ids() if name and run_id.startswith(name)]
        if name in found:
            found = [name]
        if len(found) > 1:
            raise ConfigError(f"run '{name}': {len(found)} runs begin like this; give more of the id.")
        run = self.open(found[0]) if found else None
        if run is None:
            raise ConfigError(f"run '{name}': no such run below {self.place}; 'codyra-suite leaderboard' lists run ids.")
        return run

    def all(self) -> Listing:
        """Every run, in the order of their ids; what cannot be read is named and left out."""
        listing = Listing()
        for run_id in self._ids():
            try:
                run = self.open(run_id)
            except DamagedRun as error:
                listing.damaged.append(str(error))
                continue
            if run is not None:
                listing.runs.append(run)
        return listing

    def records(self, run_ids: Iterable[str]) -> list[Record]:
        """The records of those of the runs that are here and can be read."""
        found = []
        for run_id in run_ids:
            with suppress(DamagedRun):
                if run_id and (run := self.open(run_id)) is not None:
                    found.append(run.record)
        return found

    @contextmanager
    def alone(self, run_id: str, attempt: str = "", say: Callable[[str], None] | None = None) -> Iterator[None]:
        """Own the run's folder: a second process with the same identity waits here. One that stored no row leaves nothing.

        Args:
            attempt: a name by which ``attempted`` finds the run when this process dies.
            say: is told in one sentence when another process owns the folder, and which one, before it is waited for.
        """
        folder = self.folder(run_id)

        def wait(owner: str) -> None:
            if say is not None:
                say(f"run {run_id}: {owner} is at it; waiting for it to end, then its result is shown or gone on with.")

        with locked(folder / LOCK, wait) as lock:
            write_lock(lock, attempt, this_process())
            try:
                yield
            finally:
                _remove_begun(folder)

    def attempted(self, attempt: str) -> OpenRun | None:
        """The run whose folder was owned last by the process that called itself ``attempt``; None when none got that far.

        Raises:
            DamagedRun: its record is damaged.
        """
        for lock in self.place.glob(f"*/{LOCK}"):
            if lock.read_text(encoding="utf-8", errors="replace").split("\n")[0] == attempt:
                return self.open(lock.parent.name)
        return None

    def size(self, run_id: str) -> int:
        """Bytes of all files of a run; 0 when it has none."""
        return sum(path.stat().st_size for path in self.folder(run_id).rglob("*") if path.is_file())

    def spare_state_bytes(self, run_id: str) -> int:
        """Bytes of the states that the run itself needs no more: all but the one after its last task."""
        states = (self.folder(run_id) / CHECKPOINTS).glob("state_*.safetensors")
        ordered = sorted(states, key=lambda path: int(path.stem.partition("_")[2]))
        return sum(path.stat().st_size for path in ordered[:-1])

    def drop_checkpoints(self, run_id: str) -> None:
        """Forget a run's weights; record, outcomes and answers stay."""
        shutil.rmtree(self.folder(run_id) / CHECKPOINTS, ignore_errors=True)

    def begin(self, config: RunConfig, run_id: str) -> None:
        """Lay the resolved config into the run's folder; the record appears with its first row."""
        write_config(config, self.folder(run_id))

    def note_row(
        self, record: Record, outcomes: Mapping[Key, Scores], texts: dict[str, list[str]], checkpoint: Mapping[str, str]
    ) -> Record:
        """Store a record that has one row more, with everything that was measured so far; returns it with the row's checksums.

        Args:
            checkpoint: checksums of the row's checkpoint files, ``merged`` and ``state``; empty for row 0.
        """
        results = [*record.results[:-1], _with_digests(record.results[-1], outcomes, texts, checkpoint)]
        record = record.model_copy(update={"results": results})

        def put(folder: Path) -> None:
            append_outcomes(outcomes, folder, results[-1].row)
            append_generations(texts, folder, results[-1].row)

        return self._put_rows(record, put)

    def note_all(self, record: Record, outcomes: Mapping[Key, Scores], texts: dict[str, list[str]]) -> Record:
        """Store a whole record that no training made, such as a rescored one; it has no checkpoints."""
        results = [_with_digests(result, outcomes, texts, {}) for result in record.results]
        record = record.model_copy(update={"results": results})

        def put(folder: Path) -> None:
            write_outcomes(outcomes, folder)
            write_generations(texts, folder)

        return self._put_rows(record, put)

    def rewind(self, record: Record) -> None:
        """Store a record with fewer rows, before checkpoints of the rows that it lost are written again."""
        self._put(record)

    def end(self, record: Record, status: Status, reason: str | None) -> Record:
        """Store how the run of ``record`` ended, by the process that owns it; returns what stands afterwards."""
        return self._put(record.model_copy(update={"status": status, "reason": reason, "ended_at": datetime.now(UTC)}))

    def mark(self, run_id: str, status: Status, reason: str | None) -> Record:
        """Say how a run ended whose process is gone or was told to stop and has not written it yet; returns what stands afterwards.

        What it finished stays, and the run can still go on later.

        Raises:
            DamagedRun: there is no such run, or it is damaged.
        """
        run = self.open(run_id)
        if run is None:
            raise DamagedRun(f"{self.folder(run_id)}: there is no record; the run stored nothing.")
        return self.end(run.record, status, reason)

    def reuse(self, record: Record, study: str, trial: int) -> Record:
        """Note that another study asked for the run; nothing else of its record changes."""
        record = record.model_copy(update={"reused_by": {**record.reused_by, study: trial}})
        write_record(record, self.folder(record.run_id))
        return record

    def _put_rows(self, record: Record, put: Callable[[Path], None]) -> Record:
        if (standing := self._finished(record)) is not None:
            return standing
        put(self.folder(record.run_id))
        return self._put(record)

    def _put(self, record: Record) -> Record:
        standing = self._finished(record)
        if standing is None:
            write_record(record, self.folder(record.run_id))
        return standing or record

    def _finished(self, record: Record) -> Record | None:
        """The finished record that stands in the place of ``record``."""
        run = self.open(record.run_id)
        return run.record if run is not None and run.record.status == "finished" else None

    def _ids(self) -> list[str]:
        return sorted(path.parent.name for path in self.place.glob(f"*/{RECORD}"))


def _remove_begun(folder: Path) -> None:
    """Remove the folder of a run that was refused before its first row; by its owner alone."""
    with suppress(OSError):
        if {path.name for path in folder.iterdir()} <= {LOCK, CONFIG}:
            for name in (CONFIG, LOCK):  # the lock last: from then on the folder is anybody's
                (folder / name).unlink(missing_ok=True)
            folder.rmdir()


def _with_digests(
    result: TaskResult, outcomes: Mapping[Key, Scores], texts: Mapping[str, list[str]], checkpoint: Mapping[str, str]
) -> TaskResult:
    digests = {"outcomes": outcomes_digest(outcomes, result.row), **checkpoint}
    if any(row_of(key) == result.row for key in texts):
        digests["answers"] = answers_digest(texts, result.row)
    return result.model_copy(update={"digests": digests})
