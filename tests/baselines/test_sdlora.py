"""SD-LoRA: what stays, what is learned on and what the function does between tasks, on images and on texts."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from baselines.lora import LoraConfig
from baselines.sdlora import SdLora, SdLoraConfig, tasks_of
from suite.backbones.learner import Batch
from suite.lowrank.export import merge_live_branches
from trainables.stream_trainer import StreamTrainer

Make = Callable[..., StreamTrainer]


def some(trainer: StreamTrainer) -> Batch:
    return next(trainer.learner.batches(0, "train", 12))


def logits(trainer: StreamTrainer) -> torch.Tensor:
    with torch.no_grad():
        return trainer.learner.forward(some(trainer)).logits


def sdlora(trainer: StreamTrainer) -> SdLora:
    assert isinstance(trainer.method, SdLora)
    return trainer.method


def test_directions_stay_magnitudes_move_and_nothing_jumps(make_either: Make) -> None:
    trainer = make_either(SdLoraConfig(rank=4), optimizer="sgd", lr=0.2)
    method = sdlora(trainer)
    assert method.jumps is None
    ends: list[torch.Tensor] = []
    inner = method.end_task

    def spy(context):  # type: ignore[no-untyped-def]
        ends.append(logits(trainer))
        inner(context)

    method.end_task = spy  # type: ignore[method-assign]
    trainer.sample_steps(0, 4)
    kept = {slot.name: [p.clone() for p in (slot.branch("task0").a, slot.branch("task0").b)] for slot in method.slots}
    first = method.magnitudes[0].item()
    assert first != pytest.approx(0.8, abs=1e-7)
    assert torch.equal(logits(trainer), ends[0])
    trainer.learner.begin_task(1)
    method.begin_task(trainer.context(1))
    assert torch.allclose(logits(trainer), ends[0], atol=1e-5)
    assert method.magnitudes.tolist() == [[first], [pytest.approx(0.8)]]
    for slot in method.slots:
        del slot.parts["task1"]
    method.load_state({"magnitudes": torch.tensor([[first]])})
    trainer.sample_steps(1, 4)
    assert method.magnitudes[0].item() != first
    for slot in method.slots:
        assert all(
            torch.equal(*pair) for pair in zip(kept[slot.name], (slot.branch("task0").a, slot.branch("task0").b), strict=True)
        )
        assert [set(slot.branch(f"task{i}").gate.tolist()) for i in (0, 1)] == [
            {value} for (value,) in method.magnitudes.tolist()
        ]
    before = logits(trainer)
    merge_live_branches(trainer.journal)
    assert not any(slot.parts for slot in method.slots)
    assert torch.allclose(logits(trainer), before, atol=1e-4)
    assert float((before - ends[0]).abs().max()) > 1e-3


@pytest.mark.parametrize("magnitude", ["global", "per_slot"])
def test_gradient_of_a_magnitude_is_that_of_the_weights_along_its_direction(
    magnitude: str, make_either: Make, request: pytest.FixtureRequest
) -> None:
    """d loss / d alpha_i = sum over slots of <d loss / d W, B_i A_i>, the gradient of W from an independent computation."""
    rate = {"clip": 0.05, "lm": 5.0}[
        request.node.callspec.params["make_either"]
    ]  # gradients on texts are a hundredth of those on images
    trainer = make_either(SdLoraConfig(rank=3, magnitude=magnitude), optimizer="sgd", lr=rate)
    method = sdlora(trainer)
    trainer.sample_steps(0, 2)
    trainer.learner.begin_task(0)
    method.begin_task(trainer.context(1))
    batch = some(trainer)
    found = trainer.learner.weight_gradients([batch], method.slots)

    def run(batches: list[Batch]) -> torch.Tensor:
        loss = trainer.learner.forward(batches[0]).loss
        loss.backward()
        return loss.detach()

    for _ in range(2):  # gradients of several passes add up
        method.backward([batch], run)
    with torch.no_grad():
        rows = [
            [float((found[s.name] * (s.branch(k).b @ s.branch(k).a)).sum()) for s in method.slots] for k in ("task0", "task1")
        ]
    wanted = 2 * torch.tensor(rows)
    wanted = wanted.sum(dim=1, keepdim=True) if magnitude == "global" else wanted
    assert float(wanted[0].abs().max()) > 1e-4
    assert torch.allclose(method.magnitudes.grad, wanted, rtol=1e-3, atol=1e-6)


def test_released_way_divides_norms_out_and_says_that_it_jumps(make_trainer: Make) -> None:
    trainer = make_trainer(SdLoraConfig(rank=4, placement="vision:q", renormalise="release", carry_magnitudes=False))
    method = sdlora(trainer)
    assert method.jumps
    trainer.sample_steps(0, 3)
    for slot in method.slots:
        assert float(slot.branch("task0").a.norm()) == pytest.approx(1, abs=1e-5)
        assert float(slot.branch("task0").b.norm()) == pytest.approx(1, abs=1e-5)
    method.begin_task(trainer.context(1))
    assert method.magnitudes.flatten().tolist() == pytest.approx([0.8, 0.8])


def test_fixed_magnitudes_of_one_are_lora(make_trainer: Make) -> None:
    """Bit for bit in the first task; over the stream the same function as stacked branches, which are one there and several here."""
    one = make_trainer(SdLoraConfig(rank=4, magnitude_init=1.0, magnitude_lr_multiplier=0.0))
    other = make_trainer(LoraConfig(rank=4, placement="qv", between="stack"))
    one.sample_steps(0, 4)
    other.sample_steps(0, 4)
    for mine, lora in zip(one.method.slots, other.method.slots, strict=True):
        assert torch.equal(mine.branch("task0").a, lora.branch("past").a)
        assert torch.equal(mine.branch("task0").b, lora.branch("past").b)
    one.sample_steps(1, 4)
    other.sample_steps(1, 4)
    assert torch.allclose(logits(one), logits(other), atol=2e-3)


def test_a_direction_that_is_there_already_is_absorbed(make_trainer: Make) -> None:
    trainer = make_trainer(SdLoraConfig(rank=4, placement="vision:qv", absorb=1e-3))
    method = sdlora(trainer)
    trainer.sample_steps(0, 3)
    method.begin_task(trainer.context(1))
    twin, fresh = method.slots[0], method.slots[1]
    for slot in method.slots:
        slot.branch("task1").b.data.normal_(generator=torch.Generator().manual_seed(0))
    twin.branch("task1").a.data.copy_(twin.branch("task0").a)
    twin.branch("task1").b.data.copy_(-0.5 * twin.branch("task0").b)
    before = logits(trainer)
    method.end_task(trainer.context(1))
    assert tasks_of(twin) == [0]
    assert tasks_of(fresh) == [0, 1]
    assert torch.allclose(logits(trainer), before, atol=1e-4)
    trainer.sample_steps(2, 2)
    assert tasks_of(twin) == [0, 2]
