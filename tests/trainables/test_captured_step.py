"""The fast step: a replay makes eager's numbers, eager makes the plain reference's, and nothing is read back on the way."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from suite.backbones.causal_learner import CausalLearner
from suite.backbones.causal_lm import MiniLMConfig
from suite.backbones.text_shapes import TextShapes
from suite.benchmarks.mini_trace import MiniTraceConfig
from suite.benchmarks.stream import Stream
from suite.parts import MethodConfig, TrainingConfig
from suite.randomness import RandomStreams
from suite.registry import METHODS
from trainables.captured_step import TaskStep, WarmUp
from trainables.method import Method
from trainables.stream_trainer import StreamTrainer
from trainables.wrapper import Wrapper

SHOWN = ("codyra", "finetune", "lora", "olora", "replay")
FIELDS: dict[str, dict[str, Any]] = {
    "codyra": {"kappa_levels": 3},
    "ewc": {"fisher_examples": 4},
    "ewclora": {"fisher_examples": 4},
    "loda": {"rank": 8, "placement": "qkv@0"},  # later layers' inputs differ by rounding, and close eigenvectors by more
    "ogd": {"directions": 4},
    # The plain reference draws other numbers of dropout.
    **{name: {"dropout": 0.0} for name in ("hidelora", "moe-adapters", "treelora")},
    "replay": {"memory_size": 6},
}
HOST_READS = ("_local_scalar_dense", "nonzero", "masked_select", "unique")
FACTORIES = ("arange", "full", "zeros", "ones", "empty", "scalar_tensor", "randn", "rand")


def config_of(name: str, **fields: Any) -> MethodConfig:
    return METHODS[name].model_validate({"name": name, **FIELDS.get(name, {}), **fields})


def some_by_default(names: Sequence[str]) -> list[Any]:
    """The first methods of each kind by default, all others as slow tests."""
    return [name if name in SHOWN else pytest.param(name, marks=pytest.mark.slow) for name in names]


def takes_steps(name: str) -> bool:
    """False for a method that has no steps at all on images, and for one that needs a reference set."""
    method = config_of(name).build()
    needs = method.needs
    while isinstance(method, Wrapper):
        method = method.inner
    return "clip" in needs and "references" not in needs and type(method).steps is Method.steps


LEARNING = [name for name in sorted(METHODS) if takes_steps(name)]
CAPTURABLE = [name for name in LEARNING if config_of(name).build().capturable]


class Replayed:
    """A graph as a GPU has it: nothing runs while it is recorded, replays repeat the host's decisions of that moment."""

    def __init__(self, work: Callable[[], Tensor]) -> None:
        self.work = work
        self.loss = torch.zeros(())
        self.times = 0

    def replay(self) -> None:
        self.times += 1
        self.loss.copy_(self.work())


def cut(stream: Stream, tasks: int = 3) -> Stream:
    """Of every split two images per class: for what is equal to the last bit and does not need many of them."""
    return replace(stream, tasks=stream.tasks[:tasks]).limited(36)


@pytest.fixture
def recording(monkeypatch: pytest.MonkeyPatch) -> list[Replayed]:
    """Steps are recorded and replayed on this CPU; the recordings made."""
    made: list[Replayed] = []

    def capture(self: TaskStep, work: Callable[[], Tensor]) -> tuple[Replayed, Tensor]:
        made.append(Replayed(work))
        return made[-1], made[-1].loss

    monkeypatch.setattr(TaskStep, "_capture", capture)
    monkeypatch.setattr(TaskStep, "_obstacle", lambda self: None)
    return made


def learn(trainer: StreamTrainer) -> tuple[list[float | None], dict[str, Tensor], list[Any]]:
    """Loss of every task, the network at the end, test accuracies of all tasks after every task."""
    reports = list(trainer.rows(0))
    state = {key: value.clone() for key, value in trainer.learner.network.state_dict().items()}
    accuracies = [[None if o is None else o.mean for o in report.outcomes["test"]] for report in reports]
    return [report.result.train_loss for report in reports], state, accuracies


