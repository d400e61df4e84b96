"""Data roots in the real on-disk layouts, written once per test run, and an image cache of the test's own."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest


def _load_trees() -> ModuleType:
    """``tests/trees.py``; tests are no package, so it is loaded by its path."""
    if "trees" not in sys.modules:
        spec = importlib.util.spec_from_file_location("trees", Path(__file__).resolve().parent.parent / "trees.py")
        assert spec is not None and spec.loader is not None
        sys.modules["trees"] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules["trees"])
    return sys.modules["trees"]


@pytest.fixture(scope="session")
def trees() -> ModuleType:
    return _load_trees()


@pytest.fixture(scope="session")
def torchvision_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All eleven MTIL sets as torchvision lays them out; read only."""
    root: Path = _load_trees().make_torchvision_root(tmp_path_factory.mktemp("torchvision"))
    return root


@pytest.fixture(scope="session")
def coop_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The ten X-TAIL sets as CoOp lays them out; read only."""
    root: Path = _load_trees().make_coop_root(tmp_path_factory.mktemp("coop"))
    return root


@pytest.fixture
def image_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache folder that the suite uses for the length of a test."""
    monkeypatch.setenv("CODYRA_SUITE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"
