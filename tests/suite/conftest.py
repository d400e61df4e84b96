"""Data roots in the real on-disk layouts, written once per test run; an image cache of the test's own; what a terminal of some width shows."""

from __future__ import annotations

import importlib
import importlib.util
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

from suite.benchmarks.text_scores import TEXT_SCORES
from suite.metrics.conventions import METRICS
from suite.registry import BACKBONES, BENCHMARKS, METHODS, SPACES
from suite.runs import import_closure
from suite.runs.identity import code_hash
from suite.tracking.trackers import TRACKERS


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


@pytest.fixture
def forgotten() -> Iterator[Callable[[], None]]:
    """Call it to make this process see outside packages as a new process would; done once more after the test."""

    def forget() -> None:
        importlib.invalidate_caches()
        for table in (METHODS, BENCHMARKS, BACKBONES, SPACES, METRICS, TEXT_SCORES, TRACKERS):
            vars(table).pop("_found", None)
        for name in [name for name in sys.modules if name.partition(".")[0] in ("outsider", "besides")]:
            del sys.modules[name]
        for memory in (code_hash, import_closure._places, import_closure._is_followed, import_closure._libraries):
            memory.cache_clear()

    yield forget
    forget()


@pytest.fixture
def installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, forgotten: Callable[[], None]
) -> Callable[[dict[str, str]], Path]:
    """``installed({name: text})``: outside packages on the path of this process; returns their folder."""

    def install(files: dict[str, str]) -> Path:
        site = tmp_path / "installed"
        for name, text in files.items():
            (site / name).parent.mkdir(parents=True, exist_ok=True)
            (site / name).write_text(text)
        monkeypatch.syspath_prepend(str(site))
        monkeypatch.setattr(sys, "dont_write_bytecode", True)
        forgotten()
        return site

    return install
