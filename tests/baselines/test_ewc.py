"""EWC on factors and on weights: Fisher matrices and penalties by value, and what strength does."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from baselines.ewc import Ewc, EwcConfig
from baselines.ewclora import EwcLora, EwcLoraConfig, _WeighedSquares
from baselines.gradients import some_rows
from baselines.lora import BRANCH
from suite.backbones.learner import Batch
from suite.randomness import RandomStreams
from suite.testing.methods import IMAGES, MethodConformance
from trainables.stream_trainer import StreamTrainer

Make = Callable[..., StreamTrainer]
PLACEMENT = "qv@0"


@pytest.mark.slow
class TestBatchFisher(MethodConformance):
    methods = ({"name": "ewclora", "fisher": "batch", "strength": 1e7},)
    streams = (IMAGES,)


COUNT = 6


def rows(trainer: StreamTrainer, size: int) -> list[Batch]:
    """The rows of the first task that F is taken from, in the pieces in which batches of ``size`` hold them."""
    chosen = set(some_rows(trainer.context(0), COUNT, RandomStreams(0)["fisher"])[:, 1].tolist())
    found = []
    for start, batch in enumerate(trainer.learner.batches(0, "train", size)):
        places = [place for place in range(len(batch)) if start * size + place in chosen]
        found += [batch.part(torch.tensor(places))] if places else []
    assert sum(map(len, found)) == COUNT < len(trainer.stream.tasks[0].train)
    return found


def test_fisher_is_the_mean_square_of_single_rows_gradients(make_either: Make) -> None:
    """On the factors, of rows that are drawn; it does not depend on how batches are cut."""
    trainer = make_either(EwcConfig(rank=2, placement=PLACEMENT, fisher_examples=COUNT), batch_size=7)
    method = trainer.method
    assert isinstance(method, Ewc)
    trainer.sample_steps(0, 2)
    factors = method.factors()
    wanted = {name: torch.zeros_like(factor) for name, factor in factors.items()}
    for batch in rows(trainer, 5):
        for one in batch.one_by_one():
            found = torch.autograd.grad(trainer.learner.forward(one).loss, list(factors.values()))
            for name, g in zip(factors, found, strict=True):
                wanted[name] += g.square() / COUNT
    for name, value in method.fisher.items():
        assert torch.allclose(value, wanted[name], rtol=1e-3, atol=1e-8), name
        assert float(value.min()) >= 0 < float(value.max())


def test_the_penalty_is_zero_where_it_is_anchored(make_trainer: Make) -> None:
    trainer = make_trainer(EwcConfig(rank=2, placement=PLACEMENT, fisher_examples=4))
    method = trainer.method
    assert isinstance(method, Ewc)
    trainer.sample_steps(0, 2)
    trainer.learner.begin_task(1)
    method.begin_task(trainer.context(1))
    factors = list(method.factors().values())
    assert float(method.displacement().detach()) == 0
    assert all(float(g.abs().max()) == 0 for g in torch.autograd.grad(method.displacement(), factors))
    name, factor = next(iter(method.factors().items()))
    with torch.no_grad():
        factor[0, 0] += 0.5
    assert float(method.displacement().detach()) == pytest.approx(0.25 * float(method.fisher[name][0, 0]), rel=1e-4)


@pytest.mark.parametrize("kind", ["factors", "weights"])
def test_more_strength_moves_less_what_earlier_tasks_need(kind: str, make_trainer: Make) -> None:
    found = []
    for strength in (0.0, 3e2, 3e3):
        shared = {"rank": 2, "placement": PLACEMENT, "fisher_examples": 8, "strength": 1.0}
        trainer = make_trainer(EwcConfig(**shared) if kind == "factors" else EwcLoraConfig(**shared))
        method = trainer.method
        assert isinstance(method, Ewc | EwcLora)
        trainer.sample_steps(0, 3)
        method.config = method.config.model_copy(update={"strength": strength})  # F is there whatever follows
        fisher = {name: value.clone() for name, value in method.fisher.items()}
        before = {name: p.detach().clone() for name, p in method.factors().items()} if isinstance(method, Ewc) else {}
        trainer.sample_steps(1, 8)
        if isinstance(method, Ewc):
            moved = {name: p.detach() - before[name] for name, p in method.factors().items()}
        else:
            moved = {name: factors.b @ factors.a for name, (factors,) in trainer.journal.tasks[1].items()}
        found.append(sum(float((fisher[name] * move.square()).sum()) for name, move in moved.items()))
    assert found[0] > 1.5 * found[1] > 4 * found[2] > 0


def test_gradients_of_the_penalty_on_products() -> None:
    """Those of autograd on the dense form; lambda / 2 times them are lambda B^T G and lambda G A^T."""
    g = torch.Generator().manual_seed(0)
    a, b = torch.randn(3, 7, generator=g, requires_grad=True), torch.randn(5, 3, generator=g, requires_grad=True)
    fisher = torch.rand(5, 7, generator=g)
    dense, lean = (fisher * (b @ a).square()).sum(), _WeighedSquares.apply(a, b, fisher)
    assert float(lean.detach()) == pytest.approx(float(dense.detach()), rel=1e-5)
    for wanted, found in zip(torch.autograd.grad(dense, (a, b)), torch.autograd.grad(3 * lean, (a, b)), strict=True):
        assert torch.allclose(3 * wanted, found, rtol=1e-4, atol=1e-5)
    weighed = fisher * (b @ a).detach()
    (for_a,) = torch.autograd.grad(_WeighedSquares.apply(a, b, fisher) / 2, a)
    assert torch.allclose(for_a, b.detach().T @ weighed, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("fisher", ["per_example", "batch"])
def test_fisher_of_weights_has_two_forms(fisher: str, make_either: Make) -> None:
    """Squares of single rows' gradients or of batches'; gamma weighs what was there, and what is merged is B A."""
    trainer = make_either(
        EwcLoraConfig(rank=2, placement=PLACEMENT, fisher=fisher, gamma=0.5, fisher_examples=COUNT), batch_size=8
    )
    method = trainer.method
    assert isinstance(method, EwcLora)
    slot = method.slots[0]
    old = torch.ones(slot.out_features, slot.in_features)
    method.fisher = {one.name: torch.ones(one.out_features, one.in_features) for one in method.slots}
    start = slot.weight.detach()[slot.rows].clone()
    trainer.sample_steps(0, 1)
    (merged,) = trainer.journal.tasks[0][slot.name]
    assert torch.equal(slot.weight.detach()[slot.rows], start + merged.b @ merged.a)
    assert BRANCH not in slot.parts
    slot.weight.requires_grad_(True)
    wanted = torch.zeros_like(old)
    for batch in rows(trainer, 8):
        for one in batch.one_by_one() if fisher == "per_example" else [batch]:
            (g,) = torch.autograd.grad(trainer.learner.forward(one).loss, slot.weight)
            wanted += len(one) * g[slot.rows].square() / COUNT
    slot.weight.requires_grad_(False)
    assert torch.allclose(method.fisher[slot.name], 0.5 * old + wanted, rtol=1e-3, atol=1e-7)
    mean = sum(float(f.sum()) for f in method.fisher.values()) / sum(f.numel() for f in method.fisher.values())
    assert method.facts().notes == (f"ewclora: lambda times the mean Fisher entry is {100 * mean:.3g}",)
