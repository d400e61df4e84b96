"""The ten X-TAIL data sets with CoOp's fixed splits; aircraft and mnist have none there and keep their official parts.

Nothing is decoded. Sources: KaiyangZhou/CoOp (DATASETS.md, datasets/*.py) and RAIL, scenario_datasets.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from suite.data.image_facts import class_facts
from suite.data.image_set import ImageSet, read_object
from suite.data.items import FileSource, ImageItems, image_items
from suite.data.layouts import Need, locate
from suite.data.readers_torchvision import read_aircraft, read_mnist
from suite.errors import DataError


@dataclass(frozen=True)
class SplitFile:
    """Where one data set's split lies: key in ``layouts.FOLDERS``, file, and the folder its paths start from."""

    place: str
    file: str
    images: str  # "" = the data set's own folder


SPLIT_FILES = {
    "caltech101": SplitFile("caltech101", "split_zhou_Caltech101.json", "101_ObjectCategories"),
    "dtd": SplitFile("dtd", "split_zhou_DescribableTextures.json", "images"),
    "eurosat": SplitFile("eurosat", "split_zhou_EuroSAT.json", "2750"),
    "oxford_flowers": SplitFile("flowers", "split_zhou_OxfordFlowers.json", "jpg"),
    "food101": SplitFile("food", "split_zhou_Food101.json", "images"),
    "oxford_pets": SplitFile("oxfordpet", "split_zhou_OxfordPets.json", "images"),
    "stanford_cars": SplitFile("stanfordcars", "split_zhou_StanfordCars.json", "cars_train"),
    "sun397": SplitFile("sun397", "split_zhou_SUN397.json", "a"),
}
# The paths of these two splits start one level above the folder that shows that the images are there.
STARTS_ABOVE = ("stanford_cars", "sun397")


def read_coop(root: Path, name: str) -> ImageSet:
    """The X-TAIL data set ``name`` below ``root``, in either layout; DataError when it is missing or inconsistent."""
    if name == "aircraft":
        lists = tuple(f"images_variant_{part}.txt" for part in ("train", "val", "test"))
        return read_aircraft(locate(root, "aircraft", ("images", "variants.txt", *lists)))
    if name == "mnist":
        return read_mnist(root, tuple(class_facts("mtil")["mnist"]["names"]))
    split = SPLIT_FILES[name]
    needs: tuple[Need, ...] = (split.images, split.file)
    place = locate(root, split.place, needs, name)
    images = place.require(split.images)
    source = FileSource(images.parent if name in STARTS_ABOVE else images)
    path = place.require(split.file)
    content = _read_split(path)
    names = _class_names(path, content)
    _require_folder_labels(path, name, content)
    train, validation, test = (_part(path, part, content[part], source) for part in ("train", "val", "test"))
    return ImageSet(name, place.folder, names, train, validation, test)


def _read_split(path: Path) -> dict[str, list[Any]]:
    """The three lists of a split file, every row checked to be [relative path, label, class name]."""
    content = read_object(path)
    for part in ("train", "val", "test"):
        if not isinstance(content.get(part), list):
            raise DataError(f"{path}: has no list '{part}'; restore CoOp's split file.")
        for number, row in enumerate(content[part]):
            if not (isinstance(row, list) and len(row) == 3 and _is_row(*row)):
                raise DataError(
                    f"{path}: {part}[{number}] is {row!r} instead of [relative path, label, class name]; "
                    "restore CoOp's split file."
                )
    return {part: content[part] for part in ("train", "val", "test")}


def _is_row(item: object, label: object, name: object) -> bool:
    if not isinstance(item, str) or not isinstance(label, int) or isinstance(label, bool) or not isinstance(name, str):
        return False
    path = PurePosixPath(item)
    return bool(item) and not path.is_absolute() and ".." not in path.parts and label >= 0 and bool(name)


def _class_names(path: Path, content: dict[str, list[Any]]) -> tuple[str, ...]:
    """Third field of the rows by label; labels must be 0 to n - 1 with one name each."""
    names: dict[int, str] = {}
    for part, rows in content.items():
        for item, label, name in rows:
            if names.setdefault(label, name) != name:
                raise DataError(
                    f"{path}: {part} gives '{item}' label {label} with the class name '{name}', but label {label} is "
                    f"'{names[label]}' elsewhere; restore CoOp's split file."
                )
    missing = next((label for label in range(len(names)) if label not in names), None)
    if missing is not None:
        raise DataError(f"{path}: has no image of label {missing}; restore CoOp's split file.")
    return tuple(names[label] for label in range(len(names)))


def class_folder(name: str, item: str) -> str:
    """What a row's path says about its class: the folder, for pets the breed in the file name; "" where it says nothing."""
    place = PurePosixPath(item)
    if name == "oxford_pets":
        return place.stem.rpartition("_")[0]
    return "" if name in ("oxford_flowers", "stanford_cars") else place.parent.as_posix()


def _require_folder_labels(path: Path, name: str, content: dict[str, list[Any]]) -> None:
    """Images of one class folder have one label, and a label one folder: labels that were exchanged break that."""
    labels: dict[str, tuple[int, str]] = {}
    folders: dict[int, str] = {}
    for part, rows in content.items():
        for item, label, _ in rows:
            folder = class_folder(name, item)
            if not folder:
                return
            known, first = labels.setdefault(folder, (label, item))
            if known != label:
                raise DataError(
                    f"{path}: {part} gives '{item}' label {label}, but '{first}' of the same class has label {known}; restore CoOp's "
                    "split file."
                )
            if folders.setdefault(label, folder) != folder:
                raise DataError(
                    f"{path}: gives images of '{folders[label]}' and of '{folder}' the one label {label}; restore CoOp's split file."
                )


def spoken_name(name: str, folder: str) -> str | None:
    """The class name that CoOp gives to a class folder, blanks for underscores, lower case; None where it is not the folder's own."""
    if name in ("dtd", "food101", "oxford_pets"):
        spoken = folder
    elif name == "sun397":
        spoken = " ".join(reversed(folder.split("/")[1:]))
    else:
        return None
    return spoken.replace("_", " ").lower()


def _part(path: Path, part: str, rows: Sequence[Any], source: FileSource) -> ImageItems:
    if not rows:
        raise DataError(f"{path}: its list '{part}' is empty; restore CoOp's split file.")
    return image_items([row[0] for row in rows], [row[1] for row in rows], source)
