"""The mixture against its formula, row by row."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from suite.lowrank.experts import Experts


def experts(*, by_token: bool = True, dropout: float = 0.0) -> Experts:
    generator = torch.Generator().manual_seed(0)
    part = Experts(6, 5, 3, generator, top=2, scale=0.5, dropout=dropout, by_token=by_token)
    for _ in range(2):
        part.add_router()
    for parameter in part.parameters():
        parameter.data.normal_(generator=generator)
    return part.eval()


def by_hand(part: Experts, y: Tensor, x: Tensor, task: int) -> Tensor:
    """One row: y and x (tokens, in)."""
    gate = part.gates[task]
    logits = (x[0] @ gate if part.by_token else gate).detach()
    best = sorted(range(5), key=lambda e: -float(logits[e]))[:2]
    shares = torch.stack([logits[e] for e in best]).softmax(0)
    for share, e in zip(shares, best, strict=True):
        y = y + 0.5 * share * ((x @ part.down[e].T + part.down_bias[e]).relu() @ part.up[e] + part.up_bias[e])
    return y


@pytest.mark.parametrize("by_token", [True, False])
def test_every_row_is_mixed_by_its_own_router(by_token: bool) -> None:
    part = experts(by_token=by_token)
    x, y = torch.randn(2, 4, 7, 6, generator=torch.Generator().manual_seed(1))
    part.rows = torch.tensor([0, 1, -1, 1])
    expected = [y[i] if task < 0 else by_hand(part, y[i], x[i], task) for i, task in enumerate(part.rows.tolist())]
    assert torch.allclose(part(y, x), torch.stack(expected), atol=1e-5)
    part.rows, part.asked = None, 1
    assert torch.allclose(part(y, x), torch.stack([by_hand(part, y[i], x[i], 1) for i in range(4)]), atol=1e-5)
    part.asked = -1
    assert part(y, x) is y


def test_training_adds_noise_counts_choices_and_teaches_the_current_router_alone() -> None:
    part = experts().train()
    part.current = 1
    x = torch.randn(8, 3, 6, generator=torch.Generator().manual_seed(1))
    torch.manual_seed(0)
    one = part(x, x)
    assert not torch.equal(one, part(x, x))
    assert float(part.use.sum()) == 2 * 2 * 8
    one.square().sum().backward()  # type: ignore[no-untyped-call]
    assert float(part.gates[1].grad.norm()) > 0 and float(part.noises[1].grad.norm()) > 0  # type: ignore[union-attr]
    assert part.gates[0].grad is None and not part.gates[0].requires_grad
    part.freeze(torch.tensor([3]))
    assert [part.down[e].requires_grad for e in range(5)] == [True, True, True, False, True]


def test_it_begins_as_nothing() -> None:
    part = Experts(6, 5, 3, torch.Generator(), top=2, scale=0.1, dropout=0.1, by_token=True)
    part.add_router()
    part.current = 0
    x, y = torch.randn(2, 2, 3, 6)
    assert torch.equal(part(y, x), y)
