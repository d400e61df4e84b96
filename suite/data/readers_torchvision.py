"""The eleven MTIL data sets with the splits that torchvision's classes and ZSCL's loaders give them.

Nothing is decoded. Items are named relative to the image folder, so both layouts name them alike.
Sources: torchvision.datasets and Thunderbeee/ZSCL, mtil/src/datasets/collections.py.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from suite.counting import counted
from suite.data.array_sources import cifar_class_names, cifar_items, idx_items
from suite.data.image_facts import class_facts
from suite.data.image_set import ImageSet, listed_files, random_parts, read_lines, read_mat, read_mat_numbers, read_object
from suite.data.items import FileSource, ImageItems, image_items
from suite.data.layouts import Place, locate
from suite.errors import DataError
from suite.files import entries, is_litter


def read_torchvision(root: Path, name: str) -> ImageSet:
    """The MTIL data set ``name`` below ``root``, in either layout; DataError when it is missing or inconsistent."""
    return READERS[name](root)


def _aircraft(root: Path) -> ImageSet:
    lists = tuple(f"images_variant_{part}.txt" for part in ("train", "val", "test"))
    return read_aircraft(locate(root, "aircraft", ("images", "variants.txt", *lists)))


def read_aircraft(place: Place) -> ImageSet:
    """Official lists at level variant; label = line number in ``variants.txt``. The same set in MTIL and X-TAIL."""
    classes = read_lines(place.require("variants.txt"))
    source = FileSource(place.require("images"))

    def part(name: str) -> ImageItems:
        path = place.require(f"images_variant_{name}.txt")
        rows = [line.split(" ", 1) for line in read_lines(path)]
        for row in rows:
            if len(row) != 2 or row[1] not in classes:
                raise DataError(f"{path}: the line '{' '.join(row)}' names no class of variants.txt; restore the file.")
        return image_items([f"{row[0]}.jpg" for row in rows], [classes.index(row[1]) for row in rows], source)

    return ImageSet("aircraft", place.folder, tuple(classes), part("train"), part("val"), part("test"))


def caltech_folders() -> list[str]:
    """The 101 class folders in label order; spelled as on disk, where four names differ from CoOp's."""
    on_disk = {"face": "Faces", "leopard": "Leopards", "motorbike": "Motorbikes", "airplane": "airplanes"}
    names = class_facts("xtail")["caltech101"]["names"]
    return sorted([on_disk.get(name, name) for name in names] + ["Faces_easy"])


def _caltech101(root: Path) -> ImageSet:
    place = locate(root, "caltech101", ("101_ObjectCategories",))
    folder = place.require("101_ObjectCategories")
    expected = caltech_folders()
    _require_folders(folder, expected, ignored=("BACKGROUND_Google",))
    train, test = random_parts(_by_folder(folder, expected))
    return ImageSet("caltech101", folder, tuple(class_facts("mtil")["caltech101"]["names"]), train, None, test)


def _cifar100(root: Path) -> ImageSet:
    place = locate(root, "cifar100", (("train", "train.bin"), ("test", "test.bin"), ("meta", "fine_label_names.txt")))
    train = cifar_items(place.require(("train", "train.bin")), "train")
    test = cifar_items(place.require(("test", "test.bin")), "test")
    names = [name.replace("_", " ") for name in cifar_class_names(place.folder)]
    return ImageSet("cifar100", place.folder, tuple(names), train, None, test)


def _dtd(root: Path) -> ImageSet:
    """Partition 1 of ten."""
    place = locate(root, "dtd", ("images", "labels/train1.txt", "labels/val1.txt", "labels/test1.txt"))
    source = FileSource(place.require("images"))
    lines = {part: read_lines(place.require(f"labels/{part}1.txt")) for part in ("train", "val", "test")}
    classes = sorted({line.split("/")[0] for line in lines["train"]})

    def part(name: str) -> ImageItems:
        return image_items(lines[name], [_label(line.split("/")[0], classes, source.folder) for line in lines[name]], source)

    return ImageSet("dtd", place.folder, _spaced(classes), part("train"), part("val"), part("test"))


