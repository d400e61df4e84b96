"""One run: config -> stream, learner, method -> trainer -> record. Resumes at the last task boundary, reuses what is finished."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import closing, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path

from suite.backbones.text_embeddings import EmbedsTexts
from suite.benchmarks.stream import Stream
from suite.config import RunConfig
from suite.errors import DamagedRun, SuiteError, TrainingDiverged, raised
from suite.hardware import hardware
from suite.runs.answers import answers_of
from suite.runs.beginnings import beginning_names
from suite.runs.generations import row_of
from suite.runs.identity import run_id
from suite.runs.mirror import RunMirror
from suite.runs.outcomes import Key, Scores
from suite.runs.provenance import versions
from suite.runs.record import Cells, Record, Status
from suite.runs.store import OpenRun, RunStore
from trainables.assemble import assemble
from trainables.cards import require_card, tell_of_kernels
from trainables.checkpoint import Checkpoints
from trainables.device import at_most_threads, choose_device
from trainables.faults import named_faults, with_its_package
from trainables.new_record import new_record
from trainables.precision import explained, resolved_precision
from trainables.row_zero import require_published, row_zero_folder, zero_shot_row
from trainables.shared_beginnings import Row, SharedBeginnings, taken_row
from trainables.standing import StandingTrainer
from trainables.stream_trainer import StepListener, StreamTrainer
from trainables.worker_group import ALONE, WorkerGroup


@dataclass(frozen=True)
class RunContext:
    """Where and for whom a run happens; not part of its identity.

    Attributes:
        accept_zero_shot: train although row 0 differs from the benchmark's published zero-shot values.
        storage: URI of a folder that the run's folder is mirrored to after every task and taken from where ``out`` lacks it.
        attempt: name under which the driver finds the run when this process dies (``RunStore.attempted``).
        say: is told what the caller should know meanwhile, such as whom the run waits for.
        sharing: go on from what runs below ``out`` have learned that begin alike, and keep one state per task for them. A run of several
            workers shares nothing.
    """

    out: Path
    data_root: Path
    device: str = "auto"
    study: str | None = None
    trial: int | None = None
    selection: str | None = None
    carrier: str = "direct"
    accept_zero_shot: bool = False
    storage: str | None = None
    attempt: str = ""
    on_step: StepListener | None = None
    group: WorkerGroup = ALONE
    say: Callable[[str], None] | None = None
    sharing: bool = True


@dataclass(frozen=True)
class Report:
    """Progress of a run after ``row`` of ``of`` tasks (row 0 = zero-shot measured); ``record`` is what is stored so far."""

    run_id: str
    row: int
    of: int
    record: Record


Listener = Callable[[Report], bool]


def go_on(report: Report) -> bool:
    """The listener that never stops a run."""
    return True


@dataclass(frozen=True)
class PreparedRun:
    """A run whose data was read and whose identity is known."""

    config: RunConfig
    stream: Stream
    fingerprint: str
    run_id: str
    store: RunStore


def prepare(config: RunConfig, run_context: RunContext) -> PreparedRun:
    """Read the benchmark's data and name the run, its precision as it is on the device; trains nothing.

    Raises:
        DataError: the data is not what the benchmark needs.
        ConfigError: this machine lacks the device.
    """
    if config.training.precision == "auto":
        config = resolved_precision(config, choose_device(run_context.device))
        if run_context.say:
            run_context.say(f"training.precision: auto is {config.training.precision} on this device")
    with named_faults(config):
        stream = config.benchmark.open(run_context.data_root)
    fingerprint = stream.fingerprint()
    return PreparedRun(config, stream, fingerprint, run_id(config, fingerprint), RunStore(run_context.out))


def execute(config: RunConfig, run_context: RunContext, listener: Listener = go_on) -> Record:
    """Train (or finish, or look up) the run of ``config`` and return its stored record.

    A finished run is returned as it is. An interrupted, stopped or failed one goes on from its last task boundary. A
    listener that returns False stops the run after the task it was told of. Divergence is recorded as ``failed``.

    Raises:
        SuiteError: a mistake in config or data, before any training.
    """
    with closing(stream_reports(config, run_context)) as reports:  # Ctrl-C inside the listener stops the run too
        try:
            while True:
                report = next(reports)
                if not listener(report) and report.row < report.of:
                    reports.close()
                    stopped = RunStore(run_context.out).open(report.run_id)
                    return stopped.record if stopped else report.record
        except StopIteration as end:
            record: Record = end.value
            return record


def stream_reports(config: RunConfig, run_context: RunContext) -> Generator[Report, None, Record]:
    """The same task by task: yields a report per new row, returns the final record. Closing it early stops the run.

    A run that was finished before yields nothing.
    """
    prepared = prepare(config, run_context)
    group = run_context.group
    with prepared.store.alone(prepared.run_id, run_context.attempt, run_context.say) if group.leads else nullcontext():
        stored = group.from_first(lambda: _stored(prepared, run_context))
        if stored is not None and stored.record.status == "finished":
            return stored.record
        with at_most_threads(config.backbone.threads):
            return (yield from _Run(prepared, run_context).run_all(stored))


def _stored(prepared: PreparedRun, run_context: RunContext) -> OpenRun | None:
    """What there is of the run, here or in the mirror; a finished one is compared with its outcomes before it is shown again.

    Raises:
        DamagedRun: it is damaged, or the run of another config.
    """
    mirror, study, store = RunMirror(run_context.storage), run_context.study, prepared.store
    mirror.pull(store.folder(prepared.run_id))
    found = store.open(prepared.run_id)
    if found is None:
        return None
    if found.record.config_hash != prepared.config.config_hash():
        raise DamagedRun(f"{found.folder}: its record is of another config than the run has; remove the folder and run again.")
    if found.record.status == "finished":
        found.outcomes()
    if study is not None and run_context.trial is not None and study not in found.record.trials:
        found = OpenRun(store.reuse(found.record, study, run_context.trial), found.folder)
        mirror.push(found.folder)
    return found


class _Run:
    def __init__(self, prepared: PreparedRun, run_context: RunContext) -> None:
        self.prepared = prepared
        self.run_context = run_context
        self.outcomes: dict[Key, Scores] = {}
        self.texts: dict[str, list[str]] = {}
        self.store, self.folder = prepared.store, prepared.store.folder(prepared.run_id)
        self.checkpoints = Checkpoints(self.folder, prepared.run_id)
        self.mirror = RunMirror(run_context.storage)
        self.device = choose_device(run_context.device)
        require_card(self.device, prepared.config.training.precision)
        if prepared.config.training.kernels == "triton":
            tell_of_kernels(self.device)
        self.shelf = row_zero_folder(prepared.config, prepared.fingerprint, self.device, run_context.out)

    def run_all(self, stored: OpenRun | None) -> Generator[Report, None, Record]:
        config, stream = self.prepared.config, self.prepared.stream
        self.standing = StandingTrainer(self._assembled, self.checkpoints)
        self.shared = SharedBeginnings(self._names(), self.prepared.run_id, self.run_context.out, self.run_context.say)
        resumed = self._resumed(stored) if stored else None
        self.record = resumed or self._begun(stored.record if stored else None)
        try:
            if not self.record.test:
                untouched = zero_shot_row(self.standing.trainer, self.shelf)
                self.standing.trainer.row_zero = untouched.outcomes
                if not self.run_context.accept_zero_shot:
                    require_published(config, untouched, stream.task_names)
                self._note(Row.measured(untouched, {}))
                yield self._report(0)
            while (done := self.record.tasks_done) < len(stream):
                self._learn(done + 1)
                if done + 1 < len(stream):
                    yield self._report(done + 1)
            self._end("finished")
            yield self._report(len(stream))
            return self.record
        except GeneratorExit:
            if self.record.status != "finished":
                self._end("stopped")
            raise
        except KeyboardInterrupt:  # maybe between two files
            self._mark("stopped", "interrupted")
            raise
        except TrainingDiverged as error:
            return self._end("failed", str(error))
        except Exception as error:
            self._broke(told := with_its_package(explained(error), config))
            raise told from (None if told is error else error)

    def _assembled(self) -> StreamTrainer:
        """A trainer over a fresh network."""
        config, stream, group = self.prepared.config, self.prepared.stream, self.run_context.group
        trainer = assemble(config, stream, self.device, self.run_context.on_step, group)
        if isinstance(trainer.learner, EmbedsTexts):
            trainer.learner.embeddings.shelf = self.shelf
        return trainer

    def _names(self) -> list[str]:
        """Of the states that the run may share; none where nothing is shared, or nothing learned."""
        trainer = self.standing.trainer
        if not self.run_context.sharing or self.run_context.group.size > 1 or trainer.never_changes:
            return []
        machine = {**hardware(self.device), "device": self.device.type, "versions": versions()}
        return beginning_names(self.prepared.config, self.prepared.stream, {**machine, "facts": trainer.learner.facts()})

    def _learn(self, row: int) -> None:
        """Take the state after ``row`` tasks from a run that has it, or make it."""
        with self.shared.turn(row, self.record.results) as (known, note):
            found = None if known is None else taken_row(known, row, self.standing, self.record.results)
            if found is None:
                report = self.standing.learn(row, self.record.results)
                found = Row.measured(report, self.standing.store() if self.run_context.group.leads else {})
            self._note(found)
            note()

    def _resumed(self, found: OpenRun) -> Record | None:
        """The stored record down to its last whole task; None when its outcomes or answers cannot be gone on with."""
        stored = found.record
        rows = stored.tasks_done
        while rows > 0 and not self.checkpoints.complete(rows):
            rows -= 1
        try:
            outcomes, texts = found.outcomes(), answers_of(found)
        except DamagedRun:
            return None
        self.texts = {key: value for key, value in texts.items() if row_of(key) <= rows}
        self.standing.bring(rows, stored.results)
        self.outcomes = {key: scores for key, scores in outcomes.items() if key[1] <= rows}
        kept = rows + 1 if stored.test else 0
        record = stored.model_copy(
            update={
                "validation": stored.validation[:kept],
                "test": stored.test[:kept],
                "results": stored.results[:kept],
                "status": "running",
                "reason": None,
            }
        )
        if rows < stored.tasks_done and self.run_context.group.leads:
            self.store.rewind(record)
        return record

    def _begun(self, stored: Record | None) -> Record:
        """A new record; of a ``stored`` one that cannot be gone on with, what studies know it by stays."""
        owner = stored or self.run_context
        self.store.begin(self.prepared.config, self.prepared.run_id)
        return new_record(
            self.prepared.config,
            self.prepared.stream,
            run_id=self.prepared.run_id,
            data_fingerprint=self.prepared.fingerprint,
            hardware=hardware(self.device),
            traits=self.standing.trainer.method.traits(),
            carrier=self.run_context.carrier,
            study=owner.study,
            trial=owner.trial,
            selection=owner.selection,
            reused_by=stored.reused_by if stored else {},
        )

    def _note(self, found: Row) -> None:
        """Put a row into record, outcomes and answers."""
        row, results = found.result.row, self.record.results
        name = self.shared.name(row, results) if row else None
        result = found.result.model_copy(update={"beginning": name})
        self.outcomes |= found.scores
        self.texts |= found.texts
        validation: Cells = [*self.record.validation, found.cells["validation"]]
        test: Cells = [*self.record.test, found.cells["test"]]
        update = {"validation": validation, "test": test, "results": [*results, result]}
        self.record = self.record.model_copy(update=update)
        if self.run_context.group.leads:
            self.record = self.store.note_row(self.record, self.outcomes, self.texts, found.checkpoint)
            if not self.shared.names:
                self.checkpoints.drop_state(row - 1)
            self.mirror.push(self.folder)

    def _report(self, row: int) -> Report:
        return Report(self.prepared.run_id, row, len(self.prepared.stream), self.record)

    def _broke(self, error: Exception) -> None:
        """Whatever was raised, the record says so; where the disk is full the error is told all the same."""
        with suppress(OSError, SuiteError):
            self._mark("failed", str(error) if isinstance(error, SuiteError) else raised(error))
            self.mirror.push(self.folder)

    def _mark(self, status: Status, reason: str) -> None:
        """Only what the stored record says is whole."""
        if self.run_context.group.leads and self.store.open(self.prepared.run_id) is not None:
            self.store.mark(self.prepared.run_id, status, reason)

    def _end(self, status: Status, reason: str | None = None) -> Record:
        if self.run_context.group.leads:
            self.record = self.store.end(self.record, status, reason)
            self.mirror.push(self.folder)
        else:
            self.record = self.record.model_copy(update={"status": status, "reason": reason})
        return self.record
