"""KeepLoRA: where its updates lie, by value, on images and on texts."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from baselines.inflora import BRANCH, inputs_of
from baselines.keeplora import KeepLora, KeepLoraConfig
from baselines.lora import Lora, LoraConfig
from suite.errors import ConfigError, SuiteError
from suite.lowrank.layer import Slot
from suite.lowrank.subspace import Subspace, leading
from trainables.method import TaskContext
from trainables.stream_trainer import StreamTrainer

Make = Callable[..., StreamTrainer]


def kept_of(method: KeepLora, slot: Slot) -> Tensor:
    """(in, p + m) columns of P and M."""
    used = method.used.get(slot.name, torch.empty(slot.in_features, 0))
    return torch.cat([method.principal[slot.name]._basis().float(), used], dim=1)


def test_updates_stay_outside_pretrained_weights_and_earlier_inputs(make_either: Make) -> None:
    config = KeepLoraConfig(rank=4, placement="qko@0", weight_energy_vision=0.6, weight_energy_text=0.4, feature_energy=0.6)
    trainer = make_either(config, batch_size=48)
    method = trainer.method
    assert isinstance(method, KeepLora)
    for (
        slot
    ) in method.slots:  # on the input side: W P holds the share of W's energy that it is to hold, and one column less does not
        weight, p = slot.weight.detach()[slot.rows], method.principal[slot.name]._basis().float()
        share = 0.6 if slot.name.startswith("vision") else 0.4
        assert float((weight @ p).square().sum()) >= share * float(weight.square().sum())
        values = torch.linalg.svdvals(weight).square()
        assert float(values[: p.shape[1] - 1].sum()) < share * float(values.sum())
    for index in range(2):
        kept = {slot.name: kept_of(method, slot) for slot in method.slots}
        trainer.sample_steps(index, 2)
        for slot in method.slots:
            (factors,) = trainer.journal.tasks[-1][slot.name]
            update = factors.b @ factors.a
            assert update.norm() > 0
            assert float((factors.a @ kept[slot.name]).abs().max()) <= 1e-6
            assert float((update @ kept[slot.name]).norm() / update.norm()) <= 1e-5
            assert torch.allclose(factors.a @ factors.a.T, torch.eye(4), atol=1e-5)
        for slots, moment in inputs_of(trainer.context(index), method.slots):
            for slot in slots:
                now = kept_of(method, slot)
                assert torch.allclose(now.T @ now, torch.eye(now.shape[1]), atol=1e-5)
                old = torch.eye(len(moment), dtype=torch.float64) - (kept[slot.name] @ kept[slot.name].T).double()
                new = now[:, kept[slot.name].shape[1] :].double()
                beside = old @ moment.double() @ old
                assert float((new.T @ beside @ new).trace() / beside.trace()) >= 0.6 - 1e-6


class GradientLora(Lora):
    """Fixed-rank LoRA whose A is frozen at the leading directions of the task's mean gradient."""

    def begin_task(self, context: TaskContext) -> None:
        gradients = context.learner.weight_gradients(context.batches(), self.slots)
        super().begin_task(context)
        for name, gradient in gradients.items():
            branch = context.learner.slots[name].branch(BRANCH)
            square = gradient.double().T @ gradient.double()
            branch.a.data.copy_(leading(Subspace.empty(len(square), square.device).outside(square), self.config.rank)[1].T)
            branch.a.requires_grad_(False)


def test_without_memory_it_is_lora_on_the_gradients_directions(make_trainer: Make) -> None:
    """But for rounding, over the stream, with the scale alpha / rank; what is left out of the gradient is nothing."""
    nothing = {"weight_energy_vision": 0.0, "weight_energy_text": 0.0, "feature_energy": 0.0}
    one = make_trainer(KeepLoraConfig(rank=4, alpha=1.0, placement="qv@0-1", **nothing))
    other = make_trainer(LoraConfig(rank=4, alpha=1.0, placement="qv@0-1"))
    other.method = GradientLora(LoraConfig(rank=4, alpha=1.0, placement="qv@0-1"))
    other.method.attach(other.learner, other.random)
    for index in range(2):
        one.sample_steps(index, 3)
        other.sample_steps(index, 3)
    for name, slot in one.learner.slots.items():
        assert torch.allclose(slot.weight, other.learner.slots[name].weight, rtol=0, atol=1e-6), name


def test_full_inputs_leave_fewer_directions_and_say_so(make_trainer: Make) -> None:
    trainer = make_trainer(KeepLoraConfig(rank=4, placement="vision:k@0", weight_energy_vision=0.0), batch_size=64)
    method = trainer.method
    assert isinstance(method, KeepLora)
    (slot,) = method.slots
    method.used[slot.name] = torch.eye(slot.in_features)[:, 2:]
    trainer.sample_steps(1, 1)
    assert method.facts().effective_rank == {slot.name: 2}
    assert method.facts().notes == ("keeplora: 2 of 4 directions were left in the fullest layer",)
    method.used[slot.name] = torch.eye(slot.in_features)
    with pytest.raises(SuiteError, match="keeplora: no direction is left to task 'digits' in any layer"):
        trainer.sample_steps(2, 1)
    with pytest.raises(ConfigError, match=r"method\.rank: .* inputs, so there are no 500 directions in it"):
        make_trainer(KeepLoraConfig(rank=500))
