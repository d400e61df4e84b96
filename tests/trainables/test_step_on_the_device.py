"""A step on torch's ``meta`` device, which like a GPU refuses tensors of the host and, unlike it, every value read back."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any, TypeVar

import pytest
import torch
from torch import Tensor

import trainables.passes
from suite.backbones.causal_lm import MiniLMConfig
from suite.backbones.clip import MiniClipConfig
from suite.backbones.learner import Learner
from suite.benchmarks.mini_trace import MiniTraceConfig
from suite.benchmarks.stream import Stream
from suite.parts import MethodConfig, TrainingConfig
from suite.randomness import RandomStreams
from suite.registry import METHODS
from trainables.method import TaskContext
from trainables.stream_trainer import StreamTrainer

META = torch.device("meta")
Result = TypeVar("Result")
FIELDS: dict[str, dict[str, Any]] = {
    "codyra": {"kappa_levels": 3},
    "ewc": {"fisher_examples": 2},
    "ewclora": {"fisher_examples": 2},
    "ogd": {"directions": 2},
    "replay": {"memory_size": 6},
}
STEPS = 6


def config_of(name: str) -> MethodConfig:
    return METHODS[name].model_validate({"name": name, **FIELDS.get(name, {})})


CAPTURABLE = [
    name
    for name in sorted(set(METHODS) - {"zero-shot"})
    if (method := config_of(name).build()).capturable and "references" not in method.needs
]


def fused_adamw(*lists: list[Tensor], lr: Tensor, **numbers: Any) -> None:
    """Stands in for torch's kernel, which ``meta`` lacks: looks where its tensors lie."""
    places = {tensor.device.type for tensors in lists for tensor in tensors} | {lr.device.type}
    assert places == {"meta"}


@pytest.fixture(autouse=True)
def _as_while_recording(monkeypatch: pytest.MonkeyPatch) -> None:
    """``meta`` knows no autocast; transformers looks into masks unless a GPU's stream is being recorded."""
    monkeypatch.setattr(trainables.passes, "autocast", lambda device, precision: nullcontext())
    monkeypatch.setattr(torch, "autocast", lambda *arguments, **fields: nullcontext())
    monkeypatch.setattr(torch, "is_autocast_enabled", lambda *arguments: False)
    monkeypatch.setattr(torch, "_fused_adamw_", fused_adamw)
    monkeypatch.setattr("transformers.utils.import_utils.is_cuda_stream_capturing", lambda: True)


def at_a_boundary(hook: Callable[..., Result], *arguments: Any) -> Result:
    """The beginning of a run, the beginning or the end of a task; it may ask the host what the data is like, steps may not."""
    try:
        return hook(*arguments)
    except (NotImplementedError, RuntimeError) as error:
        if "meta" not in str(error):  # a fault of the method
            raise
        pytest.skip(f"{hook.__qualname__} makes statistics, which meta tensors do not have ({error})")


def take_steps(trainer: StreamTrainer, task: int) -> TaskContext:
    """All steps of a task but its end, which writes to the host."""
    trainer.learner.begin_task(task)
    context = trainer.context(task)
    at_a_boundary(trainer.method.begin_task, context)
    steps, feed = trainer._task_step(context), trainer._feed(context, STEPS)
    for index, parts in enumerate(feed):
        assert steps(index, 1e-3, parts).device == META
    assert all(parameter.grad is None or parameter.grad.device == META for parameter in steps.optimizer.parameters)  # type: ignore[attr-defined]
    return context


@pytest.fixture(params=["images", "text"])
def learner(request: pytest.FixtureRequest, union_stream: Stream) -> Learner:
    if request.param == "images":
        return MiniClipConfig().build(union_stream, META)
    return MiniLMConfig().build(MiniTraceConfig(tasks=("Py150", "FOMC")).build(Path()), META)


@pytest.mark.parametrize(
    "name",
    [name if name in ("codyra", "lora", "replay") else pytest.param(name, marks=pytest.mark.slow) for name in CAPTURABLE],
)
def test_every_tensor_of_a_step_lies_on_the_device(name: str, learner: Learner) -> None:
    """The second task too, which has past subspaces and a memory."""
    method, training = config_of(name).build(), TrainingConfig(steps=STEPS, batch_size=8, clip_norm=1.0)
    if learner.kind not in method.needs:
        pytest.skip(f"{name} does not serve this kind of backbone")
    trainer = at_a_boundary(StreamTrainer, learner, method, training, RandomStreams(0))
    if not method.capturable:
        pytest.skip(f"{name} needs the host on this kind of backbone")
    context = take_steps(trainer, 0)
    for slot in trainer.method.slots:
        for branch in slot.parts.values():
            branch.gate = None  # type: ignore[assignment]  # how many are zero is a question that only real gates answer
    at_a_boundary(method.end_task, context)
    take_steps(trainer, 1)


def test_a_value_read_back_is_noticed(learner: Learner, monkeypatch: pytest.MonkeyPatch) -> None:
    method = config_of("lora").build()
    monkeypatch.setattr(method, "after_step", lambda step: float(step.outputs[0].loss.detach()))
    trainer = StreamTrainer(learner, method, TrainingConfig(steps=STEPS, batch_size=8), RandomStreams(0))
    with pytest.raises(RuntimeError, match="item"):
        take_steps(trainer, 0)


def test_a_tensor_of_the_host_is_noticed(learner: Learner, monkeypatch: pytest.MonkeyPatch) -> None:
    method = config_of("lora").build()
    monkeypatch.setattr(method, "loss", lambda step: step.outputs[0].loss * torch.ones(1))
    trainer = StreamTrainer(learner, method, TrainingConfig(steps=STEPS, batch_size=8), RandomStreams(0))
    with pytest.raises(RuntimeError, match="expected device meta"):
        take_steps(trainer, 0)