def _eurosat(root: Path) -> ImageSet:
    folder = locate(root, "eurosat", ("2750",)).require("2750")
    facts = class_facts("mtil")["eurosat"]
    _require_folders(folder, facts["folders"])
    train, test = random_parts(_by_folder(folder, facts["folders"]))
    return ImageSet("eurosat", folder, tuple(facts["names"]), train, None, test)


def _flowers(root: Path) -> ImageSet:
    """Label = value of ``imagelabels.mat`` minus 1; parts from ``setid.mat`` (trnid, valid, tstid)."""
    place = locate(root, "flowers", ("jpg", "imagelabels.mat", "setid.mat"))
    labels = read_mat_numbers(place.require("imagelabels.mat"), "labels")
    source = FileSource(place.require("jpg"))

    def part(key: str) -> ImageItems:
        numbers = read_mat_numbers(place.require("setid.mat"), key, most=len(labels))
        return image_items([f"image_{number:05d}.jpg" for number in numbers], [labels[n - 1] - 1 for n in numbers], source)

    names = tuple(class_facts("mtil")["flowers"]["names"])
    return ImageSet("flowers", place.folder, names, part("trnid"), part("valid"), part("tstid"))


def _food(root: Path) -> ImageSet:
    place = locate(root, "food", ("images", "meta/train.json", "meta/test.json"))
    source = FileSource(place.require("images"))
    lists = {part: _image_lists(place.require(f"meta/{part}.json")) for part in ("train", "test")}
    classes = sorted(lists["train"])

    def part(name: str) -> ImageItems:
        labels = {key: _label(key, classes, source.folder) for key in lists[name]}
        rows = [(f"{path}.jpg", labels[key]) for key, paths in lists[name].items() for path in paths]
        return image_items([item for item, _ in rows], [label for _, label in rows], source)

    return ImageSet("food", place.folder, _spaced(classes), part("train"), None, part("test"))


def _mnist(root: Path) -> ImageSet:
    return read_mnist(root, tuple(class_facts("mtil")["mnist"]["names"]))


def read_mnist(root: Path, names: tuple[str, ...]) -> ImageSet:
    """The four IDX files, plain or gzip. The same set in MTIL and X-TAIL but for the class names."""

    def either(stem: str) -> tuple[str, str]:
        return stem, f"{stem}.gz"

    files = {part: (either(f"{part}-images-idx3-ubyte"), either(f"{part}-labels-idx1-ubyte")) for part in ("train", "t10k")}
    place = locate(root, "mnist", (*files["train"], *files["t10k"]))
    train, test = (idx_items(place.require(images), place.require(labels), part) for part, (images, labels) in files.items())
    return ImageSet("mnist", place.folder, names, train, None, test)


def _oxfordpet(root: Path) -> ImageSet:
    """Label = second column of the list minus 1; class = file name up to its number, title-cased word by word."""
    place = locate(root, "oxfordpet", ("images", "annotations/trainval.txt", "annotations/test.txt"))
    source = FileSource(place.require("images"))
    names: dict[int, str] = {}

    def part(name: str) -> ImageItems:
        path = place.require(f"annotations/{name}.txt")
        rows = [line.split() for line in read_lines(path) if not line.startswith("#")]
        if any(len(row) != 4 or not row[1].isdecimal() for row in rows):
            raise DataError(f"{path}: has lines without the columns image, class, species, breed; restore the file.")
        for image, label, *_ in rows:
            names.setdefault(int(label) - 1, " ".join(word.title() for word in image.rsplit("_", 1)[0].split("_")))
        return image_items([f"{row[0]}.jpg" for row in rows], [int(row[1]) - 1 for row in rows], source)

    train, test = part("trainval"), part("test")
    return ImageSet("oxfordpet", place.folder, tuple(names[label] for label in sorted(names)), train, None, test)


