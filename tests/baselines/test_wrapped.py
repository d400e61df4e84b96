"""What wrappers ask of the method inside, and what it may rely on inside them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from baselines.dualprompt import DualPrompt
from baselines.ewc import Ewc
from baselines.gem import Gem
from baselines.l2p import L2P, PART
from baselines.lwf import Lwf
from baselines.sdlora import SdLora
from baselines.wise_ft import WiseFt
from suite.backbones.learner import Batch, Output
from suite.errors import ConfigError
from suite.parts import MethodConfig
from suite.registry import METHODS
from trainables.method import Method, Step
from trainables.stream_trainer import StreamTrainer
from trainables.wrapper import Wrapper

Make = Callable[..., StreamTrainer]
OTHER_WEIGHTS = (
    "wise-ft",
    "weight-ensemble",
    "lwf",
    "lwf-vr",
    "derpp",
    "zscl",
    "zscl-no-reference",
    "snd",
    "gift-reference",
)


def config(name: str, inner: Any, **fields: Any) -> MethodConfig:
    return METHODS[name].model_validate({"name": name, "inner": inner, **fields})


@pytest.mark.parametrize("name", OTHER_WEIGHTS)
def test_what_is_not_in_weights_has_no_other_weights(name: str) -> None:
    """Also inside another wrapper; what can be merged may be inside."""
    replayed = {"name": "replay", "inner": "dualprompt"}
    for inner in ("moe-adapters", "any-ssr", "moram", "l2p", "dualprompt", replayed):
        with pytest.raises(
            ConfigError, match=f"'{name}' compares or joins networks by their weights, .* choose an inner method"
        ):
            config(name, inner).build()
    for inner in (
        {"between": "carry"},
        {"between": "stack"},
        "codyra",
        "finetune",
        "joint",
        "ewc",
        "ogd",
        "ewclora",
        "treelora",
    ):
        assert config(name, inner).build().mergeable


@pytest.mark.parametrize("inner", ["zero-shot", "rail-primal"])
def test_a_method_without_steps_is_refused_before_anything_is_measured(inner: str, make_trainer: Make) -> None:
    for name in ("replay", "agem", *(("wise-ft", "lwf") if inner == "zero-shot" else ())):
        with pytest.raises(ConfigError, match=f"'{name}' has nothing to do around '{inner}', which takes no steps; choose"):
            make_trainer(config(name, inner))


@pytest.mark.parametrize("name", ["wise-ft", "weight-ensemble", "zscl-no-reference", "lwf", "derpp", "replay", "gem"])
def test_the_method_inside_can_take_gradients_as_a_task_ends(name: str, make_trainer: Make) -> None:
    trainer = make_trainer(config(name, {"name": "ewc", "rank": 2, "placement": "vision:qv@0", "fisher_examples": 2}))
    method = trainer.method
    trainer.sample_steps(0, 2)
    assert isinstance(method, Wrapper)
    assert isinstance(method.inner, Ewc)
    assert float(torch.stack([f.sum() for f in method.inner.fisher.values()]).sum()) > 0
    if isinstance(method, WiseFt):  # the branch is carried whole; what the weights lose is 0.2 of it
        for slot in method.slots:
            branch = slot.branch("task")
            lost = sum(f.b @ f.a for f in trainer.journal.tasks[0][slot.name])
            assert torch.allclose(lost, -0.2 * branch.scale * branch.b @ branch.a, atol=1e-7)


@pytest.mark.parametrize(
    "inner", [{"name": "l2p", "pool": 4, "length": 1, "top": 2}, {"name": "dualprompt", "general": 1, "expert": 1}]
)
def test_keys_learn_from_the_current_batch_alone(inner: dict[str, Any], make_trainer: Make) -> None:
    """8 rows, whatever the memory's 4 were asked after them, and those of the current batch."""
    trainer = make_trainer(config("replay", inner))
    method = trainer.method
    assert isinstance(method, Wrapper)
    inside = method.inner
    assert isinstance(inside, L2P | DualPrompt)
    trainer.sample_steps(0, 1)
    steps: list[Step] = []
    agreed: list[Output] = []
    loss, agreement = inside.loss, inside.agreement
    inside.loss = lambda step: steps.append(step) or loss(step)  # type: ignore[method-assign, func-returns-value]
    inside.agreement = lambda output: agreed.append(output) or agreement(output)  # type: ignore[method-assign, func-returns-value]
    trainer.sample_steps(1, 2)
    assert len(method.memory) > 0  # type: ignore[attr-defined]
    for step, output in zip(steps, agreed, strict=True):
        with trainer.learner.without(PART):
            wanted = trainer.learner.query(step.batches[0].inputs)
        assert output.asked is not None
        assert output.asked.shape[0] == 8
        assert torch.equal(output.asked, wanted)


