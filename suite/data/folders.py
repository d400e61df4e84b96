"""Reads a domain laid out as ``{train,test}/<class>/*.png|jpg|jpeg`` without decoding; names every fault it finds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from suite.data.items import FileSource, ImageItems, image_items
from suite.errors import DataError, nearest, require_known
from suite.files import Entry, composed, entries, read_json

SUFFIXES = (".png", ".jpg", ".jpeg")
SHOWN = 3  # files named in one error


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
    found = [entry.name for entry in entries(root) if entry.is_folder]
    if wanted is None:
        if not found:
            raise DataError(f"{root}: holds no domain folder; lay it out as <domain>/{{train,test}}/<class>/*.png or *.jpg.")
        return found
    names = [composed(name) for name in wanted]
    require_known(f"domain below {root}", names, found, where="benchmark.domains")
    return names


def read_domain(folder: Path) -> FolderDomain:
    """The items of one domain; label = position of the class folder in sorted order.

    Raises:
        DataError: train or test missing, an empty class folder, a file that is no image, a test class that train lacks,
            names that do not fit ``classes.json``, or two classes with one name.
    """
    for part in ("train", "test"):
        if not (folder / part).is_dir():
            raise DataError(f"{folder}: has no '{part}' folder; a domain needs train/<class> and test/<class>.")
    _require_pictures(folder)
    stored_as: dict[str, str] = {}
    train, test = (_class_files(folder, part, stored_as) for part in ("train", "test"))
    classes = sorted(train)
    for name in sorted(test):
        if name not in train:
            near = nearest(name, classes)
            hint = f" (nearest: '{near}')" if near else ""
            raise DataError(f"{folder / 'test' / name}: is a class that {folder / 'train'} lacks; add or rename it{hint}.")
    source = FileSource(folder, stored_as, upright=True)
    return FolderDomain(
        name=composed(folder.name),
        class_folders=tuple(classes),
        class_names=_class_names(folder, classes),
        train=_items(classes, train, source),
        test=_items(classes, test, source),
    )


def _require_pictures(folder: Path) -> None:
    """Refuse, all at once, what lies beside the class folders of a domain and what in them is no picture."""
    loose, foreign = [], []
    for part in ("train", "test"):
        for entry in entries(folder / part):
            if not entry.is_folder:
                loose.append(entry.path)
                continue
            foreign += [file.path for file in entries(entry.path) if not _is_picture(file)]
    if loose:
        raise DataError(
            f"{_named(loose)}: lies beside the class folders; move it into one of them or out of '{loose[0].parent.name}'."
        )
    if foreign:
        kinds = Counter("folders" if path.is_dir() else path.suffix.lower() or "no suffix" for path in foreign)
        counts = ", ".join(f"{kind}: {count}" for kind, count in sorted(kinds.items()))
        raise DataError(
            f"{_named(foreign)}: is not a {', '.join(SUFFIXES)} file ({len(foreign)} in all, {counts}); convert them or move them out "
            "of the class folders."
        )


def _is_picture(entry: Entry) -> bool:
    return Path(entry.name).suffix.lower() in SUFFIXES and entry.is_file


def _named(paths: Sequence[Path]) -> str:
    return ", ".join(str(path) for path in paths[:SHOWN]) + (f" and {len(paths) - SHOWN} more" if len(paths) > SHOWN else "")


def _class_files(folder: Path, part: str, stored_as: dict[str, str]) -> dict[str, list[str]]:
    """Class folder -> its image files as identities (paths in the domain, composed Unicode), sorted.

    ``stored_as`` takes the path on disk of every identity that is another one.
    """
    classes: dict[str, list[str]] = {}
    for entry in entries(folder / part):
        files = entries(entry.path)
        if not files:
            raise DataError(f"{entry.path}: is a class folder without an image; add images or delete the folder.")
        classes[entry.name] = [f"{part}/{entry.name}/{file.name}" for file in files]
        on_disk = [f"{part}/{entry.path.name}/{file.path.name}" for file in files]
        stored_as |= {item: path for item, path in zip(classes[entry.name], on_disk, strict=True) if item != path}
    if not classes:
        raise DataError(f"{folder / part}: has no class folder; lay it out as {part}/<class>/*.png or *.jpg.")
    return classes


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
    if not path.exists():
        return {}
    mapping = read_json(path, "correct it or delete the file")
    if not isinstance(mapping, dict) or not all(isinstance(name, str) and name.strip() for name in mapping.values()):
        raise DataError(f'{path}: must map each class folder to a class name, such as {{"ice_skating": "ice skating"}}.')
    mapping = {composed(key): composed(name) for key, name in mapping.items()}
    for name in classes:
        if name not in mapping:
            raise DataError(f"{path}: gives no name for the class folder '{name}'; add one.")
    for name in mapping:
        if name not in classes:
            raise DataError(f"{path}: names '{name}', which is no class folder of train; remove or correct the entry.")
    return mapping
