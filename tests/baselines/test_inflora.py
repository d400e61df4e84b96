"""InfLoRA: where its updates lie, by value, on images and on texts."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from baselines.inflora import BRANCH, InfLora, InfLoraConfig, inputs_of
from baselines.lora import Lora, LoraConfig
from suite.errors import ConfigError, SuiteError
from suite.lowrank.subspace import Subspace, leading
from trainables.method import TaskContext
from trainables.stream_trainer import StreamTrainer

Make = Callable[..., StreamTrainer]


def test_updates_stay_outside_the_inputs_of_earlier_tasks(make_either: Make) -> None:
    """Rows of A are orthogonal to M, training leaves A alone, so does the merged update; M is orthonormal and holds its energy."""
    trainer = make_either(InfLoraConfig(rank=4, placement="qkvo@0-1", energy_start=0.8), batch_size=48)
    method = trainer.method
    assert isinstance(method, InfLora)
    begun: dict[str, torch.Tensor] = {}
    inner = method.begin_task

    def remember(context: TaskContext) -> None:
        inner(context)
        begun.update({slot.name: slot.branch(BRANCH).a.detach().clone() for slot in method.slots})

    method.begin_task = remember  # type: ignore[method-assign]
    for index in range(2):
        used = dict(method.used)
        trainer.sample_steps(index, 2)
        for slot in method.slots:
            (factors,) = trainer.journal.tasks[-1][slot.name]
            assert torch.equal(factors.a, begun[slot.name])
            leader = slot.name.replace(".k", ".q").replace(".v", ".q")
            if leader in used:
                basis = used[leader]._basis().float()
                assert float((factors.a @ basis).abs().max()) <= 1e-6
                update = factors.b @ factors.a
                assert update.norm() > 0
                assert float((update @ basis).norm() / update.norm()) <= 1e-5
        share = method.share(trainer.context(index))
        assert share == pytest.approx(0.8 + 0.2 * index / len(trainer.stream))
        for slots, moment in inputs_of(trainer.context(index), method.slots):
            found = method.used[slots[0].name]
            assert found.captured(moment @ moment) >= share - 1e-6
            assert torch.allclose(found.columns.T @ found.columns, torch.eye(found.columns.shape[1]), atol=1e-6)
    assert {slot.name.rsplit(".", 1)[1] for slot in method.slots} == set("qkvo")
    assert {name.rsplit(".", 1)[1] for name in method.used} == {"q", "o"}  # q, k and v share their input


class PrincipalLora(Lora):
    """Fixed-rank LoRA whose A is frozen at the leading directions of the task's inputs."""

    def begin_task(self, context: TaskContext) -> None:
        super().begin_task(context)
        for slots, moment in inputs_of(context, self.slots):
            for slot in slots:
                branch = slot.branch(BRANCH)
                branch.a.data.copy_(leading(moment.double() @ moment.double(), self.config.rank)[1].T / 3**0.5)
                branch.a.requires_grad_(False)


def test_without_memory_it_is_lora_on_principal_directions(make_trainer: Make) -> None:
    """Bit for bit over the stream: a share of 0 keeps no direction."""
    one = make_trainer(InfLoraConfig(rank=4, energy_start=0.0, energy_end=0.0))
    other = make_trainer(LoraConfig(rank=4, placement="kv"))
    other.method = PrincipalLora(LoraConfig(rank=4, placement="kv"))
    other.method.attach(other.learner, other.random)
    for index in range(2):
        one.sample_steps(index, 3)
        other.sample_steps(index, 3)
    for name, slot in one.learner.slots.items():
        assert torch.equal(slot.weight, other.learner.slots[name].weight), name


def test_full_inputs_leave_fewer_directions_and_say_so(make_trainer: Make) -> None:
    trainer = make_trainer(InfLoraConfig(rank=4, placement="vision:k@0"), batch_size=64)
    method = trainer.method
    assert isinstance(method, InfLora)
    (slot,) = method.slots
    leader = Subspace(torch.eye(slot.in_features)[:, :2], complement=True)
    method.used[slot.name] = leader
    trainer.sample_steps(1, 1)
    facts = method.facts()
    assert facts.effective_rank == {slot.name: 2}
    assert facts.trainable_parameters == 2 * slot.out_features
    assert facts.notes == ("inflora: 2 of 4 directions were left in the fullest layer",)
    method.used[slot.name] = Subspace(torch.empty(slot.in_features, 0), complement=True)
    with pytest.raises(SuiteError, match="no direction is left to task 'digits' in any layer"):
        trainer.sample_steps(2, 1)


def test_more_directions_than_inputs_are_refused(make_trainer: Make) -> None:
    with pytest.raises(ConfigError, match=r"method\.rank: .* inputs, so there are no 500 directions in it; set it to at most"):
        make_trainer(InfLoraConfig(rank=500))
