"""The MTIL readers against torchvision's own classes on the same trees, and against every fault they must name."""

from __future__ import annotations

import gzip
import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
import torchvision.datasets as tv
from scipy.io import savemat

from suite.data import array_sources
from suite.data.decode import decode
from suite.data.image_facts import class_facts, stream_facts
from suite.data.image_set import ImageSet
from suite.data.items import ImageItems
from suite.data.readers_torchvision import read_torchvision
from suite.errors import DataError

Listing = list[tuple[str, int]]


def listing(items: ImageItems) -> Listing:
    return list(zip(items.ids, items.labels.tolist(), strict=True))


def relative(paths: Any, labels: Any, folder: Path) -> Listing:
    return [(Path(path).relative_to(folder).as_posix(), int(label)) for path, label in zip(paths, labels, strict=True)]


def parts(image_set: ImageSet) -> list[Listing]:
    return [listing(part) for part in (image_set.train, image_set.validation, image_set.test) if part is not None]


def spaced(names: Any) -> tuple[str, ...]:
    return tuple(name.replace("_", " ") for name in names)


def test_aircraft(torchvision_root: Path) -> None:
    image_set = read_torchvision(torchvision_root, "aircraft")
    theirs = [tv.FGVCAircraft(torchvision_root, split=part) for part in ("train", "val", "test")]
    folder = torchvision_root / "fgvc-aircraft-2013b" / "data" / "images"
    assert parts(image_set) == [relative(each._image_files, each._labels, folder) for each in theirs]
    assert image_set.class_names == tuple(theirs[0].classes)


def test_dtd(torchvision_root: Path) -> None:
    image_set = read_torchvision(torchvision_root, "dtd")
    theirs = [tv.DTD(torchvision_root, split=part) for part in ("train", "val", "test")]
    folder = torchvision_root / "dtd" / "dtd" / "images"
    assert parts(image_set) == [relative(each._image_files, each._labels, folder) for each in theirs]
    assert image_set.class_names == spaced(theirs[0].classes)


