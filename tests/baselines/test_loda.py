"""LoDA: its directions, what it merges and where it takes its gradients, on images and on texts."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from baselines.inflora import inputs_of
from baselines.loda import GENERAL, SPECIFIC, Loda, LodaConfig, general_shares, halves
from baselines.lora import Lora, LoraConfig
from suite.backbones.learner import Batch
from suite.lowrank.subspace import contrasting, leading
from trainables.method import TaskContext
from trainables.stream_trainer import StreamTrainer

Make = Callable[..., StreamTrainer]


def moment(seed: int, width: int = 10) -> torch.Tensor:
    x = torch.randn(30, width, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)) * torch.logspace(
        0, -1, width
    )
    return x.T @ x / 30


def loda(trainer: StreamTrainer) -> Loda:
    assert isinstance(trainer.method, Loda)
    return trainer.method


def test_specific_directions_are_the_best_quotients() -> None:
    """They span the top solutions of C u = lambda P u, found here as eigenvectors of P^-1 C; no u has a larger u C u / u P u."""
    c, p = moment(0), moment(1)
    firm = p + 1e-6 * p.trace() / 10 * torch.eye(10)
    values, vectors = torch.linalg.eig(torch.linalg.solve(firm, c))
    order = values.real.argsort(descending=True)[:3]
    wanted = torch.linalg.qr(vectors.real[:, order]).Q
    found = contrasting(c, p, 3)
    assert torch.allclose(found.T @ found, torch.eye(3, dtype=torch.float64), atol=1e-9)
    assert torch.allclose(found @ found.T, wanted @ wanted.T, atol=1e-6)
    (u,) = contrasting(c, p, 1).T
    best = float(u @ c @ u / (u @ firm @ u))
    assert best == pytest.approx(float(values.real.max()), rel=1e-6)
    others = torch.randn(1000, 10, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    assert bool((((others @ c) * others).sum(1) / ((others @ firm) * others).sum(1) <= best).all())


def test_a_moment_without_full_rank_is_no_obstacle() -> None:
    """What earlier tasks never used is the most specific there is."""
    p = torch.diag(torch.tensor([1.0, 1.0, 0.0, 0.0]))
    found = contrasting(torch.diag(torch.tensor([9.0, 1.0, 0.5, 0.1])), p, 2)
    assert float(found[:2].abs().max()) < 1e-4


@pytest.mark.parametrize(("gamma", "expected"), [(0.0, [0.0, 0.0]), (3.0, [3 / 5, 0.0]), (1e12, [1.0, 0.0])])
def test_shares_of_the_general_branch(gamma: float, expected: list[float]) -> None:
    """p = 2, c = 1 gives 3 / (2 + 3); where the new task has nothing, nothing is merged."""
    a = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    shares = general_shares(a, torch.diag(torch.tensor([1.0, 0.0])), torch.diag(torch.tensor([2.0, 5.0])), gamma)
    assert shares.tolist() == pytest.approx(expected, abs=1e-6)


def test_two_branches_are_merged_and_one_of_them_in_part(make_either: Make) -> None:
    trainer = make_either(LodaConfig(rank=4), optimizer="sgd", lr=0.02, batch_size=24)
    method = loda(trainer)
    trainer.sample_steps(0, 2)
    past = {name: value.clone() for name, value in method.past.items()}
    for slot in method.slots:
        (first,) = trainer.journal.tasks[0][slot.name]
        assert float(first.b.norm()) > 0
    trainer.learner.begin_task(1)
    context = trainer.context(1)
    method.begin_task(context)
    for slots, now in inputs_of(context, method.slots):
        for slot in slots:
            general, specific = slot.branch(GENERAL).a, slot.branch(SPECIFIC).a
            assert not general.requires_grad
            assert torch.allclose(general @ general.T, torch.eye(4) / 3, atol=1e-6)
            values, vectors = leading(now.double() + past[slots[0].name].double(), 5)
            assert values[3] > values[4]
            assert float((general.double() - general.double() @ vectors[:, :4] @ vectors[:, :4].T).abs().max()) < 1e-5
            assert torch.allclose(specific @ specific.T, torch.eye(4) / 3, atol=1e-6)
            for branch in (slot.branch(GENERAL), slot.branch(SPECIFIC)):
                branch.b.data.normal_(std=0.05, generator=torch.Generator().manual_seed(1))
    pieces = {slot.name: [slot.branch(key).factors() for key in (GENERAL, SPECIFIC)] for slot in method.slots}
    now = {slot.name: value for slots, value in inputs_of(context, method.slots) for slot in slots}
    leaders = {slot.name: slots[0].name for slots, _ in inputs_of(context, method.slots) for slot in slots}
    method.end_task(context)
    for slot in method.slots:
        general, specific = pieces[slot.name]
        added, whole = method.added[slot.name]
        shares = general_shares(general.a, now[slot.name], past[leaders[slot.name]], 3.0)
        assert 0 < float(shares.min()) <= float(shares.max()) < 1
        assert torch.allclose(added.b, general.b * shares, atol=1e-6)
        assert torch.equal(whole.b, specific.b)
        assert not slot.parts
    for name, value in method.past.items():
        assert torch.allclose(value, (past[name] + now[name]).float(), rtol=1e-5, atol=1e-6)


def test_halves_are_of_classes_or_of_rows(make_either: Make) -> None:
    trainer = make_either(LodaConfig(rank=4))
    batch = trainer.learner.batch(torch.zeros(12, dtype=torch.int64), torch.arange(12), torch.Generator())
    first, second = halves(batch, torch.Generator().manual_seed(3))
    assert sorted([*first.tolist(), *second.tolist()]) == list(range(12))
    assert len(first) and len(second)
    labels = batch.inputs.get("labels")
    if labels is None:
        assert len(first) == 6
    else:
        assert not set(labels[first].tolist()) & set(labels[second].tolist())
    alone, none = halves(batch.part(torch.tensor([0])), torch.Generator())
    assert (len(alone), len(none)) == (1, 0)


def test_gradients_are_taken_where_the_other_half_has_led(make_trainer: Make) -> None:
    """Against the definition written out; with rho = 0 they are the gradient of the whole batch, halves weighted by their rows."""
    trainer = make_trainer(LodaConfig(rank=4, placement="vision:q@0-1"))
    method, learner = loda(trainer), trainer.learner
    learner.config = learner.config.model_copy(update={"text_to_image_loss": False})
    learner.begin_task(0)
    method.begin_task(trainer.context(0))
    parameters = [parameter for group in method.parameter_groups() for parameter in group.parameters]
    for slot in method.slots:
        slot.branch(GENERAL).b.data.normal_(std=0.05, generator=torch.Generator().manual_seed(1))
    batch = learner.batch(torch.zeros(16, dtype=torch.int64), torch.arange(16), torch.Generator())

    def run(batches: list[Batch]) -> torch.Tensor:
        loss = learner.forward(batches[0]).loss
        loss.backward()
        return loss.detach()

    def gradient(rows: Batch) -> list[torch.Tensor]:
        return list(torch.autograd.grad(learner.forward(rows).loss, parameters))

    state = method._draws.get_state()
    draws = torch.Generator().manual_seed(int(torch.randint(2**62, (), generator=method._draws)))
    method._draws.set_state(state)
    reach = 0.3 * float(torch.rand((), generator=draws))
    first, second = halves(batch, draws)
    kept = [parameter.detach().clone() for parameter in parameters]
    wanted = [torch.zeros_like(parameter) for parameter in parameters]
    for ahead, own in ((first, second), (second, first)):
        guide = gradient(batch.part(ahead))
        with torch.no_grad():
            for parameter, g in zip(parameters, guide, strict=True):
                parameter -= reach * g / g.norm()
        for total, g in zip(wanted, gradient(batch.part(own)), strict=True):
            total += g * len(own) / 16
        with torch.no_grad():
            for parameter, value in zip(parameters, kept, strict=True):
                parameter.copy_(value)
    method.backward([batch], run)
    assert all(torch.equal(*pair) for pair in zip(parameters, kept, strict=True))
    assert all(torch.allclose(p.grad, g, rtol=1e-4, atol=1e-6) for p, g in zip(parameters, wanted, strict=True))
    plain = gradient(batch)
    assert max(float((p.grad - g).abs().max()) for p, g in zip(parameters, plain, strict=True)) > 1e-4
    method.config = method.config.model_copy(update={"rho": 0.0})
    for parameter in parameters:
        parameter.grad = None
    method.backward([batch], run)
    assert all(torch.allclose(p.grad, g, rtol=1e-4, atol=1e-6) for p, g in zip(parameters, plain, strict=True))


class PrincipalLora(Lora):
    """Fixed-rank LoRA whose A begins at the leading directions of the task's inputs."""

    def begin_task(self, context: TaskContext) -> None:
        super().begin_task(context)
        for slots, found in inputs_of(context, self.slots):
            for slot in slots:
                slot.branch("task").a.data.copy_(leading(found, self.config.rank)[1].T / 3**0.5)


def test_the_first_task_without_alignment_is_lora_from_principal_directions(make_trainer: Make) -> None:
    one = make_trainer(LodaConfig(rank=4, aligned=False, placement="qv"))
    other = make_trainer(LoraConfig(rank=4, alpha=1.0, placement="qv"))
    other.method = PrincipalLora(LoraConfig(rank=4, alpha=1.0, placement="qv"))  # alpha / rank is LoDA's weight of 0.25
    other.method.attach(other.learner, other.random)
    one.sample_steps(0, 3)
    other.sample_steps(0, 3)
    for name, slot in one.learner.slots.items():
        assert torch.equal(slot.weight, other.learner.slots[name].weight), name
