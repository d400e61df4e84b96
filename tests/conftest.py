"""Fixtures shared by all tests: where real data lies, a small embedded stream, and runs on it."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from suite.backbones.clip import MiniClipConfig
from suite.backbones.clip_learner import ClipLearner
from suite.benchmarks.mini import MiniMtilConfig, MiniXtailConfig
from suite.benchmarks.stream import LabelSpace, Stream
from suite.benchmarks.text_scores import TEXT_SCORES
from suite.config import RunConfig, validate
from suite.metrics.conventions import METRICS
from suite.parts import MethodConfig, TrainingConfig
from suite.randomness import RandomStreams
from suite.registry import BACKBONES, BENCHMARKS, METHODS, SPACES
from suite.runs import import_closure
from suite.runs.identity import code_hash
from suite.tracking.trackers import TRACKERS
from trainables.run import RunContext
from trainables.stream_trainer import StreamTrainer

REPOSITORY = Path(__file__).resolve().parent.parent
REAL_DATA = REPOSITORY.parent / "shared" / "data"
DOMAINS = ("shapes", "faces", "digits")

# Hypothesis fails examples that take long; on a busy machine any does.
with suppress(ImportError):  # the tests for a GPU do without, where a cluster has pytest alone
    import hypothesis

    hypothesis.settings.register_profile("untimed", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
    hypothesis.settings.load_profile("untimed")


@pytest.fixture(autouse=True, scope="session")
def _one_thread_from_the_start() -> None:
    """Fixtures of wider scope learn too: all of a session's runs sum in the same order."""
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _one_thread_again() -> Iterator[None]:
    """A test that sets the number of threads does so for itself alone."""
    yield
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def terminal() -> ModuleType:
    """``tests/terminal.py``, which runs commands under a pseudo-terminal; tests are no package, so it is loaded by its path."""
    if "terminal" not in sys.modules:
        spec = importlib.util.spec_from_file_location("terminal", Path(__file__).resolve().parent / "terminal.py")
        assert spec is not None and spec.loader is not None
        sys.modules["terminal"] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules["terminal"])
    return sys.modules["terminal"]


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


@pytest.fixture(scope="session")
def mini_stream() -> Stream:
    """Three embedded domains, four training images per class, judged within the task."""
    return MiniMtilConfig(domains=DOMAINS, shots=4).stream(LabelSpace.TASK)


@pytest.fixture(scope="session")
def union_stream() -> Stream:
    """The same, judged over all classes."""
    return MiniXtailConfig(domains=DOMAINS, shots=4).stream(LabelSpace.UNION)


@pytest.fixture
def learner(mini_stream: Stream) -> ClipLearner:
    """The shipped CLIP on the small stream."""
    built = MiniClipConfig().build(mini_stream, torch.device("cpu"))
    assert isinstance(built, ClipLearner)
    return built


@pytest.fixture
def make_trainer(mini_stream: Stream) -> Callable[..., StreamTrainer]:
    """``make_trainer(method config, stream=..., seed=..., plain=..., **training)``: a trainer over a fresh network."""

    def make(
        config: MethodConfig, *, stream: Stream = mini_stream, seed: int = 0, plain: bool = False, **training: Any
    ) -> StreamTrainer:
        budget = TrainingConfig(**{"steps": 8, "batch_size": 8, "lr": 3e-3, **training})
        built = MiniClipConfig().build(stream, torch.device("cpu"))
        return StreamTrainer(built, config.build(), budget, RandomStreams(seed), plain=plain)

    return make


@pytest.fixture(scope="session")
def make_config() -> Callable[..., RunConfig]:
    """``make_config("codyra", seed=1, rank=4)``: a quick run on the small stream."""

    def make(method: str, *, seed: int = 0, training: dict[str, Any] | None = None, **fields: Any) -> RunConfig:
        quick = {"kappa_levels": 3} if method == "codyra" else {}
        return validate(
            RunConfig,
            {
                "benchmark": {"name": "mini-mtil", "domains": list(DOMAINS), "shots": 4},
                "method": {"name": method, **quick, **fields},
                "training": {"steps": 8, "batch_size": 8, **(training or {})},
                "seed": seed,
            },
            where="test",
        )

    return make


@pytest.fixture
def run_context(tmp_path: Path) -> RunContext:
    return RunContext(tmp_path / "out", tmp_path / "data", "cpu")


@pytest.fixture
def forgotten() -> Iterator[Callable[[], None]]:
    """Call it to make this process see outside packages as a new process would; done once more after the test."""

    def forget() -> None:
        importlib.invalidate_caches()
        for table in (METHODS, BENCHMARKS, BACKBONES, SPACES, METRICS, TEXT_SCORES, TRACKERS):
            vars(table).pop("_found", None)
        for name in [name for name in sys.modules if name.partition(".")[0] in ("outsider", "besides")]:
            del sys.modules[name]
        for memory in (code_hash, import_closure._places, import_closure._is_followed, import_closure._installed):
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
