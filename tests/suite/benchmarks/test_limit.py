"""``benchmark.limit``: the same on every benchmark, nested, part of identity and of the setting, applied before images are read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import suite
from suite.benchmarks.image_folders import ImageFoldersConfig
from suite.benchmarks.manifest import manifest_of, verify
from suite.benchmarks.stream import ImageTask, Stream
from suite.config import RunConfig, validate
from suite.data.examples import SPLITS
from suite.data.limit import first_rows
from suite.errors import ConfigError, DataError
from suite.leaderboard.protocols import protocol_of
from suite.registry import BENCHMARKS
from suite.runs.identity import run_id
from suite.runs.record import setting_text
from suite.workflows.configs import comparison, run_config
from suite.workflows.sweeping import sweep_config

FEW: dict[str, dict[str, Any]] = {  # so that each stream is read in a moment
    **{name: {"domains": ["shapes", "digits"], "shots": 8} for name in ("mini-mtil", "mini-xtail")},
    **{name: {"tasks": ["dtd", "mnist"], "image_size": 16} for name in ("mtil", "mtil-5shot", "mtil-16shot", "xtail")},
    "image-folders": {"image_size": 16},
    "text-folders": {"metrics": {"FOMC": "accuracy"}},
    **{name: {"folder": ".", "tasks": ["FOMC"]} for name in ("trace", "trace-500")},
    "standard-cl": {"folder": ".", "tasks": ["agnews"]},
}
SMALL = {"benchmark.domains": ["shapes", "digits"], "benchmark.shots": 4, "training.steps": 2, "training.batch_size": 4}


@pytest.fixture(scope="module")
def own_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two image domains of three classes, eight training and four test pictures each, and two text tasks, in one folder each."""
    root = tmp_path_factory.mktemp("own")
    generator = np.random.default_rng(3)
    for place in (f"images/{d}/{p}/{c}" for d in ("day", "night") for p in ("train", "test") for c in ("cat", "dog", "owl")):
        (root / place).mkdir(parents=True)
        for number in range(8 if "/train/" in place else 4):
            pixels = generator.integers(0, 256, (20, 20, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(root / place / f"{number}.png")
    for name in ("FOMC", "agnews"):
        (root / "texts" / name).mkdir(parents=True)
        for part in ("train", "eval", "test"):
            rows = ", ".join(f'{{"prompt": "{part} {name} {number}", "answer": "A"}}' for number in range(9))
            (root / "texts" / name / f"{part}.json").write_text(f"[{rows}]")
    return root


@pytest.fixture
def opened(own_root: Path, torchvision_root: Path, coop_root: Path, image_cache: Path) -> Callable[[str, int | None], Stream]:
    """The stream of a benchmark with a limit, over the tree that it reads."""

    def open_it(name: str, limit: int | None) -> Stream:
        config = validate(BENCHMARKS[name], {"name": name, "limit": limit, **FEW.get(name, {})}, where=name)
        trees = {"mtil": torchvision_root, "xtail": coop_root, "image-folders": own_root / "images"}
        return config.open(trees.get(name.partition("-")[0], trees.get(name, own_root / "texts")))

    return open_it


@pytest.mark.parametrize("name", sorted(BENCHMARKS))
def test_every_benchmark_keeps_the_first_rows_of_every_split(name: str, opened: Callable[[str, int | None], Stream]) -> None:
    more, few = opened(name, 6), opened(name, 4)
    assert "limit 4" in setting_text(few.setting) and "limit 6" in setting_text(more.setting)
    assert few.fingerprint() != more.fingerprint()
    for large, small in zip(more.tasks, few.tasks, strict=True):
        for split in SPLITS:
            kept, wider = getattr(small, split), getattr(large, split)
            assert len(kept) == 4 and len(wider) <= 6, split
            assert not Counter(kept.ids) - Counter(wider.ids)  # X-TAIL repeats images
            if isinstance(small, ImageTask):
                assert kept.pixels.shape[0] == 4
                classes = set(kept.labels.tolist())
                assert len(classes) == min(4, len(set(wider.labels.tolist())))


def test_every_class_comes_before_a_second_example_of_any() -> None:
    labels = np.repeat(np.arange(3), 4)
    assert first_rows(labels, 5).tolist() == [0, 1, 4, 5, 8]
    assert first_rows(labels, 3).tolist() == [0, 4, 8]
    assert first_rows(labels, 100).tolist() == list(range(12))
    assert first_rows(np.array([2, 2, 0, 2, 0]), 3).tolist() == [0, 1, 2]


@pytest.mark.parametrize("cached", [False, True])
def test_what_the_limit_leaves_out_is_never_decoded_or_cached(own_root: Path, image_cache: Path, cached: bool) -> None:
    """All pictures but those that a limit of 3 keeps are replaced by what is no picture."""
    fields: dict[str, Any] = {"image_size": 16, "cached": cached}
    limited = ImageFoldersConfig(limit=3, **fields)
    whole = manifest_of(limited, own_root / "images")
    used = {(task.name, item) for task in whole.tasks for split in task.splits.values() for item in split.ids}
    assert len(used) == 2 * 3 * 3
    damaged = {path: path.read_bytes() for path in (own_root / "images").rglob("*.png") if not _is_used(path, used)}
    try:
        for path in damaged:
            path.write_bytes(b"no picture")
        assert verify(limited, own_root / "images", whole) == []
        assert {len(task.test) for task in limited.open(own_root / "images").tasks} == {3}
        with pytest.raises(DataError, match="png"):
            ImageFoldersConfig(**fields).open(own_root / "images")
    finally:
        for path, content in damaged.items():
            path.write_bytes(content)


def _is_used(path: Path, used: set[tuple[str, str]]) -> bool:
    return any(f"/{task}/" in path.as_posix() and path.as_posix().endswith(item) for task, item in used)


def test_a_config_without_a_limit_is_what_it_was_and_one_with_it_is_another_run() -> None:
    plain, null, few = (
        run_config("mini-mtil", method="lora", settings=settings)
        for settings in ((), ["benchmark.limit=null"], {"benchmark.limit": 9})
    )
    assert "limit" not in plain.resolved()["benchmark"] and "limit" not in plain.identity()["benchmark"]
    assert null == plain and null.config_hash() == plain.config_hash()
    assert few.resolved()["benchmark"]["limit"] == 9
    assert validate(RunConfig, few.resolved(), where="again") == few
    assert len({plain.settings_hash(), few.settings_hash()}) == 2
    assert run_id(plain, "data") == run_id(null, "data") != run_id(few, "data")


def test_the_option_reaches_run_compare_and_plan(tmp_path: Path) -> None:
    assert run_config("mini-mtil", limit=5).benchmark.limit == 5
    assert run_config("mini-mtil", limit=5, settings=["benchmark.limit=7"]).benchmark.limit == 7  # as with --seed
    assert {one.benchmark.limit for one in comparison(["mini-mtil", "mini-trace"], ["lora"], [0], [], limit=5)} == {5}
    fields = {"name": "few", "run": {"benchmark": "mini-mtil"}, "space": "codyra-quick"}
    assert sweep_config(fields, 5).run["benchmark"] == {"name": "mini-mtil", "limit": 5}
    assert fields["run"] == {"benchmark": "mini-mtil"}
    (tmp_path / "few.yaml").write_text("run: {benchmark: {name: mini-mtil, limit: 3}}\nspace: codyra-quick\n")
    assert sweep_config(tmp_path / "few.yaml").run["benchmark"]["limit"] == 3
    assert sweep_config(tmp_path / "few.yaml", 8).run["benchmark"]["limit"] == 8


@pytest.mark.parametrize("value", ["0", "-3", "2.5", "true", "many", "[4]", "1e400", "9007199254740994"])
def test_a_limit_that_is_no_number_of_rows_is_one_sentence(value: str) -> None:
    with pytest.raises(ConfigError, match=r"benchmark\.limit: ") as caught:
        run_config("mini-trace", settings=[f"benchmark.limit={value}"])
    assert "\n" not in str(caught.value)


def test_a_run_shows_its_limit_and_is_no_reproduction(tmp_path: Path) -> None:
    done = suite.run("mini-mtil", method="lora", settings=SMALL, limit=3, out=tmp_path, tracking="none")
    assert {len(scores) for scores in done.outcomes().values()} == {3}
    board = suite.leaderboard(out=tmp_path, tracking="none")
    assert board["setting"].tolist() == ["order given, shots 4, tasks 2, limit 3"]
    protocol = protocol_of("xtail", "CoDyRA")
    assert protocol is not None
    assert "benchmark.limit 3 (published without)" in protocol.differences(done.record)


def test_nothing_builds_a_stream_past_the_limit(repository: Path) -> None:
    files = [path for package in ("suite", "trainables", "baselines") for path in (repository / package).rglob("*.py")]
    assert [path.name for path in files if "benchmark.build(" in path.read_text(encoding="utf-8")] == []