def _stanfordcars(root: Path) -> ImageSet:
    """Label = field ``class`` minus 1; names from ``cars_meta.mat``, year last."""
    annotations = {"train": "devkit/cars_train_annos.mat", "test": "cars_test_annos_withlabels.mat"}
    place = locate(root, "stanfordcars", ("cars_train", "cars_test", "devkit/cars_meta.mat", *annotations.values()))
    source = FileSource(place.folder)

    def part(name: str) -> ImageItems:
        path = place.require(annotations[name])
        rows = read_mat(path, "annotations")
        if not {"fname", "class"} <= set(rows.dtype.names or ()):
            raise DataError(f"{path}: its variable 'annotations' has no fields 'fname' and 'class'; restore the file.")
        return image_items([f"cars_{name}/{row['fname']}" for row in rows], [int(row["class"]) - 1 for row in rows], source)

    names = tuple(str(name) for name in read_mat(place.require("devkit/cars_meta.mat"), "class_names"))
    return ImageSet("stanfordcars", place.folder, names, part("train"), None, part("test"))


def _sun397(root: Path) -> ImageSet:
    """Random split over the sorted file list.

    torchvision lists files in the order of the file system, so ZSCL's own membership differs from machine to machine
    and cannot be reproduced; sorting makes ours the same everywhere.
    """
    place = locate(root, "sun397", ("a", "ClassName.txt"))
    folder = place.require("a").parent
    lines = read_lines(place.require("ClassName.txt"))
    label_of = {line.lstrip("/"): label for label, line in enumerate(lines)}
    found = (path.relative_to(folder) for path in folder.rglob("sun_*.jpg"))
    ids = sorted(path.as_posix() for path in found if not any(is_litter(part) for part in path.parts))
    labels = []
    for item in ids:
        scene = item.rpartition("/")[0]
        if scene not in label_of:
            raise DataError(f"{folder / item}: its scene '/{scene}' is not in ClassName.txt; move it away.")
        labels.append(label_of[scene])
    train, test = random_parts(image_items(ids, labels, FileSource(folder)))
    return ImageSet("sun397", folder, _spaced([line[3:] for line in lines]), train, None, test)


def _by_folder(folder: Path, classes: Sequence[str]) -> ImageItems:
    """All images of the class folders in label order, sorted by name within a class, as torchvision indexes them."""
    rows = [(f"{name}/{file}", label) for label, name in enumerate(classes) for file in listed_files(folder / name)]
    return image_items([item for item, _ in rows], [label for _, label in rows], FileSource(folder))


def _require_folders(folder: Path, expected: Sequence[str], ignored: tuple[str, ...] = ()) -> None:
    found = {entry.name for entry in entries(folder) if entry.is_folder} - set(ignored)
    missing, extra = sorted(set(expected) - found), sorted(found - set(expected))
    if missing or extra:
        problem = f"lacks the class folder '{missing[0]}'" if missing else f"has a folder '{extra[0]}' that is no class"
        raise DataError(
            f"{folder}: {problem} ({counted(len(found), 'class folder')} instead of {len(expected)}); labels follow the sorted "
            "folders, so restore the original set."
        )


def _label(name: str, classes: Sequence[str], folder: Path) -> int:
    if name not in classes:
        raise DataError(f"{folder}: the test or validation list names the class '{name}', which the training list lacks.")
    return classes.index(name)


def _spaced(names: Sequence[str]) -> tuple[str, ...]:
    return tuple(name.replace("_", " ") for name in names)


def _image_lists(path: Path) -> dict[str, list[str]]:
    content = read_object(path)
    for images in content.values():
        if not isinstance(images, list) or not all(isinstance(image, str) for image in images):
            raise DataError(f"{path}: must map class names to lists of images; restore it.")
    return content


READERS: dict[str, Callable[[Path], ImageSet]] = {
    "aircraft": _aircraft,
    "caltech101": _caltech101,
    "cifar100": _cifar100,
    "dtd": _dtd,
    "eurosat": _eurosat,
    "flowers": _flowers,
    "food": _food,
    "mnist": _mnist,
    "oxfordpet": _oxfordpet,
    "stanfordcars": _stanfordcars,
    "sun397": _sun397,
}