def own_gradients(method: Method) -> list[torch.nn.Parameter]:
    return [p for group in method.parameter_groups() for p in group.parameters]


def test_memories_give_magnitudes_their_gradients(make_trainer: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of the gates that repeat them, summed; gradients of the step stay what they are."""
    trainer = make_trainer(config("gem", {"name": "sdlora", "rank": 2, "placement": "vision:qv"}, memory_per_task=4))
    method = trainer.method
    assert isinstance(method, Gem)
    trainer.sample_steps(0, 2)
    trainer.learner.begin_task(1)
    method.begin_task(trainer.context(1))
    inside = method.inner
    assert isinstance(inside, SdLora)
    parameters = own_gradients(method)
    batch: Batch = next(trainer.learner.batches(0, "train", 4))
    monkeypatch.setattr(trainer.learner, "batch", lambda *_: batch)
    gates: list[Tensor] = [g for slot in method.slots if (g := slot.branch("task0").gate) is not None]
    wanted = torch.stack([g.sum() for g in torch.autograd.grad(trainer.learner.forward(batch).loss, gates)]).sum()
    for p in parameters:
        p.grad = torch.ones_like(p)
    before = [p.grad for p in parameters]
    found = method.gradient_on(method.memory, parameters)
    assert parameters[-1] is inside.magnitudes
    assert float(found[-1][0, 0]) == pytest.approx(float(wanted), rel=1e-4)
    assert abs(float(wanted)) > 1e-4
    assert all(p.grad is kept and bool((kept == 1).all()) for p, kept in zip(parameters, before, strict=True))
    assert all(gate.grad is None for gate in gates)


def test_a_memorys_gradient_is_that_of_its_loss(make_trainer: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a usual method bit for bit, also with a memory of another wrapper between."""
    between = {"name": "replay", "inner": {"rank": 2, "between": "carry"}}
    trainer = make_trainer(config("gem", between, memory_per_task=4))
    method = trainer.method
    assert isinstance(method, Gem)
    trainer.sample_steps(0, 2)
    trainer.sample_steps(1, 2)
    parameters = own_gradients(method)
    batch = next(trainer.learner.batches(0, "train", 4))
    monkeypatch.setattr(trainer.learner, "batch", lambda *_: batch)
    wanted = torch.autograd.grad(trainer.learner.forward(batch).loss, parameters)
    assert all(
        torch.equal(one, other) for one, other in zip(method.gradient_on(method.memory, parameters), wanted, strict=True)
    )


def test_an_anchor_is_not_weighed_by_gradients_it_cannot_see() -> None:
    for inner in ("sdlora", "loda", {"name": "lwf", "inner": "sdlora"}):
        with pytest.raises(ConfigError, match="makes gradients in its own way, .* set method.anchor=0 or choose"):
            config("gift-reference", inner).build()
        config("gift-reference", inner, anchor=0.0).build()


def test_joint_training_is_distilled_in_every_step(make_trainer: Make) -> None:
    """Its current batch; the other one has labels of all earlier tasks and needs no teacher."""
    trainer = make_trainer(config("lwf", "joint"), lr=1e-5)
    method = trainer.method
    assert isinstance(method, Lwf)
    term, found = method.term, []
    method.term = lambda step, own: found.append((len(step.batches), term(step, own))) or found[-1][1]  # type: ignore[method-assign, func-returns-value]
    trainer.sample_steps(0, 1)
    trainer.sample_steps(1, 2)
    assert [count for count, _ in found] == [1, 2, 2]
    assert all(value is not None and float(value.detach()) > 0 for _, value in found)
