"""GEM and A-GEM: the dual by value, and what the optimizer gets to see."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from scipy.optimize import minimize

from baselines.agem import AGem, AGemConfig
from baselines.gem import Gem, GemConfig, dual
from baselines.gradients import dot
from baselines.lora import LoraConfig
from trainables.method import Step
from trainables.stream_trainer import StreamTrainer

Make = Callable[..., StreamTrainer]
INNER = LoraConfig(rank=2, placement="qv@0", between="carry")


@pytest.mark.parametrize("margin", [0.0, 0.3])
@pytest.mark.parametrize("count", [1, 3, 9])
def test_the_dual_is_scipys(count: int, margin: float) -> None:
    """Memories of sizes from 0.01 to 100 that contradict g and each other; afterwards none is violated."""
    generator = torch.Generator().manual_seed(count)
    shared = torch.randn(40, dtype=torch.float64, generator=generator)
    rows = torch.randn(count, 40, dtype=torch.float64, generator=generator) + shared
    rows *= torch.logspace(-2, 2, count, dtype=torch.float64)[:, None] if count > 1 else 1.0
    g = torch.randn(40, dtype=torch.float64, generator=generator) - 2 * shared
    p, q = rows @ rows.T, rows @ g
    assert float(q.min()) < 0
    v = dual(p, q, margin)
    after = g + rows.T @ v
    assert float((rows @ after / rows.norm(dim=1)).min()) >= -1e-6 * float(g.norm())
    scale = rows.norm(dim=1)
    unit, target = (p / scale[:, None] / scale).numpy(), (q / scale).numpy()
    found = minimize(
        lambda u: float(u @ unit @ u / 2 + target @ u),
        (margin * scale).numpy() + 1.0,
        jac=lambda u: unit @ u + target,
        bounds=[(margin * float(s), None) for s in scale],
        method="L-BFGS-B",
        options={"ftol": 1e-15, "gtol": 1e-10, "maxiter": 10_000},
    )
    wanted = g + (rows / scale[:, None]).T @ torch.from_numpy(found.x)
    assert torch.allclose(after, wanted, atol=1e-4 * float(g.norm()))


def test_one_memory_has_a_closed_form() -> None:
    """<g, m> = -6, <m, m> = 4: v = 1.5; a margin above that stands."""
    p, q = torch.tensor([[4.0]], dtype=torch.float64), torch.tensor([-6.0], dtype=torch.float64)
    assert float(dual(p, q)) == pytest.approx(1.5)
    assert float(dual(p, q, 2.0)) == pytest.approx(2.0)


@pytest.mark.parametrize(
    "config",
    [
        GemConfig(inner=INNER, memory_per_task=6),
        AGemConfig(inner=INNER, memory_per_task=6, memory_batch=12),
    ],
)
def test_no_memory_is_violated_after_the_projection(config: Any, make_either: Make) -> None:
    """Against the memory the gradient becomes harmless, along with it stays what it is, bit for bit."""
    trainer = make_either(config, batch_size=8)
    method = trainer.method
    assert isinstance(method, Gem | AGem)
    trainer.sample_steps(0, 2)
    trainer.sample_steps(1, 2)
    assert method.memory[:, 0].tolist() == [0] * 6 + [1] * 6
    trainer.learner.begin_task(2)
    method.begin_task(trainer.context(2))
    parameters = [p for group in method.parameter_groups() for p in group.parameters]
    rows = [method.gradient_on(method.memory[:6], parameters), method.gradient_on(method.memory[6:], parameters)]
    mean = method.gradient_on(method.memory, parameters)
    noise = [torch.randn(g.shape, generator=torch.Generator().manual_seed(place)) * g.std() for place, g in enumerate(mean)]
    # Sizes of the memories aside, both have a say: their gradients may contradict each other.
    sizes = [dot(row, row) ** 0.5 for row in rows]
    shared = [dot(mean, mean) ** 0.5 * (a / sizes[0] + b / sizes[1]) for a, b in zip(*rows, strict=True)]
    g = [n - 2 * m for n, m in zip(noise, shared, strict=True)]
    changes = method.changes(g, parameters)
    assert changes is not None
    after = [one + change for one, change in zip(g, changes, strict=True)]
    size = dot(g, g) ** 0.5
    for row in rows if isinstance(method, Gem) else [mean]:
        assert dot(row, g) < 0
        assert dot(row, after) >= -1e-5 * size * dot(row, row) ** 0.5
    if isinstance(method, AGem):
        assert abs(dot(mean, after)) <= 1e-4 * size * dot(mean, mean) ** 0.5
    assert method.changes(mean if isinstance(method, AGem) else shared, parameters) is None


def test_what_the_optimizer_sees_is_projected(make_trainer: Make) -> None:
    """The hook adds what ``changes`` says, in every step or every other."""
    trainer = make_trainer(GemConfig(inner=INNER, memory_per_task=4, every=2))
    method = trainer.method
    assert isinstance(method, Gem)
    trainer.sample_steps(0, 1)
    method.changes = lambda gradients, parameters: [torch.ones_like(g) for g in gradients]  # type: ignore[method-assign]
    seen: list[float] = []
    inner = method.after_backward

    def look(step: Step) -> None:
        parameters = [p for group in method.parameter_groups() for p in group.parameters]
        before = [p.grad.clone() for p in parameters if p.grad is not None]
        inner(step)
        seen.append(float(sum((p.grad - b).mean() for p, b in zip(parameters, before, strict=True)) / len(before)))

    method.after_backward = look  # type: ignore[method-assign]
    trainer.sample_steps(1, 3)
    assert seen == pytest.approx([1.0, 0.0, 1.0], abs=1e-4)
