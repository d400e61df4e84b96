"""What herding takes."""

from __future__ import annotations

import torch

from baselines.herding import herded


def test_herding_by_hand() -> None:
    """Mean 2.5: 3 is nearest; 3 with 2 has mean 2.5; then 0 leaves 5/3 and 5 leaves 10/3, both 5/6 away, and the first is taken."""
    assert herded(torch.tensor([[0.0], [5.0], [3.0], [2.0]]), 3).tolist() == [2, 3, 0]
    assert herded(torch.tensor([[1.0, 0.0], [0.0, 1.0]]), 9).tolist() == [0, 1]


def test_herding_is_greedy() -> None:
    f = torch.nn.functional.normalize(torch.randn(30, 6, generator=torch.Generator().manual_seed(0)), dim=1)
    taken: list[int] = []
    for _ in range(12):
        left = [i for i in range(30) if i not in taken]
        taken.append(min(left, key=lambda i: float((f.double().mean(0) - f.double()[[*taken, i]].mean(0)).norm())))
    assert herded(f, 12).tolist() == taken
