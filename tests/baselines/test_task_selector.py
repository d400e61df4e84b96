"""The selector: which autoencoder an image belongs to, and when to none."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from baselines.task_selector import Selector, errors


def test_the_selector_by_hand() -> None:
    """One line per task through its mean: (3, 0) lies on the first's, (5, 3) on the second's, (0, 9) on none."""
    selector = Selector(2, torch.device("cpu"))
    selector.means = torch.tensor([[0.0, 0.0], [5.0, 5.0]])
    selector.codes = [torch.tensor([[1.0], [0.0]]), torch.tensor([[0.0], [1.0]])]
    selector.bounds = torch.tensor([1.0, 4.0])
    z = torch.tensor([[3.0, 0.0], [5.0, 3.0], [0.0, 9.0]])
    assert [errors(z, mean, code).tolist() for mean, code in zip(selector.means, selector.codes, strict=True)] == [
        [0.0, 9.0, 81.0],
        [4.0, 0.0, 25.0],
    ]
    assert selector.tasks_of(z, together=False).tolist() == [0, 1, -1]
    assert selector.tasks_of(z, together=True).tolist() == [-1, -1, -1]  # mean errors 30 and 29 / 3, above 4
    assert selector.tasks_of(z[:2], together=True).tolist() == [1, 1]  # 4.5 and 2


def test_the_bound_is_that_of_images_left_out() -> None:
    """Images of a plane in eight dimensions, some noise: at most 5 % of new ones lie above the bound, the half of the fit below."""
    generator = torch.Generator().manual_seed(0)
    plane = torch.randn(2, 8, generator=generator)

    def images(count: int) -> Tensor:
        return torch.randn(count, 2, generator=generator) @ plane + 0.1 * torch.randn(count, 8, generator=generator)

    selector = Selector(8, torch.device("cpu"))
    selector.learn(images(400), 100, 0.95)
    assert selector.codes[0].shape == (8, 2)  # a quarter of the features
    assert torch.allclose(selector.codes[0].T @ selector.codes[0], torch.eye(2), atol=1e-6)
    share = float((selector.tasks_of(images(2000), together=False) == 0).double().mean())
    assert share == pytest.approx(0.95, abs=0.03)
    assert selector.tasks_of(5 * torch.randn(50, 8, generator=generator), together=False).tolist() == [-1] * 50
