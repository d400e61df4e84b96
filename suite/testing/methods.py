"""What every method must hold, whatever it is: a class to subclass, in this repository and in packages outside.

    from suite.testing.methods import MethodConformance

    class TestMine(MethodConformance):
        methods = ("mine", {"name": "mine", "rank": 2})

Nothing here knows a method by its name: what may vary is what methods and their configs declare.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor

from suite.benchmarks.stream import Stream
from suite.config import RunConfig, validate
from suite.data.drawn_references import write_references
from suite.parts import MethodConfig
from suite.registry import METHODS
from suite.runs.record import Record, TaskResult
from suite.runs.store import RunStore
from suite.testing.beginnings import BeginningConformance
from suite.testing.watched import CPU, Watched, merged_answers, plain_reports, said
from trainables.assemble import assemble
from trainables.checkpoint import Checkpoints, branch_tensors, module_tensors
from trainables.method import Method, tensor_bytes
from trainables.run import RunContext, execute
from trainables.stream_trainer import StreamTrainer, TaskReport

Fields = Mapping[str, Any]

IMAGES: Fields = MappingProxyType(
    {
        "benchmark": {"name": "mini-mtil", "domains": ["arrows", "faces"], "shots": 4, "limit": 36},
        "training": {"steps": 10, "batch_size": 8},
    }
)
TEXTS: Fields = MappingProxyType(
    {"benchmark": {"name": "mini-trace", "tasks": ["FOMC", "ScienceQA"]}, "training": {"steps": 12, "batch_size": 8}}
)
ONE_BY_ONE: Mapping[str, Fields] = MappingProxyType({"clip": {"eval_batch_size": 1}, "lm": {"generation_tokens": 1}})
SAME = 1e-4  # how far sums in another order may lie apart, as a share of the largest number
SOLVED = 0.2  # loss of a task that the network solves from the beginning: below it steps move within their noise
FELT = 1e-6  # least gradient of a term that is there, as a share of the task loss's


@dataclass(frozen=True)
class Case:
    """One setting of a method on one stream; made before anything is imported, so that what is broken fails as a test."""

    method: str | Fields | MethodConfig
    stream: Fields

    @property
    def name(self) -> str:
        if isinstance(self.method, str):
            return self.method
        return self.method.name if isinstance(self.method, MethodConfig) else str(self.method["name"])

    @property
    def owner(self) -> str:
        """The method and the package that it comes from, as messages name them."""
        entry = METHODS.entries.get(self.name)
        return f"method '{self.name}'" if entry is None else f"method '{self.name}' of {entry.owner}"

    def __str__(self) -> str:
        set_here = self.method.model_dump(exclude_defaults=True) if isinstance(self.method, MethodConfig) else self.method
        own = [] if isinstance(set_here, str) else [f"{key}={value}" for key, value in set_here.items() if key != "name"]
        return "-".join([self.name, *own, self.stream["benchmark"]["name"]])

    def config(self, **more: Any) -> RunConfig:
        """The run of this case; ``more`` replaces fields."""
        return validate(RunConfig, {**self.stream, "method": self.method, **more}, where=self.owner)

    def build(self) -> Method:
        return self.config().method.build()


class MethodConformance(BeginningConformance):
    """Subclass it and name the methods; pytest finds the tests.

    Attributes:
        methods: names, fields as in a config file, or configs.
        streams: the runs to learn, as fields of a run config without the method. Two short tasks are enough. A method is tried on
            those whose kind of backbone it serves; where it needs a reference set and the stream names none, it gets a small one.
    """

    methods: ClassVar[Sequence[str | Fields | MethodConfig]] = ()
    streams: ClassVar[Sequence[Fields]] = (IMAGES, TEXTS)

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """Every test runs for every case, and all tests of a case follow each other and share its runs."""
        if "case" in metafunc.fixturenames:
            cases = [Case(method, stream) for method in self.methods for stream in self.streams]
            metafunc.parametrize("case", [case for case in cases if _is_served(case)], ids=str, scope="class", indirect=True)

    @pytest.fixture(scope="class")
    @classmethod
    def case(cls, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Case:
        """The case, with a reference set where its method needs one and its stream names none."""
        case: Case = request.param
        if "references" in case.stream or not _needs_references(case):
            return case
        folder = write_references(tmp_path_factory.mktemp("references"))
        return replace(case, stream={**case.stream, "references": {"folder": str(folder)}})

    @pytest.fixture(scope="class")
    @classmethod
    def watched(cls, case: Case, tmp_path_factory: pytest.TempPathFactory) -> Watched:
        """The stream learned in one go and looked at on the way."""
        try:
            return Watched(case.config(), tmp_path_factory.mktemp("data"))
        except Exception as error:
            raise AssertionError(f"{case.owner}: cannot learn the stream ({type(error).__name__}: {error})") from error

    @pytest.fixture(scope="class")
    @classmethod
    def resumed(cls, case: Case, tmp_path_factory: pytest.TempPathFactory) -> tuple[Record, RunContext]:
        """The stream learned with a stop after every task, each time in a fresh network from the files of the run."""
        run_context = RunContext(tmp_path_factory.mktemp("resumed"), tmp_path_factory.mktemp("data"), "cpu")
        config, record = case.config(), None
        while record is None or record.status == "stopped":
            last = 0 if record is None else record.tasks_done + 1
            record = execute(config, run_context, lambda report, last=last: report.row < last)  # type: ignore[misc]
        return record, run_context

    @pytest.fixture(scope="class")
    @classmethod
    def restored(cls, case: Case, watched: Watched, resumed: tuple[Record, RunContext]) -> StreamTrainer:
        """A fresh network brought to the end of that run from its files."""
        return _restored(case, watched.stream, resumed)

    @pytest.fixture(scope="class")
    @classmethod
    def parents(cls) -> dict[str, tuple[StreamTrainer, list[TaskReport]]]:
        """Streams that several cases are compared with, by the hash of their config."""
        return {}

    def test_frozen_weights_change_by_what_was_added_alone(self, case: Case, watched: Watched) -> None:
        _require(case, not watched.astray, f"changed frozen weights without Method.add: {', '.join(watched.astray[:5])}")
        _require(case, not watched.learning, f"left weights of the backbone learning: {', '.join(watched.learning[:5])}")

    def test_counted_parameters_are_what_the_optimizer_holds(self, case: Case, watched: Watched) -> None:
        for report, seen in zip(watched.reports, watched.tasks, strict=True):
            counted = report.result.costs.trainable_parameters
            text = f"counts {counted} trainable parameters in task '{report.result.task}', and its optimizer holds {seen.held}"
            _require(case, counted == seen.held, text)

    def test_the_function_stays_over_task_boundaries(self, case: Case, watched: Watched) -> None:
        """Where a method says why it jumps, it must: the sentence is read by people."""
        pairs = [
            (before.ended, after.begun) for before, after in zip(watched.tasks, watched.tasks[1:], strict=False) if after.begun
        ]
        moved = [_distance(before, after) for before, after in pairs]
        if watched.method.jumps is not None:
            pytest.skip(f"declared: {watched.method.jumps}")
        text = f"changes the network's answers by {max(moved, default=0):.1e} between two tasks; say why in Method.jumps or start at zero"
        _require(case, all(move <= SAME for move in moved), text)

    def test_merged_is_unmerged(self, case: Case, watched: Watched) -> None:
        pairs = [(seen.live, seen.merged) for seen in watched.tasks if seen.merged is not None]
        if not pairs:
            pytest.skip("no part has a merged form")
        moved = max(_distance(live, merged) for live, merged in pairs)
        _require(
            case, moved <= SAME, f"has parts whose factors() is not what their forward computes: answers differ by {moved:.1e}"
        )

    def test_the_first_task_is_learned(self, case: Case, watched: Watched) -> None:
        """By the loss of its last steps: less than that of its first, or of the same rows with nothing learned, for rows differ."""
        losses = watched.tasks[0].losses
        if not losses:
            pytest.skip("takes no steps")
        third = max(1, len(losses) // 3)
        first, last = float(np.mean(losses[:third])), float(np.mean(losses[-third:]))
        if last >= max(first, SOLVED):
            first = float(np.mean(watched.untaught_losses()[-third:]))
        _require(case, last < max(first, SOLVED), f"does not learn: the loss of task 1 goes from {first:.3f} to {last:.3f}")

    def test_added_terms_are_not_silently_zero(self, case: Case, watched: Watched) -> None:
        """A method with its own ``loss`` must be felt in the last task; one with a degenerate setting is compared with it below."""
        if type(watched.method).loss is Method.loss or watched.config.method.degenerate_settings():
            pytest.skip("adds no term of its own, or is compared with its degenerate setting")
        term = watched.tasks[-1].term
        _require(case, term > FELT, "has its own loss, and its gradient in the last task is that of the task loss alone")

    def test_a_resumed_run_equals_the_whole_one(self, case: Case, watched: Watched, resumed: tuple[Record, RunContext]) -> None:
        """Also: the same seed gives the same run, and looking at the network does not change it."""
        record, run_context = resumed
        _require(case, record.status == "finished", f"ends as {record.status}: {record.reason}")
        stored = RunStore(run_context.out).open(record.run_id)
        assert stored is not None
        outcomes = stored.outcomes()
        for report, result in zip(watched.reports, record.results[1:], strict=True):
            same = _numbers(report.result) == _numbers(result)
            for split, found in report.outcomes.items():
                for task, scores in enumerate(found):
                    if scores is not None:
                        kept = scores.scores.astype(np.float16).astype(np.float32)  # as outcomes are stored
                        same = same and np.array_equal(kept, outcomes[(split, result.row, task)])
            text = f"does not resume: after task '{result.task}' a run that was stopped differs from one that was not"
            _require(case, same, f"{text}; keep what outlives a task in state(), modules() or context.random")

    def test_another_seed_is_another_run(self, case: Case, watched: Watched) -> None:
        if not watched.trainer.random.generators:
            pytest.skip("draws nothing")
        trainer = assemble(case.config(seed=1), watched.stream, CPU)
        other = next(trainer.rows(0))
        differs = _numbers(other.result) != _numbers(watched.reports[0].result)
        differs = differs or _distance(said(trainer.learner), watched.tasks[0].ended) > 0
        _require(case, differs, "draws numbers, and another seed gives the same run")

    def test_answers_do_not_depend_on_their_neighbours(
        self, case: Case, watched: Watched, resumed: tuple[Record, RunContext], restored: StreamTrainer
    ) -> None:
        """One by one and in another order an example is answered as among others; from the files of the run."""
        if watched.method.decision == "batch":
            pytest.skip("declared: answers are decided batch by batch")
        alone = _restored(case, watched.stream, resumed, **ONE_BY_ONE[watched.learner.kind])
        now = said(restored.learner)
        moved = _distance(now[: len(watched.tasks)], said(alone.learner, alone=True))
        text = (
            f"answers differ by {moved:.1e} when examples are asked for one by one and in another order; say decision = 'batch'"
        )
        _require(case, moved <= SAME, text)

    def test_what_it_says_of_merging_holds(self, case: Case, watched: Watched, resumed: tuple[Record, RunContext]) -> None:
        """With everything merged that has a merged form the bare network answers as the method does, or the method says it does not."""
        trainer = _restored(case, watched.stream, resumed)
        if not trainer.method.mergeable:
            pytest.skip("declared: what it learned is not in the weights alone")
        live, bare = said(trainer.learner), merged_answers(trainer)
        _require(case, bare is not None, "has modules or parts that no weight holds; say mergeable = False")
        moved = _distance(live, bare or [])
        _require(case, moved <= SAME, f"answers otherwise by {moved:.1e} once it is merged; say mergeable = False")

    def test_carried_bytes_are_the_bytes_on_disk(
        self, case: Case, resumed: tuple[Record, RunContext], restored: StreamTrainer
    ) -> None:
        """Parts, modules and the method's own state, without weights of the network itself that it stores."""
        trainer = restored
        network = {value.data_ptr() for value in trainer.learner.network.state_dict().values()}
        branches, _ = branch_tensors(trainer.learner.slots)
        own = [value for value in trainer.method.state().values() if value.data_ptr() not in network]
        on_disk = tensor_bytes([*branches.values(), *module_tensors(trainer.method).values(), *own])
        carried = resumed[0].results[-1].costs.carried_bytes
        _require(case, abs(carried - on_disk) <= 0.01 * on_disk, f"says that it carries {carried} bytes, and stores {on_disk}")

    def test_its_degenerate_settings_are_their_parents(
        self, case: Case, watched: Watched, parents: dict[str, tuple[StreamTrainer, list[TaskReport]]]
    ) -> None:
        """Bit for bit over the whole stream: what is switched off must not touch its parent's generators either."""
        pairs = watched.config.method.degenerate_settings()
        if not pairs:
            pytest.skip("declares none")
        for off, parent in pairs:
            config = case.config(method=parent)
            if config.config_hash() not in parents:
                parents[config.config_hash()] = plain_reports(config, watched.stream)
            one, other = plain_reports(case.config(method=off), watched.stream), parents[config.config_hash()]
            setting = f"with {off.model_dump(exclude_defaults=True)}"
            _require(case, _same(one, other), f"{setting} is not '{config.method.name}' bit for bit")
            _require(
                case, not _same((watched.trainer, watched.reports), other), f"is '{config.method.name}' whatever it adds to it"
            )


