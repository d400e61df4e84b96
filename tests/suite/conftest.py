"""Data roots in the real on-disk layouts, written once per test run; an image cache of the test's own; what a terminal of some width shows."""

from __future__ import annotations

import importlib.util
import re
import shutil
import sys
from collections.abc import Callable
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


@pytest.fixture(scope="session")
def small_runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An output folder with two finished runs on two domains, ``zero-shot`` seed 0 and ``lora`` seed 1; read only."""
    import suite

    out = tmp_path_factory.mktemp("small") / "out"
    settings = {"benchmark.domains": ["shapes", "digits"], "benchmark.shots": 2, "training.steps": 2, "training.batch_size": 4}
    for seed, method in enumerate(("zero-shot", "lora")):
        suite.run("mini-mtil", method=method, seed=seed, settings=settings, out=out, tracking="none")
    return out


@pytest.fixture
def some_runs(small_runs: Path, tmp_path: Path) -> Path:
    """A copy of ``small_runs`` that a test may change: ``codyra-runs`` in its own folder."""
    return Path(shutil.copytree(small_runs, tmp_path / "codyra-runs"))


@pytest.fixture
def image_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache folder that the suite uses for the length of a test."""
    monkeypatch.setenv("CODYRA_SUITE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def show(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., list[str]]:
    """Lines that ``call`` prints on a terminal of ``width`` columns, or into a pipe (None)."""

    def lines(call: Callable[[], None], width: int | None) -> list[str]:
        capsys.readouterr()
        with monkeypatch.context() as patch:
            patch.setattr(sys.stdout, "isatty", lambda: width is not None)
            for name, value in {"COLUMNS": str(width or 80), "LINES": "25", "TERM": "xterm"}.items():
                patch.setenv(name, value)
            call()
        return re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out).splitlines()

    return lines