def test_flowers(torchvision_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # the fixture's MATLAB files cannot have the official md5 sums that torchvision insists on
    sums = {key: (file, None) for key, (file, _) in tv.Flowers102._file_dict.items()}
    monkeypatch.setattr(tv.Flowers102, "_file_dict", sums)
    image_set = read_torchvision(torchvision_root, "flowers")
    theirs = [tv.Flowers102(torchvision_root, split=part) for part in ("train", "val", "test")]
    folder = torchvision_root / "flowers-102" / "jpg"
    assert parts(image_set) == [relative(each._image_files, each._labels, folder) for each in theirs]
    ours = [name for name in image_set.class_names if name != "pink-yellow dahlia"]
    assert ours == [name for name in theirs[0].classes if name != "pink-yellow dahlia?"]


def test_food(torchvision_root: Path) -> None:
    image_set = read_torchvision(torchvision_root, "food")
    theirs = [tv.Food101(torchvision_root, split=part) for part in ("train", "test")]
    folder = torchvision_root / "food-101" / "images"
    assert parts(image_set) == [relative(each._image_files, each._labels, folder) for each in theirs]
    assert image_set.class_names == spaced(theirs[0].classes)


def test_pets(torchvision_root: Path) -> None:
    image_set = read_torchvision(torchvision_root, "oxfordpet")
    theirs = [tv.OxfordIIITPet(torchvision_root, split=part) for part in ("trainval", "test")]
    folder = torchvision_root / "oxford-iiit-pet" / "images"
    assert parts(image_set) == [relative(each._images, each._labels, folder) for each in theirs]
    assert image_set.class_names == tuple(theirs[0].classes)
    assert list(image_set.class_names) == class_facts("mtil")["oxfordpet"]["names"]


def test_cars(torchvision_root: Path) -> None:
    image_set = read_torchvision(torchvision_root, "stanfordcars")
    theirs = [tv.StanfordCars(torchvision_root, split=part) for part in ("train", "test")]
    folder = torchvision_root / "stanford_cars"
    assert parts(image_set) == [relative(*zip(*each._samples, strict=True), folder) for each in theirs]
    assert image_set.class_names == tuple(theirs[0].classes)


def test_mnist(torchvision_root: Path) -> None:
    image_set = read_torchvision(torchvision_root, "mnist")
    for ours, train in ((image_set.train, True), (image_set.test, False)):
        theirs = tv.MNIST(torchvision_root, train=train)
        assert ours.labels.tolist() == theirs.targets.tolist()
        for row in (0, len(ours) - 1):
            pixels = decode(ours.source, ours.ids[row], 28)
            assert np.array_equal(pixels, np.broadcast_to(theirs.data[row].numpy(), (3, 28, 28)))
    assert image_set.class_names == tuple(tv.MNIST.classes)


def random_halves(theirs: Any) -> list[list[int]]:
    """Index lists of the split in ZSCL: torch's random_split, 0.8, a fresh generator seeded 42."""
    size = int(0.8 * len(theirs))
    cut = torch.utils.data.random_split(theirs, [size, len(theirs) - size], torch.Generator().manual_seed(42))
    return [list(part.indices) for part in cut]


def test_caltech(torchvision_root: Path) -> None:
    image_set = read_torchvision(torchvision_root, "caltech101")
    theirs = tv.Caltech101(torchvision_root)
    rows = [
        (f"{theirs.categories[label]}/image_{number:04d}.jpg", label)
        for label, number in zip(theirs.y, theirs.index, strict=True)
    ]
    assert parts(image_set) == [[rows[row] for row in part] for part in random_halves(theirs)]
    names = dict(zip(theirs.categories, image_set.class_names, strict=True))
    assert (names["Faces"], names["Faces_easy"], names["yin_yang"]) == (
        "off-center face",
        "centered face",
        "yin and yang symbol",
    )


def test_eurosat(torchvision_root: Path) -> None:
    image_set = read_torchvision(torchvision_root, "eurosat")
    theirs = tv.EuroSAT(torchvision_root)
    rows = relative(*zip(*theirs.samples, strict=True), torchvision_root / "eurosat" / "2750")
    assert parts(image_set) == [[rows[row] for row in part] for part in random_halves(theirs)]


def test_sun_is_sorted_before_it_is_split(torchvision_root: Path) -> None:
    image_set = read_torchvision(torchvision_root, "sun397")
    theirs = tv.SUN397(torchvision_root)
    rows = sorted(relative(theirs._image_files, theirs._labels, torchvision_root / "SUN397"))
    assert parts(image_set) == [[rows[row] for row in part] for part in random_halves(theirs)]
    assert image_set.class_names == spaced(theirs.classes)
    assert any("/" in name for name in image_set.class_names)


def test_cifar_binary_and_pickle_agree(
    torchvision_root: Path, tmp_path: Path, trees: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    trees.write_cifar_pickle(tmp_path / "cifar-100-python")
    sums = {
        name: hashlib.md5((tmp_path / "cifar-100-python" / name).read_bytes()).hexdigest() for name in ("train", "test", "meta")
    }
    monkeypatch.setattr(array_sources, "CIFAR_SUMS", sums)
    monkeypatch.setattr(tv.CIFAR100, "train_list", [["train", sums["train"]]])
    monkeypatch.setattr(tv.CIFAR100, "test_list", [["test", sums["test"]]])
    monkeypatch.setattr(tv.CIFAR100, "meta", {**tv.CIFAR100.meta, "md5": sums["meta"]})
    binary, pickled = (read_torchvision(root, "cifar100") for root in (torchvision_root, tmp_path))
    assert parts(binary) == parts(pickled)
    assert binary.class_names == pickled.class_names == tuple(class_facts("mtil")["cifar100"]["names"])
    theirs = tv.CIFAR100(tmp_path, train=False)
    assert pickled.test.labels.tolist() == theirs.targets
    for image_set in (binary, pickled):
        pixels = decode(image_set.test.source, image_set.test.ids[5], 32)
        assert np.array_equal(pixels.transpose(1, 2, 0), theirs.data[5])


def test_foreign_pickle_is_never_loaded(tmp_path: Path, trees: ModuleType) -> None:
    trees.write_cifar_pickle(tmp_path / "cifar-100-python")
    with pytest.raises(DataError, match=r"train: has md5 .* so it is not unpickled"):
        read_torchvision(tmp_path, "cifar100")


def test_pickle_that_names_code_is_refused_even_with_its_checksum(
    tmp_path: Path, trees: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "cifar-100-python"
    trees.write_cifar_pickle(folder)
    evil = b"cos\nsystem\n(S'touch " + str(tmp_path / "broken-in").encode() + b"'\ntR."
    (folder / "train").write_bytes(evil)
    monkeypatch.setitem(array_sources.CIFAR_SUMS, "train", hashlib.md5(evil).hexdigest())
    with pytest.raises(DataError, match=r"names 'os\.system'"):
        read_torchvision(tmp_path, "cifar100")
    assert not (tmp_path / "broken-in").exists()


@pytest.mark.parametrize("name", [name for name in stream_facts("mtil")["orders"]["I"] if name != "cifar100"])
def test_coop_layout_gives_the_same_names(torchvision_root: Path, coop_root: Path, name: str, tmp_path: Path) -> None:
    root = coop_root
    if name == "flowers":  # CoOp's layout has no setid.mat; the message says so, and with the file it loads
        with pytest.raises(DataError, match=r"oxford_flowers: .* lacks setid\.mat"):
            read_torchvision(coop_root, name)
        shutil.copytree(coop_root / "oxford_flowers", tmp_path / "oxford_flowers")
        shutil.copy(torchvision_root / "flowers-102" / "setid.mat", tmp_path / "oxford_flowers")
        root = tmp_path
    image_set = read_torchvision(root, name)
    assert image_set.classes == stream_facts("mtil")["sets"][name]["classes"]
    assert parts(image_set) == parts(read_torchvision(torchvision_root, name))


def test_missing_set_says_what_was_looked_for(tmp_path: Path) -> None:
    message = r"'dtd' is missing: looked for a folder dtd/dtd or dtd with images, .*codyra-suite data pull dtd"
    with pytest.raises(DataError, match=message):
        read_torchvision(tmp_path, "dtd")


def drop_class(root: Path) -> tuple[str, str]:
    shutil.rmtree(root / "caltech101" / "101_ObjectCategories" / "ant")
    return "caltech101", r"lacks the class folder 'ant' \(100 class folders instead of 101\)"


def extra_class(root: Path) -> tuple[str, str]:
    (root / "eurosat" / "2750" / "Desert").mkdir()
    return "eurosat", "has a folder 'Desert' that is no class"


def strange_file(root: Path) -> tuple[str, str]:
    (root / "caltech101" / "101_ObjectCategories" / "ant" / "notes.txt").write_text("x")
    return "caltech101", r"ant/notes\.txt: is not one of the data set's \.jpg files"


def unknown_variant(root: Path) -> tuple[str, str]:
    path = root / "fgvc-aircraft-2013b" / "data" / "images_variant_test.txt"
    path.write_text(path.read_text().replace("707-320", "707-321"))
    return "aircraft", r"images_variant_test\.txt: the line '\d+ 707-321' names no class"


def twice_listed(root: Path) -> tuple[str, str]:
    path = root / "dtd" / "dtd" / "labels" / "test1.txt"
    path.write_text(path.read_text() + path.read_text().splitlines()[3] + "\n")
    return "dtd", "is listed twice in one split"


def foreign_scene(root: Path) -> tuple[str, str]:
    (root / "SUN397" / "a" / "new_scene").mkdir()
    (root / "SUN397" / "a" / "new_scene" / "sun_x.jpg").write_bytes(b"")
    return "sun397", r"its scene '/a/new_scene' is not in ClassName\.txt"


def short_labels(root: Path) -> tuple[str, str]:
    path = root / "MNIST" / "raw" / "train-labels-idx1-ubyte"
    path.write_bytes(path.read_bytes()[:-1])
    return "mnist", "is not a whole IDX file"


def no_mat(root: Path) -> tuple[str, str]:
    (root / "flowers-102" / "imagelabels.mat").write_bytes(b"nothing")
    return "flowers", r"imagelabels\.mat: cannot be read as a MATLAB file"


def bad_columns(root: Path) -> tuple[str, str]:
    path = root / "oxford-iiit-pet" / "annotations" / "test.txt"
    path.write_text("Abyssinian_1 1\n")
    return "oxfordpet", "lines without the columns"


def broken_json(root: Path) -> tuple[str, str]:
    (root / "food-101" / "meta" / "test.json").write_text("{")
    return "food", r"test\.json: is not valid JSON"


def cut_binary(root: Path) -> tuple[str, str]:
    path = root / "cifar-100-binary" / "test.bin"
    path.write_bytes(path.read_bytes()[:-5])
    return "cifar100", "is not made of rows of 3074 bytes"


def worded_label(root: Path) -> tuple[str, str]:
    path = root / "oxford-iiit-pet" / "annotations" / "test.txt"
    path.write_text(path.read_text().replace("_101 1 ", "_101 one "))
    return "oxfordpet", r"test\.txt: has lines without the columns"


def other_encoding(root: Path) -> tuple[str, str]:
    (root / "fgvc-aircraft-2013b" / "data" / "images_variant_val.txt").write_bytes(b"\xff\xfe7")
    return "aircraft", r"images_variant_val\.txt: is not UTF-8 text"


def damaged_gzip(root: Path) -> tuple[str, str]:
    path = root / "MNIST" / "raw" / "t10k-labels-idx1-ubyte"
    data = bytearray(gzip.compress(path.read_bytes()))
    data[10] |= 0x06  # a kind of block that does not exist
    path.with_name(f"{path.name}.gz").write_bytes(data)
    path.unlink()
    return "mnist", r"ubyte\.gz: cannot be read \(.*\); pull mnist again"


def worded_flowers(root: Path) -> tuple[str, str]:
    savemat(root / "flowers-102" / "imagelabels.mat", {"labels": np.asarray(["a", "b"], dtype=object)})
    return "flowers", r"imagelabels\.mat: its variable 'labels' is no list of numbers from 1;"


def flower_before_the_first(root: Path) -> tuple[str, str]:
    savemat(root / "flowers-102" / "setid.mat", {key: np.asarray([[0, 1]]) for key in ("trnid", "valid", "tstid")})
    return "flowers", r"setid\.mat: its variable 'trnid' is no list of numbers from 1 to 408;"


def no_flower(root: Path) -> tuple[str, str]:
    savemat(root / "flowers-102" / "setid.mat", {key: np.zeros((1, 0)) for key in ("trnid", "valid", "tstid")})
    return "flowers", r"setid\.mat: its variable 'trnid' is no list of numbers"


def plain_annotations(root: Path) -> tuple[str, str]:
    savemat(root / "stanford_cars" / "devkit" / "cars_train_annos.mat", {"annotations": np.asarray([1, 2, 3])})
    return "stanfordcars", r"cars_train_annos\.mat: its variable 'annotations' has no fields"


def counted_food(root: Path) -> tuple[str, str]:
    (root / "food-101" / "meta" / "train.json").write_text('{"apple_pie": 750}')
    return "food", r"train\.json: must map class names to lists of images"


def deep_json(root: Path) -> tuple[str, str]:
    (root / "food-101" / "meta" / "train.json").write_text("[" * 100_000)
    return "food", r"train\.json: is not valid JSON"


def learned_and_judged(root: Path) -> tuple[str, str]:
    labels = root / "dtd" / "dtd" / "labels"
    (labels / "train1.txt").write_text((labels / "train1.txt").read_text() + (labels / "test1.txt").read_text().split("\n")[0])
    return "dtd", r"'dtd' lists 1 image in two of train, validation and test, first 'banded/banded_0003\.jpg'"


FAULTS = [
    drop_class,
    extra_class,
    strange_file,
    unknown_variant,
    twice_listed,
    foreign_scene,
    short_labels,
    no_mat,
    bad_columns,
    broken_json,
    cut_binary,
    worded_label,
    other_encoding,
    damaged_gzip,
    worded_flowers,
    flower_before_the_first,
    no_flower,
    plain_annotations,
    counted_food,
    deep_json,
    learned_and_judged,
]


@pytest.mark.parametrize("plant", FAULTS, ids=lambda plant: plant.__name__)
def test_faults_are_named(torchvision_root: Path, tmp_path: Path, plant: Callable[[Path], tuple[str, str]]) -> None:
    root = shutil.copytree(torchvision_root, tmp_path / "root")
    name, message = plant(root)
    with pytest.raises(DataError, match=message) as caught:
        read_torchvision(root, name)
    assert str(root) in str(caught.value)
