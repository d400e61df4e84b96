"""On a real GPU: recorded steps against eager ones and the plain reference, repeated runs, images that stay on the host."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from suite.backbones.causal_lm import MiniLMConfig
from suite.backbones.clip import MiniClipConfig
from suite.backbones.clip_learner import ClipLearner
from suite.benchmarks.mini_trace import MiniTraceConfig
from suite.benchmarks.stream import Stream
from suite.parts import TrainingConfig
from suite.randomness import RandomStreams
from suite.registry import METHODS
from trainables.captured_step import TaskStep
from trainables.precision import set_arithmetic
from trainables.stream_trainer import StreamTrainer

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no usable GPU"),
]
FIELDS: dict[str, dict[str, Any]] = {"codyra": {"kappa_levels": 3}, "replay": {"memory_size": 6}}
METHODS_THAT_LEARN = sorted(set(METHODS) - {"zero-shot"})
Made = Callable[..., StreamTrainer]


@pytest.fixture(params=["images", "text"])
def make(request: pytest.FixtureRequest, mini_stream: Stream) -> Made:
    """``make(method, plain=..., **training)``: a trainer on the GPU over a fresh network."""
    device = torch.device("cuda")

    def trainer(name: str, *, plain: bool = False, **training: Any) -> StreamTrainer:
        config = METHODS[name].model_validate({"name": name, **FIELDS.get(name, {})})
        budget = TrainingConfig(
            **{"steps": 12, "batch_size": 8, "lr": 3e-3, "epsilon": 1e-4, "eval_precision": "fp32", **training}
        )
        set_arithmetic(budget, device)
        if request.param == "images":
            learner = MiniClipConfig().build(mini_stream, device)
        else:
            learner = MiniLMConfig().build(MiniTraceConfig(tasks=("Py150", "FOMC")).build(Path()), device)
        return StreamTrainer(learner, config.build(), budget, RandomStreams(0), plain=plain)

    return trainer


def learn(trainer: StreamTrainer) -> tuple[list[float | None], Tensor, set[str]]:
    """Loss of every task, the network at the end as one vector, how steps were run."""
    results = [report.result for report in trainer.rows(0)]
    state = [value.flatten() for value in trainer.learner.network.state_dict().values() if value.is_floating_point()]
    return (
        [result.train_loss for result in results],
        torch.cat(state).cpu(),
        {str(result.facts["steps_run"]) for result in results},
    )


@pytest.mark.parametrize("name", METHODS_THAT_LEARN)
def test_steps_are_recorded_and_repeat_the_eager_ones(name: str, make: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    """Losses within 1e-4, the network within 2e-5 of its norm: transformers builds another mask while a step is recorded."""
    recorded = learn(make(name))
    assert recorded[2] == {"recorded"}
    monkeypatch.setattr(TaskStep, "_obstacle", lambda self: "it was asked for")
    eager = learn(make(name))
    assert recorded[0] == pytest.approx(eager[0], rel=1e-4)
    assert float((recorded[1] - eager[1]).norm() / eager[1].norm()) < 2e-5


@pytest.mark.parametrize("name", METHODS_THAT_LEARN)
def test_the_fast_stream_is_the_plain_references(name: str, make: Made) -> None:
    fast, plain = learn(make(name)), learn(make(name, plain=True))
    assert fast[0] == pytest.approx(plain[0], rel=1e-3)
    assert float((fast[1] - plain[1]).norm() / plain[1].norm()) < 1e-4


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_repeated_run_is_equal_bit_for_bit(precision: str, make: Made) -> None:
    first, second = (learn(make("codyra", precision=precision)) for _ in range(2))
    assert first[0] == second[0]
    assert torch.equal(first[1], second[1])


def test_kernels_of_triton_stay_close_to_those_of_torch(make: Made) -> None:
    """bf16: losses within 3 %; recorded, and equal bit for bit when they run again."""
    if make("codyra").learner.kind == "lm":
        pytest.skip("they serve CLIP alone")
    first, second = (learn(make("codyra", precision="bf16", kernels="triton")) for _ in range(2))
    usual = learn(make("codyra", precision="bf16"))
    assert first[2] == {"recorded"}
    assert (first[0], torch.equal(first[1], second[1])) == (second[0], True)
    assert first[0] == pytest.approx(usual[0], rel=0.03)


def test_encoders_at_once_make_the_numbers_of_encoders_in_turn(make: Made) -> None:
    """Bit for bit: the same kernels in another order of time; recorded, the side stream is a branch of the graph."""
    if make("codyra").learner.kind == "lm":
        pytest.skip("a language model has one")
    in_turn, at_once = (learn(make("codyra", encoders=encoders)) for encoders in ("in_turn", "at_once"))
    assert at_once[2] == {"recorded"}
    assert in_turn[0] == at_once[0]
    assert torch.equal(in_turn[1], at_once[1])


def test_images_that_stay_on_the_host_give_the_same_numbers(make: Made) -> None:
    """They are prepared ahead on a stream of their own."""
    resident, fetched = make("replay"), make("replay")
    if not isinstance(fetched.learner, ClipLearner):
        pytest.skip("text rows always come from the host")
    fetched.learner.pixels._resident.clear()
    first, second = learn(resident), learn(fetched)
    assert first[0] == second[0]
    assert torch.equal(first[1], second[1])
