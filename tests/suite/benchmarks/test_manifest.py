"""Manifests: equal on two machines, and every planted fault is found and named."""

from __future__ import annotations

import gzip
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from suite.benchmarks.manifest import Finding, Manifest, manifest_of, read_manifest, verify, write_manifest
from suite.benchmarks.mtil import Mtil5ShotConfig
from suite.benchmarks.xtail import XtailConfig
from suite.errors import DataError

CONFIG = XtailConfig(shots=2)


@pytest.fixture(scope="module")
def manifest(coop_root: Path) -> Manifest:
    return manifest_of(CONFIG, coop_root)


def frozen_findings(config: XtailConfig, root: Path, manifest: Manifest) -> list[Finding]:
    """Findings without those about the tree's size, which the shipped facts rightly complain of."""
    return [finding for finding in verify(config, root, manifest) if "part on disk" not in finding.what]


@pytest.fixture
def root(coop_root: Path, tmp_path: Path) -> Path:
    return shutil.copytree(coop_root, tmp_path / "root")


@pytest.mark.parametrize("name", ["xtail.json", "xtail.json.gz"])
def test_written_and_read_back(manifest: Manifest, tmp_path: Path, name: str) -> None:
    write_manifest(manifest, tmp_path / name)
    assert read_manifest(tmp_path / name) == manifest


def test_another_machine_agrees(manifest: Manifest, root: Path) -> None:
    assert manifest_of(CONFIG, root) == manifest
    assert frozen_findings(CONFIG, root, manifest) == []


def test_shipped_facts_notice_what_is_missing_of_the_real_sets(coop_root: Path) -> None:
    found = verify(CONFIG, coop_root)
    assert Finding("aircraft", "the test part on disk has 100 images instead of 3333 (official)") in found
    assert {finding.task for finding in found} == set(CONFIG.task_names(coop_root))


@pytest.mark.parametrize("fields", [{"mnist_double_wrap": False}, {"underscore_to_space": True}, {"prompts": "rail-generic"}])
def test_every_reading_of_the_names_agrees_with_the_shipped_facts(coop_root: Path, fields: dict[str, Any]) -> None:
    config = XtailConfig.model_validate({"shots": 2, **fields})
    assert [finding for finding in verify(config, coop_root) if "part on disk" not in finding.what] == []


def missing_file(root: Path) -> tuple[str, str]:
    (root / "dtd" / "images" / "woven" / "woven_0003.jpg").unlink()
    return "dtd", r"1 of 47 test images missing: .*woven_0003\.jpg"


def edit_split(path: Path, edit: Callable[[dict[str, list[list[object]]]], None]) -> None:
    split = json.loads(path.read_text())
    edit(split)
    path.write_text(json.dumps(split))


def swapped_label(root: Path) -> tuple[str, str]:
    def swap(split: dict[str, list[list[object]]]) -> None:
        one, two = split["test"][0], split["test"][1]
        one[1], one[2], two[1], two[2] = two[1], two[2], one[1], one[2]

    edit_split(root / "oxford_flowers" / "split_zhou_OxfordFlowers.json", swap)
    return "oxford_flowers", r"test: 2 labels other than the manifest's: image_\d+\.jpg has label 1 instead of 0"


def label_against_its_folder(root: Path) -> tuple[str, str]:
    def swap(split: dict[str, list[list[object]]]) -> None:
        one, two = split["test"][0], split["test"][1]
        one[1], one[2], two[1], two[2] = two[1], two[2], one[1], one[2]

    edit_split(root / "food-101" / "split_zhou_Food101.json", swap)
    return "food101", r"test gives 'apple_pie/\d+\.jpg' label 1, but 'apple_pie/0\.jpg' of the same class has label 0"


def other_picture(root: Path) -> tuple[str, str]:
    one, two = (root / "dtd" / "images" / name / f"{name}_0003.jpg" for name in ("woven", "banded"))
    first = one.read_bytes()
    one.write_bytes(two.read_bytes())
    two.write_bytes(first)
    return "dtd", "test: other bytes than the manifest's among its 47 images: replaced or exchanged files"


def damaged(root: Path) -> tuple[str, str]:
    folder = root / "dtd" / "images" / "woven"
    (folder / "woven_0003.jpg").write_bytes(b"")
    return "dtd", r"1 of 47 test images damaged: .*woven_0003\.jpg: cannot be read as an image \(no known format\)"


def copied(root: Path) -> tuple[str, str]:
    shutil.copy(root / "dtd/images/woven/woven_0003.jpg", root / "dtd/images/banded/banded_0001.jpg")
    return (
        "dtd",
        r"1 test image also in training or validation, byte for byte: woven/woven_0003\.jpg = banded/banded_0001\.jpg",
    )


def moved_to_test(root: Path) -> tuple[str, str]:
    edit_split(
        root / "oxford_pets" / "split_zhou_OxfordPets.json",
        lambda split: split["test"].append(split["train"].pop(0)),
    )
    return "oxford_pets", r"test: 1 image drawn that the manifest lacks: Abyssinian_1\.jpg"


def renamed_class(root: Path) -> tuple[str, str]:
    path = root / "fgvc_aircraft" / "variants.txt"
    for each in (root / "fgvc_aircraft").glob("*.txt"):
        each.write_text(each.read_text().replace("Yak-42", "Yak 42"))
    assert "Yak 42" in path.read_text()
    return "aircraft", "class names: number 99 is 'Yak 42' instead of 'Yak-42'"


