"""Fixtures shared by all tests: where real data lies and a small embedded stream."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

REPOSITORY = Path(__file__).resolve().parent.parent
REAL_DATA = REPOSITORY.parent / "shared" / "data"


@pytest.fixture(autouse=True)
def _two_threads() -> None:
    torch.set_num_threads(2)


@pytest.fixture
def repository() -> Path:
    return REPOSITORY


@pytest.fixture
def real_data() -> Callable[[str], Path]:
    """``real_data("images_real")``: that folder of the real slices, or a skip that names what is missing."""

    def find(name: str) -> Path:
        folder = REAL_DATA / name
        if not folder.exists():
            pytest.skip(f"real data slice '{name}' is not beside the checkout (looked for {REAL_DATA.name}/{name})")
        return folder

    return find