@pytest.mark.parametrize("name", some_by_default(CAPTURABLE))
@pytest.mark.parametrize("protocol", ["task", "union"])
def test_replayed_steps_make_the_numbers_of_eager_ones(
    name: str, protocol: str, recording: list[Replayed], make_trainer: Callable[..., StreamTrainer],
    mini_stream: Stream, union_stream: Stream, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    stream = cut(mini_stream, tasks=2) if protocol == "task" else cut(union_stream)
    config = config_of(name)
    replayed = learn(make_trainer(config, stream=stream, steps=9))
    assert recording, "nothing was recorded"
    assert sum(graph.times for graph in recording) > 3
    monkeypatch.setattr(TaskStep, "_obstacle", lambda self: "it was asked for")
    eager = learn(make_trainer(config, stream=stream, steps=9))
    assert replayed[0] == eager[0]
    assert replayed[2] == eager[2]
    assert all(torch.equal(replayed[1][key], value) for key, value in eager[1].items())


@pytest.mark.parametrize(
    "fields",
    [{"gate_update": "prox_sgd"}, {"gate_init": "normal"}, {"threshold_op": "codyra_release"}, {"kappa_times_lr": True}],
    ids=lambda fields: next(iter(fields)),
)
def test_every_variant_of_the_threshold_can_be_replayed(
    fields: dict[str, Any],
    recording: list[Replayed],
    make_trainer: Callable[..., StreamTrainer],
    mini_stream: Stream,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config, stream = config_of("codyra", **fields), cut(mini_stream, tasks=2)
    replayed = learn(make_trainer(config, stream=stream, steps=12))
    monkeypatch.setattr(TaskStep, "_obstacle", lambda self: "it was asked for")
    eager = learn(make_trainer(config, stream=stream, steps=12))
    assert recording
    assert replayed[0] == eager[0]
    assert all(torch.equal(replayed[1][key], value) for key, value in eager[1].items())


class HostWatch(TorchDispatchMode):
    """Notes what would make a GPU wait for the host: values read back, and tensors made on the host."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name, kwargs = function.__name__.partition(".")[0], kwargs or {}
        if name in HOST_READS or (name in FACTORIES and kwargs.get("device") is None):
            self.seen.append(name)
        return function(*args, **kwargs)


@pytest.mark.parametrize("name", some_by_default(CAPTURABLE))
def test_a_step_reads_nothing_back_and_makes_nothing_on_the_host(
    name: str, make_trainer: Callable[..., StreamTrainer], union_stream: Stream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the fourth step of a task on: the first ones may fill what is kept for later."""
    watch, work, steps = HostWatch(), TaskStep._work, [0]

    @contextmanager
    def watched(later: bool) -> Iterator[None]:
        if not later:
            yield
            return
        with watch:
            yield

    def observed(self: TaskStep, index: int, *rest: Any) -> Tensor:
        with watched(index >= 3):
            steps[0] += index >= 3
            return work(self, index, *rest)

    monkeypatch.setattr(TaskStep, "_work", observed)
    trainer = make_trainer(config_of(name), stream=cut(union_stream), steps=6, clip_norm=1.0)
    list(trainer.rows(0))
    assert steps[0] >= 3
    assert watch.seen == []


def assert_same_stream(fast: Any, plain: Any, *, points: float) -> None:
    """Two results of ``learn`` that rounding alone separates; accuracies may differ by ``points``."""
    assert fast[0] == pytest.approx(plain[0], rel=1e-4)
    assert distance(fast[1], plain[1]) < 2e-5
    for mine_row, reference_row in zip(fast[2], plain[2], strict=True):
        assert mine_row == pytest.approx(reference_row, abs=points)


def distance(mine: dict[str, Tensor], reference: dict[str, Tensor]) -> float:
    """Norm of the difference of two networks as a share of the second's norm."""
    a, b = (
        torch.cat([value.flatten() for value in state.values() if value.is_floating_point()]) for state in (mine, reference)
    )
    return float((a - b).norm() / b.norm())


@pytest.mark.parametrize("name", some_by_default(LEARNING))
def test_the_fast_stream_is_the_plain_references(name: str, make_trainer: Callable[..., StreamTrainer]) -> None:
    """fp32: losses within 1e-4, the network within 2e-5 of its norm, accuracies within one image of a task's 90 to 100.

    With Adam's usual epsilon a gradient that is next to nothing moves its weight by a whole step, in a direction that rounding decides.
    """
    fast = learn(make_trainer(config_of(name), epsilon=1e-4))
    plain = learn(make_trainer(config_of(name), epsilon=1e-4, plain=True))
    assert_same_stream(fast, plain, points=1.2)


@pytest.mark.parametrize(("name", "kernels"), [("codyra", "torch"), ("codyra", "triton"), ("finetune", "torch")])
def test_bf16_steps_stay_close_to_fp32(name: str, kernels: str, make_trainer: Callable[..., StreamTrainer]) -> None:
    """Losses within 3 %; weights, optimizer and merges are fp32."""
    exact, trainer = learn(make_trainer(config_of(name))), make_trainer(config_of(name), precision="bf16", kernels=kernels)
    rounded = learn(trainer)
    assert rounded[0] == pytest.approx(exact[0], rel=0.03)
    assert {value.dtype for value in rounded[1].values() if value.is_floating_point()} == {torch.float32}


def test_encoders_at_once_make_the_numbers_of_encoders_in_turn(make_trainer: Callable[..., StreamTrainer]) -> None:
    """On a CPU one after the other, the text encoder first; tests/gpu has them beside each other."""
    in_turn, at_once = (learn(make_trainer(config_of("codyra"), encoders=encoders)) for encoders in ("in_turn", "at_once"))
    assert in_turn[0] == at_once[0]
    assert all(torch.equal(value, at_once[1][name]) for name, value in in_turn[1].items())


@pytest.mark.parametrize("name", ["codyra", "finetune", "lora"])
def test_bf16_evaluation_sees_the_weights_of_the_moment(
    name: str, make_trainer: Callable[..., StreamTrainer], mini_stream: Stream
) -> None:
    """Rounded copies are made anew after every task: a network that was never evaluated before says the same."""
    stream = cut(mini_stream)
    watched = make_trainer(config_of(name), stream=stream, eval_precision="bf16")
    watched.first_row()
    *_, last = watched.rows(0)
    fresh = make_trainer(config_of(name), stream=stream, eval_precision="bf16")
    fresh.learner.network.load_state_dict(watched.learner.network.state_dict())
    again = fresh.first_row()
    for mine, other in zip(last.outcomes["test"], again.outcomes["test"], strict=True):
        assert mine is not None
        assert other is not None
        assert (mine.scores == other.scores).all()


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("operation not permitted when stream is capturing\nmore of it"),
        torch.OutOfMemoryError("CUDA out of memory. It is not permitted when stream is capturing\nmore of it"),
    ],
    ids=["not allowed", "card too small"],
)
def test_a_step_that_cannot_be_recorded_goes_on_eagerly_and_says_so(
    error: RuntimeError,
    make_trainer: Callable[..., StreamTrainer],
    mini_stream: Stream,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def refuse(self: TaskStep, work: Callable[[], Tensor]) -> Any:
        raise error

    stream = cut(mini_stream)
    eager = learn(make_trainer(config_of("lora"), stream=stream))
    monkeypatch.setattr(TaskStep, "_capture", refuse)
    monkeypatch.setattr(TaskStep, "_obstacle", lambda self: None)
    refused = learn(make_trainer(config_of("lora"), stream=stream))
    assert refused[0] == eager[0]
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == 3  # one for each task
    assert "not permitted when stream is capturing" in lines[0]
    assert "more of it" not in lines[0]


def test_a_shape_is_recorded_once_the_run_has_had_a_step_of_it() -> None:
    warm_up = WarmUp()
    for _ in range(3):
        assert not warm_up.suffices("one")  # workspaces are made in the first steps of all
        warm_up.note("one")
    assert warm_up.suffices("one")
    assert not warm_up.suffices("another")
    warm_up.note("another")
    assert warm_up.suffices("another")


def test_optimizer_state_is_never_made_by_a_recorded_step(
    make_trainer: Callable[..., StreamTrainer], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every replay would make it anew: such a recording is thrown away, and the step taken eagerly."""

    def capture(self: TaskStep, work: Callable[[], Tensor]) -> tuple[Replayed, Tensor]:
        return Replayed(work), work()

    monkeypatch.setattr(TaskStep, "_capture", capture)
    trainer = make_trainer(config_of("lora"))
    context = trainer.context(0)
    trainer.learner.begin_task(0)
    trainer.method.begin_task(context)
    steps = trainer._task_step(context)
    assert isinstance(steps, TaskStep)
    (passes,) = trainer._feed(context, 1)
    assert steps._record(passes, lambda given: steps._work(0, 0.0, given)) is None
    assert not steps.optimizer.state
    steps(0, 0.0, passes)
    assert steps._record(passes, lambda given: steps._work(1, 0.0, given)) is not None


def text_trainer(name: str, *, plain: bool = False) -> StreamTrainer:
    """Two text tasks; rows and answers in the few shapes a GPU is given."""
    learner = MiniLMConfig().build(MiniTraceConfig(tasks=("Py150", "FOMC")).build(Path()), torch.device("cpu"))
    assert isinstance(learner, CausalLearner)
    learner.shapes = TextShapes(learner.texts.training)
    return StreamTrainer(
        learner,
        config_of(name).build(),
        TrainingConfig(steps=12, batch_size=4, lr=3e-3, epsilon=1e-4),
        RandomStreams(0),
        plain=plain,
    )


@pytest.mark.parametrize("name", ["codyra", "olora", "replay"])
def test_text_steps_of_one_shape_can_be_replayed(name: str, recording: list[Replayed], monkeypatch: pytest.MonkeyPatch) -> None:
    replayed = learn(text_trainer(name))
    assert sum(graph.times for graph in recording) > 5
    monkeypatch.setattr(TaskStep, "_obstacle", lambda self: "it was asked for")
    eager = learn(text_trainer(name))
    assert replayed[0] == eager[0]
    assert all(torch.equal(replayed[1][key], value) for key, value in eager[1].items())


@pytest.mark.parametrize("name", ["codyra", "finetune"])
def test_the_fast_text_stream_is_the_plain_references(name: str) -> None:
    """As for images; the plain side has logits of every token and answers prompts one by one."""
    fast, plain = learn(text_trainer(name)), learn(text_trainer(name, plain=True))
    assert_same_stream(fast, plain, points=2.0)