def swapped_digit_labels(root: Path) -> tuple[str, str]:
    path = root / "MNIST" / "raw" / "t10k-labels-idx1-ubyte"
    data = bytearray(path.read_bytes())
    data[8] = (data[8] + 1) % 10
    path.write_bytes(bytes(data))
    return "mnist", r"test: 1 label other than the manifest's: t10k/00000 has label"


def other_order(root: Path) -> tuple[str, str]:
    edit_split(root / "dtd" / "split_zhou_DescribableTextures.json", lambda split: split["test"].reverse())
    return "dtd", "test: the same images come in another order"


def lost_split_file(root: Path) -> tuple[str, str]:
    (root / "sun397" / "split_zhou_SUN397.json").unlink()
    return "sun397", r"data set 'sun397' is incomplete: lacks split_zhou_SUN397\.json"


FAULTS = [
    missing_file,
    other_picture,
    damaged,
    copied,
    label_against_its_folder,
    swapped_label,
    moved_to_test,
    renamed_class,
    swapped_digit_labels,
    other_order,
    lost_split_file,
]


@pytest.mark.parametrize("plant", FAULTS, ids=lambda plant: plant.__name__)
def test_planted_faults_are_found(root: Path, manifest: Manifest, plant: Callable[[Path], tuple[str, str]]) -> None:
    task, message = plant(root)
    found = frozen_findings(CONFIG, root, manifest)
    assert any(finding.task == task and re.search(message, finding.what) for finding in found), found
    assert {finding.task for finding in found} == {task}


@pytest.mark.parametrize(
    ("name", "file"), [("dtd", "dtd/split_zhou_DescribableTextures.json"), ("sun397", "sun397/split_zhou_SUN397.json")]
)
def test_classes_renamed_or_exchanged_throughout_a_split_file_are_found_without_a_manifest(
    root: Path, name: str, file: str
) -> None:
    path = next(root.rglob(Path(file).name))
    split = json.loads(path.read_text())
    spoken = {row[1]: row[2] for row in split["test"]}
    for rows in split.values():
        for row in rows:
            row[2] = spoken[{0: 1, 1: 0}.get(row[1], row[1])]
    path.write_text(json.dumps(split))
    found = [finding.what for finding in verify(CONFIG, root) if finding.task == name]
    assert any(re.search(f"class 0 is named '{spoken[1]}' but its images are of", what) for what in found), found


def test_all_faults_are_found_together(root: Path, manifest: Manifest) -> None:
    planted = {plant(root)[0] for plant in (missing_file, swapped_label, swapped_digit_labels, lost_split_file)}
    assert {finding.task for finding in frozen_findings(CONFIG, root, manifest)} == planted


def test_other_seed_is_found_as_setting_and_as_draw(coop_root: Path, manifest: Manifest) -> None:
    found = frozen_findings(XtailConfig(shots=2, draw_seed=1), coop_root, manifest)
    assert Finding("settings", "draw_seed is 1; the manifest was written with 0") in found
    assert any(finding.task == "mnist" and "train: " in finding.what for finding in found)


def test_other_template_and_order_are_found(coop_root: Path, manifest: Manifest) -> None:
    found = frozen_findings(XtailConfig(shots=2, prompts="rail-generic"), coop_root, manifest)
    what = "training templates: number 0 is 'a photo of a {}.' instead of '{} texture.'"
    assert Finding("dtd", what) in found
    order = frozen_findings(XtailConfig(shots=2, order="II"), coop_root, manifest)
    assert any(finding.task == "stream" and "stanford_cars, aircraft" in finding.what for finding in order)


def test_mtil_manifest_finds_another_random_split(torchvision_root: Path, tmp_path: Path) -> None:
    manifest = manifest_of(Mtil5ShotConfig(), torchvision_root)
    root = shutil.copytree(torchvision_root, tmp_path / "root")
    (root / "eurosat" / "2750" / "Forest" / "Forest_3.jpg").unlink()  # one file less shuffles the whole 0.8 split
    found = [finding for finding in verify(Mtil5ShotConfig(), root, manifest) if "instead of" not in finding.what]
    assert {finding.task for finding in found} == {"eurosat"}
    assert any("of the manifest not drawn" in finding.what for finding in found)


def test_manifest_files_that_cannot_be_used(manifest: Manifest, tmp_path: Path) -> None:
    path = tmp_path / "manifest.json"
    with pytest.raises(DataError, match="there is no such file"):
        read_manifest(path)
    path.write_text("{}")
    with pytest.raises(DataError, match="is not a manifest"):
        read_manifest(path)
    write_manifest(manifest, path)
    path.write_text(path.read_text().replace('"banded"', '"bandet"'))
    with pytest.raises(DataError, match="does not have the digest"):
        read_manifest(path)
    broken = tmp_path / "manifest.json.gz"
    whole = gzip.compress(b"{}")
    for content in (whole[:-4], whole[:10] + b"\x07" + whole[11:]):  # cut off; a kind of block that does not exist
        broken.write_bytes(content)
        with pytest.raises(DataError, match="is not a manifest"):
            read_manifest(broken)


def test_manifest_is_not_written_over_a_folder(manifest: Manifest, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"cannot be written \(Is a directory\)"):
        write_manifest(manifest, tmp_path)
    assert not list(tmp_path.parent.glob(f"{tmp_path.name}.*"))
