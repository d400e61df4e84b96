"""The ``data`` commands as a user types them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from suite.cli.data import data_app
from suite.cli.main import app
from suite.errors import ConfigError, DataError


def call(*arguments: object, code: int = 0) -> str:
    result = CliRunner().invoke(data_app, [str(each) for each in arguments], catch_exceptions=False)
    assert result.exit_code == code, result.output
    return result.output


def test_manifest_then_verify(coop_root: Path, tmp_path: Path) -> None:
    frozen = tmp_path / "xtail.json.gz"
    said = call("manifest", "xtail", "--data-root", coop_root, "--file", frozen, "--set", "shots=2")
    assert "10 tasks" in said
    root = shutil.copytree(coop_root, tmp_path / "root")
    (root / "dtd" / "images" / "woven" / "woven_0003.jpg").unlink()
    said = call(
        *("verify", "xtail", "--data-root", root, "--manifest", frozen, "--set", "benchmark.shots=2", "--set", "draw_seed=1"),
        code=1,
    )
    assert "dtd: 1 of 47 test images missing" in said
    assert "settings: draw_seed is 1; the manifest was written with 0." in said
    assert "findings against the shipped facts and" in said


def write_own(root: Path, trees: object) -> Path:
    pictures = trees.jpegs()  # type: ignore[attr-defined]
    for part in ("train", "test"):
        for label in ("cat", "dog"):
            for number in range(4):
                path = root / "pets" / part / label / f"{number}.jpg"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(pictures[number])
    return root


def test_verify_says_when_all_is_well(tmp_path: Path, trees: object) -> None:
    root = write_own(tmp_path / "own", trees)
    frozen = tmp_path / "own.json"
    call("manifest", "image-folders", "--data-root", root, "--file", frozen)
    said = call("verify", "image-folders", "--data-root", root, "--manifest", frozen)
    assert said.strip() == f"image-folders: no findings against the shipped facts and {frozen}."


def write_plain(root: Path) -> Path:
    """Pictures of one colour each, no two alike."""
    for number, name in enumerate(
        f"{part}/{label}/{k}" for part in ("train", "test") for label in ("circle", "square") for k in range(4)
    ):
        path = root / "shapes" / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (9, 9), (number, 0, 0)).save(path)
    return root


def test_every_damaged_or_copied_picture_is_named(tmp_path: Path) -> None:
    root = write_plain(tmp_path / "own")
    common = ("image-folders", "--data-root", root)
    call("manifest", *common, "--file", tmp_path / "frozen.json")
    assert "no findings" in call("verify", *common)
    folder = root / "shapes" / "test" / "circle"
    one, two = folder / "0.png", root / "shapes" / "test" / "square" / "0.png"
    first = one.read_bytes()
    one.write_bytes(two.read_bytes())
    two.write_bytes(first)
    assert "no findings" in call("verify", *common)  # only somebody who has seen them before can know
    said = call("verify", *common, "--manifest", tmp_path / "frozen.json", code=1)
    assert "test: other bytes than the manifest's among its 8 images" in said
    shutil.copy(root / "shapes" / "train" / "square" / "1.png", folder / "renamed.png")
    (folder / "1.png").write_bytes((folder / "1.png").read_bytes()[:50])
    (folder / "2.png").write_bytes(b"")
    said = call("verify", *common, code=1)
    assert "2 of 9 test images damaged" in said
    assert "circle/1.png: cannot be read as an image" in said
    assert "circle/2.png: cannot be read as an image (no known format)" in said
    assert "1 test image also in training or validation, byte for byte: test/circle/renamed.png = train/square/1.png" in said
    with pytest.raises(DataError, match=r"circle/1\.png: cannot be read .* \(2 such images in all\)\.$"):
        call("manifest", *common, "--file", tmp_path / "again.json")
    assert not (tmp_path / "again.json").exists()


@pytest.mark.parametrize("cached", ["false", "true"])
def test_a_run_notes_test_pictures_that_it_was_trained_on(tmp_path: Path, image_cache: Path, cached: str) -> None:
    root = write_plain(tmp_path / "own")
    shutil.copy(root / "shapes" / "train" / "square" / "1.png", root / "shapes" / "test" / "square" / "renamed.png")
    ask = ["run", "image-folders", "--method", "zero-shot", "--data-root", str(root), "--set", f"benchmark.cached={cached}"]
    result = CliRunner().invoke(app, [*ask, "--out", str(tmp_path / "out"), "--tracking", "none"], catch_exceptions=False)
    assert "1 of 9 test examples also in training" in result.output
    record = json.loads(next((tmp_path / "out").glob("runs/*/record.json")).read_text())
    assert record["results"][1]["facts"]["test_copies"] == 1


def test_cache_says_its_size_first_then_builds_and_checks(tmp_path: Path, trees: object, image_cache: Path) -> None:
    root = write_own(tmp_path / "own", trees)
    common = ("cache", "image-folders", "--data-root", root, "--set", "image_size=16")
    said = call(*common, "--plan")
    assert "image-folders-pets-test: 8 images, 0.0 MB, to decode" in said
    assert f"16 images to decode, 0.0 MB in {image_cache}" in said
    assert not image_cache.exists()
    assert "3 caches are ready." in call(*common)
    said = call(*common, "--check")
    assert "0 images to decode" in said
    assert "all checksums are right." in said
    pixels = next(image_cache.rglob("*test*/pixels.u8"))
    pixels.write_bytes(b"\0" + pixels.read_bytes()[1:] if pixels.read_bytes()[:1] != b"\0" else b"\1" + pixels.read_bytes()[1:])
    with pytest.raises(DataError, match="1 chunk is damaged, the first from"):
        call(*common, "--check")
    call(*common, "--rebuild", "--check")


def test_outdated_cache_is_refused_until_it_is_rebuilt(tmp_path: Path, trees: object, image_cache: Path) -> None:
    root = write_own(tmp_path / "own", trees)
    common = ("cache", "image-folders", "--data-root", root)
    call(*common)
    index = next(image_cache.rglob("*test*/index.json"))
    index.write_text(json.dumps({**json.loads(index.read_text()), "version": 0}))
    with pytest.raises(DataError, match="was built by cache version 0"):
        call(*common)
    call(*common, "--rebuild")


def test_pull_without_network_says_what_to_do(tmp_path: Path) -> None:
    said = call("pull", "eurosat", "--data-root", tmp_path, "--from", "file:///nowhere", code=1)
    assert said.startswith("eurosat: missing: EuroSAT.zip: no address answers")
    assert f"save it as {tmp_path}/downloads/eurosat/EuroSAT.zip" in said


def test_names_and_fields_are_checked(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="nearest: 'xtail'"):
        call("verify", "xtial")
    with pytest.raises(ConfigError, match="has no list of images"):
        call("manifest", "mini-mtil", "--file", tmp_path / "m.json")
    with pytest.raises(ConfigError, match="order"):
        call("verify", "xtail", "--set", "order=III")
    for option in ("--rebuild", "--check"):
        with pytest.raises(ConfigError, match=f"--plan only counts, so {option} would do nothing"):
            call("cache", "xtail", "--plan", option)


def test_mistake_is_one_line_and_exit_code_two(tmp_path: Path, repository: Path) -> None:
    command = [sys.executable, "-m", "suite.cli.main", "data", "verify", "xtial"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=repository, env={**os.environ})
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("codyra-suite data verify: 'xtial' is not a benchmark")