def _is_served(case: Case) -> bool:
    """False for a method that does not serve the stream's kind of backbone; a case that cannot be built stays and fails as a test."""
    try:
        config = case.config()
        return config.backbone.kind is None or config.backbone.kind in config.method.build().needs
    except Exception:
        return True


def _needs_references(case: Case) -> bool:
    try:
        return "references" in case.build().needs
    except Exception:  # told by the first test, with the package and the reason
        return False


def _require(case: Case, held: bool, text: str) -> None:
    if not held:
        pytest.fail(f"{case.owner}: {text}.", pytrace=False)


def _distance(some: Sequence[Tensor], others: Sequence[Tensor]) -> float:
    """Largest difference as a share of the largest number."""
    return max(float((a - b).abs().max()) / max(1.0, float(a.abs().max())) for a, b in zip(some, others, strict=True))


def _numbers(result: TaskResult) -> tuple[object, ...]:
    """What a repetition must reproduce beside the outcomes."""
    return result.effective_rank, result.update_norm, result.cumulative_norm, result.train_loss


def _restored(case: Case, stream: Stream, resumed: tuple[Record, RunContext], **backbone: Any) -> StreamTrainer:
    """A fresh network brought to the end of a run from the run's files; ``backbone`` replaces fields of the backbone's config."""
    record, run_context = resumed
    config = case.config()
    config = case.config(backbone=config.backbone.model_copy(update=backbone))
    trainer = assemble(config, stream, CPU)
    checkpoints = Checkpoints(RunStore(run_context.out).folder(record.run_id), record.run_id)
    checkpoints.load(record.results[1:], trainer.journal, trainer.method, trainer.random)
    return trainer


def _same(some: tuple[StreamTrainer, list[TaskReport]], others: tuple[StreamTrainer, list[TaskReport]]) -> bool:
    """Whether two streams ended in the same weights by the same losses, bit for bit."""
    (one, reports), (other, other_reports) = some, others
    losses = [report.result.train_loss for report in reports] == [report.result.train_loss for report in other_reports]
    return losses and all(
        torch.equal(slot.weight, other.learner.slots[name].weight) for name, slot in one.learner.slots.items()
    )
