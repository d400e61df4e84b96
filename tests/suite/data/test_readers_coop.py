"""The X-TAIL readers: CoOp's split files in CoOp's and in torchvision's folders, and malformed split files."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from suite.data.image_facts import class_facts, stream_facts
from suite.data.items import ImageItems
from suite.data.readers_coop import SPLIT_FILES, read_coop
from suite.errors import DataError

ORDER = stream_facts("xtail")["orders"]["I"]
UNSPELLED = ("sun397", "eurosat", "mnist")  # names shipped in another form, see facts/xtail_classes.json


def listing(items: ImageItems | None) -> list[tuple[str, int]]:
    return [] if items is None else list(zip(items.ids, items.labels.tolist(), strict=True))


@pytest.mark.parametrize("name", SPLIT_FILES)
def test_split_file_is_taken_row_by_row(coop_root: Path, name: str) -> None:
    image_set = read_coop(coop_root, name)
    path = next(coop_root.rglob(SPLIT_FILES[name].file))
    split = json.loads(path.read_text())
    assert listing(image_set.train) == [(item, label) for item, label, _ in split["train"]]
    assert listing(image_set.validation) == [(item, label) for item, label, _ in split["val"]]
    assert listing(image_set.test) == [(item, label) for item, label, _ in split["test"]]
    assert all(image_set.class_names[label] == spoken for _, label, spoken in split["test"])
    for item in image_set.test.ids[:3]:
        assert Path(image_set.test.source.where(item)).is_file()


@pytest.mark.parametrize("name", ORDER)
def test_names_and_class_counts(coop_root: Path, name: str) -> None:
    image_set = read_coop(coop_root, name)
    assert image_set.classes == stream_facts("xtail")["sets"][name]["classes"]
    if name not in UNSPELLED:
        assert list(image_set.class_names) == class_facts("xtail")[name]["names"]


@pytest.mark.parametrize("name", ["caltech101", "dtd", "oxford_flowers", "oxford_pets", "sun397", "stanford_cars"])
def test_split_files_beside_torchvisions_folders(torchvision_root: Path, coop_root: Path, tmp_path: Path, name: str) -> None:
    """The layout of MoRAM's loaders: torchvision's folder names with CoOp's split file put in."""
    split = SPLIT_FILES[name]
    folders = {
        "caltech101": "caltech101",
        "dtd": "dtd/dtd",
        "oxford_flowers": "flowers-102",
        "oxford_pets": "oxford-iiit-pet",
        "sun397": "SUN397",
        "stanford_cars": "stanford_cars",
    }
    folder = tmp_path / folders[name]
    shutil.copytree(torchvision_root / folders[name], folder)
    shutil.copy(next(coop_root.rglob(split.file)), folder)
    ours, theirs = read_coop(tmp_path, name), read_coop(coop_root, name)
    assert listing(ours.train) == listing(theirs.train)
    assert Path(ours.test.source.where(ours.test.ids[0])).parent.is_dir()


def test_missing_split_file_is_named(torchvision_root: Path) -> None:
    message = r"dtd/dtd: data set 'dtd' is incomplete: lacks split_zhou_DescribableTextures\.json"
    with pytest.raises(DataError, match=message):
        read_coop(torchvision_root, "dtd")


Rows = dict[str, Any]


def other_name(split: Rows) -> str:
    split["test"][0][2] = "wooden"
    return r"test gives '.*' label 0 with the class name 'wooden', but label 0 is 'banded'"


def outside(split: Rows) -> str:
    split["val"][0][0] = "../../secret.jpg"
    return r"val\[0\] is \['../../secret\.jpg'"


def absolute(split: Rows) -> str:
    split["val"][0][0] = "/etc/secret.jpg"
    return r"val\[0\] is "


def text_label(split: Rows) -> str:
    split["train"][4][1] = "4"
    return r"train\[4\] is "


def no_list(split: Rows) -> str:
    del split["val"]
    return "has no list 'val'"


def empty_list(split: Rows) -> str:
    split["test"] = []
    return "its list 'test' is empty"


def gap(split: Rows) -> str:
    for rows in split.values():
        rows[:] = [row for row in rows if row[1] != 5]
    return "has no image of label 5"


def far_label(split: Rows) -> str:
    split["train"].append(["banded/new.jpg", 10**11, "new"])
    return "has no image of label 47"


def chosen_on_test(split: Rows) -> str:
    split["val"].append(split["test"][0])
    return "lists 1 image in two of train, validation and test"


def twice(split: Rows) -> str:
    split["train"].append(split["train"][0])
    return "is listed twice in one split"


@pytest.mark.parametrize(
    "plant", [other_name, outside, absolute, text_label, no_list, empty_list, gap, far_label, chosen_on_test, twice]
)
def test_malformed_split_files(coop_root: Path, tmp_path: Path, plant: Callable[[Rows], str]) -> None:
    root = tmp_path / "root"
    shutil.copytree(coop_root / "dtd", root / "dtd")
    path = root / "dtd" / "split_zhou_DescribableTextures.json"
    split = json.loads(path.read_text())
    message = plant(split)
    path.write_text(json.dumps(split))
    with pytest.raises(DataError, match=message) as caught:
        read_coop(root, "dtd")
    assert str(root) in str(caught.value)
