"""Reads a domain laid out as ``{train,test}/<class>/*.png|jpg|jpeg`` without decoding; names every fault it finds."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from suite.data.items import FileSource, ImageItems, image_items
from suite.errors import DataError, nearest, require_known

SUFFIXES = (".png", ".jpg", ".jpeg")


@dataclass(frozen=True, eq=False)
class FolderDomain:
    """One domain: its class names and its two official parts."""

    name: str
    class_folders: tuple[str, ...]
    class_names: tuple[str, ...]
    train: ImageItems
    test: ImageItems


def find_domains(root: Path, wanted: Sequence[str] | None) -> list[str]:
    """Domain folders below ``root`` in sorted order, or ``wanted`` in the order given.

    Raises:
        DataError: no such root or no domain in it. ConfigError: a wanted domain that is not there.
    """
    if not root.is_dir():
        raise DataError(f"{root}: is not a folder; set the data root to one that holds <domain>/train and <domain>/test.")
    found = sorted(entry.name for entry in root.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    if wanted is None:
        if not found:
            raise DataError(f"{root}: holds no domain folder; lay it out as <domain>/{{train,test}}/<class>/*.png or *.jpg.")
        return found
    require_known(f"domain below {root}", wanted, found, where="benchmark.domains")
    return list(wanted)


def read_domain(folder: Path) -> FolderDomain:
    """The items of one domain; label = position of the class folder in sorted order.

    Raises:
        DataError: train or test missing, an empty class folder, a file that is no image, a test class that train lacks,
            names that do not fit ``classes.json``, or two classes with one name.
    """
    for part in ("train", "test"):
        if not (folder / part).is_dir():
            raise DataError(f"{folder}: has no '{part}' folder; a domain needs train/<class> and test/<class>.")
    train = _class_files(folder / "train")
    test = _class_files(folder / "test")
    classes = sorted(train)
    for name in sorted(test):
        if name not in train:
            near = nearest(name, classes)
            hint = f" (nearest: '{near}')" if near else ""
            raise DataError(f"{folder / 'test' / name}: is a class that {folder / 'train'} lacks; add or rename it{hint}.")
    source = FileSource(folder)
    return FolderDomain(
        name=folder.name,
        class_folders=tuple(classes),
        class_names=_class_names(folder, classes),
        train=_items(classes, train, source),
        test=_items(classes, test, source),
    )


def _class_files(part: Path) -> dict[str, list[str]]:
    """Class folder -> its image files as paths relative to the domain, sorted."""
    classes: dict[str, list[str]] = {}
    for entry in _visible(part):
        if not entry.is_dir():
            raise DataError(f"{entry}: lies beside the class folders; move it into one of them or out of '{part.name}'.")
        files = _visible(entry)
        for file in files:
            if file.is_dir() or file.suffix.lower() not in SUFFIXES:
                raise DataError(f"{file}: is not a {', '.join(SUFFIXES)} file; convert it or move it out of the class folder.")
        if not files:
            raise DataError(f"{entry}: is a class folder without an image; add images or delete the folder.")
        classes[entry.name] = [f"{part.name}/{entry.name}/{file.name}" for file in files]
    if not classes:
        raise DataError(f"{part}: has no class folder; lay it out as {part.name}/<class>/*.png or *.jpg.")
    return classes


def _visible(folder: Path) -> list[Path]:
    return sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))


def _items(classes: list[str], files: dict[str, list[str]], source: FileSource) -> ImageItems:
    ids = [file for name in classes for file in files.get(name, ())]
    labels = [label for label, name in enumerate(classes) for _ in files.get(name, ())]
    return image_items(ids, labels, source)


def _class_names(folder: Path, classes: list[str]) -> tuple[str, ...]:
    mapping = _read_mapping(folder / "classes.json", classes)
    names = [mapping[name] if mapping else name.replace("_", " ") for name in classes]
    first: dict[str, str] = {}
    for name, class_folder in zip(names, classes, strict=True):
        if name in first:
            raise DataError(
                f"{folder}: the class folders '{first[name]}' and '{class_folder}' both mean '{name}'; "
                f"rename one in {folder / 'classes.json'}."
            )
        first[name] = class_folder
    return tuple(names)


def _read_mapping(path: Path, classes: list[str]) -> dict[str, str]:
    """``classes.json`` as class folder -> class name; empty when there is no such file."""
    if not path.is_file():
        return {}
    try:
        mapping = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: is not valid JSON ({error}); correct it or delete the file.") from None
    if not isinstance(mapping, dict) or not all(isinstance(name, str) and name.strip() for name in mapping.values()):
        raise DataError(f'{path}: must map each class folder to a class name, such as {{"ice_skating": "ice skating"}}.')
    for name in classes:
        if name not in mapping:
            raise DataError(f"{path}: gives no name for the class folder '{name}'; add one.")
    for name in mapping:
        if name not in classes:
            raise DataError(f"{path}: names '{name}', which is no class folder of train; remove or correct the entry.")
    return mapping
