"""Data roots with a few tiny images per class in the data sets' own layouts: real file names, real annotation formats.

``make_torchvision_root`` writes all eleven sets as torchvision expects them, ``make_coop_root`` the ten of X-TAIL as
CoOp's DATASETS.md describes them. Class lists are the shipped ones; where the true spelling lies in files not shipped
(aircraft, cars, SUN397), any distinct names serve.
"""

from __future__ import annotations

import io
import json
import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from scipy.io import savemat

from suite.data.image_facts import class_facts
from suite.data.readers_torchvision import caltech_folders

COOP_NAMES = {
    "Faces": "face",
    "Leopards": "leopard",
    "Motorbikes": "motorbike",
    "airplanes": "airplane",
}


def jpegs(count: int = 24) -> list[bytes]:
    """Small pictures of several shapes, grey and colour."""
    rng = np.random.default_rng(7)
    made = []
    for number in range(count):
        size = ((20, 15), (15, 20), (18, 18), (24, 12))[number % 4]
        pixels = rng.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
        image = Image.fromarray(pixels).convert("L" if number % 5 == 0 else "RGB")
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=60)
        made.append(buffer.getvalue())
    return made


class Pictures:
    """Writes one of the pictures to a path and counts, so that neighbours differ."""

    def __init__(self) -> None:
        self.made, self.count = jpegs(), 0

    def write(self, *paths: Path) -> None:
        for path in paths:
            path.parent.mkdir(parents=True, exist_ok=True)
            # what follows the end of a JPEG is not read: no two files are copies of each other
            path.write_bytes(self.made[self.count % len(self.made)] + self.count.to_bytes(4, "big"))
            self.count += 1


def write_lines(path: Path, lines: Sequence[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def names(family: Any, key: str) -> list[str]:
    return list(class_facts(family)[key]["names"])


def make_torchvision_root(root: Path) -> Path:
    pictures = Pictures()
    write_aircraft(root / "fgvc-aircraft-2013b" / "data", pictures)
    write_caltech(root / "caltech101", pictures)
    write_cifar_binary(root / "cifar-100-binary")
    write_dtd(root / "dtd" / "dtd", pictures)
    write_eurosat(root / "eurosat", pictures)
    write_flowers(root / "flowers-102", pictures)
    write_food(root / "food-101", pictures)
    write_mnist(root / "MNIST" / "raw")
    write_pets(root / "oxford-iiit-pet", pictures)
    write_cars(root / "stanford_cars", pictures)
    write_sun(root / "SUN397", pictures)
    return root


def make_coop_root(root: Path) -> Path:
    pictures = Pictures()
    write_aircraft(root / "fgvc_aircraft", pictures)
    write_mnist(root / "MNIST" / "raw")
    coop_caltech(root / "caltech-101", pictures)
    coop_dtd(root / "dtd", pictures)
    coop_eurosat(root / "eurosat", pictures)
    coop_flowers(root / "oxford_flowers", pictures)
    coop_food(root / "food-101", pictures)
    coop_pets(root / "oxford_pets", pictures)
    coop_cars(root / "stanford_cars", pictures)
    coop_sun(root / "sun397", pictures)
    return root


def write_aircraft(folder: Path, pictures: Pictures) -> None:
    variants = names("xtail", "aircraft")
    write_lines(folder / "variants.txt", variants)
    number = 1000000
    for part, count in (("train", 2), ("val", 1), ("test", 1)):
        lines = []
        for variant in variants * count:
            number += 7
            lines.append(f"{number:07d} {variant}")
            pictures.write(folder / "images" / f"{number:07d}.jpg")
        write_lines(folder / f"images_variant_{part}.txt", lines)


def write_caltech(folder: Path, pictures: Pictures) -> None:
    (folder / "Annotations").mkdir(parents=True)
    for name in [*caltech_folders(), "BACKGROUND_Google"]:
        for number in range(1, 4):
            pictures.write(folder / "101_ObjectCategories" / name / f"image_{number:04d}.jpg")


def write_cifar_binary(folder: Path) -> None:
    folder.mkdir(parents=True)
    for part, (pixels, labels) in cifar_arrays().items():
        coarse = (labels // 5).astype(np.uint8)[:, None]
        rows = np.concatenate([coarse, labels.astype(np.uint8)[:, None], pixels], axis=1)
        (folder / f"{part}.bin").write_bytes(rows.tobytes())
    fine = [name.replace(" ", "_") for name in names("mtil", "cifar100")]
    write_lines(folder / "fine_label_names.txt", fine)


def write_cifar_pickle(folder: Path) -> None:
    folder.mkdir(parents=True)
    for part, (pixels, labels) in cifar_arrays().items():
        entry = {"data": pixels, "fine_labels": labels.tolist(), "batch_label": part}
        (folder / part).write_bytes(pickle.dumps(entry, protocol=2))
    fine = [name.replace(" ", "_") for name in names("mtil", "cifar100")]
    (folder / "meta").write_bytes(pickle.dumps({"fine_label_names": fine}, protocol=2))


def cifar_arrays() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    rng = np.random.default_rng(3)
    made = {}
    for part, count in (("train", 300), ("test", 100)):
        labels = rng.permutation(np.arange(count) % 100)
        made[part] = (rng.integers(0, 256, (count, 3072), dtype=np.uint8), labels)
    return made


def write_dtd(folder: Path, pictures: Pictures) -> None:
    for part, first, count in (("train", 0, 2), ("val", 2, 1), ("test", 3, 1)):
        lines = [f"{n}/{n}_{first + k:04d}.jpg" for n in names("mtil", "dtd") for k in range(count)]
        write_lines(folder / "labels" / f"{part}1.txt", lines)
        pictures.write(*(folder / "images" / line for line in lines))
    (folder / "imdb").mkdir()


def write_eurosat(folder: Path, pictures: Pictures) -> None:
    for name in class_facts("mtil")["eurosat"]["folders"]:
        pictures.write(*(folder / "2750" / name / f"{name}_{number}.jpg" for number in range(1, 13)))


def eurosat_names() -> dict[str, str]:
    """Folder -> CoOp's class name (without RAIL's suffix)."""
    facts = class_facts("xtail")["eurosat"]
    return {
        folder: name.removesuffix(" satellite location") for folder, name in zip(facts["folders"], facts["names"], strict=True)
    }


def write_flowers(folder: Path, pictures: Pictures, per_class: int = 4) -> list[int]:
    """Images in mixed class order; of each class two train, one valid, the rest test. Returns the 1-based labels."""
    labels = np.random.default_rng(5).permutation(np.repeat(np.arange(1, 103), per_class))
    pictures.write(*(folder / "jpg" / f"image_{number:05d}.jpg" for number in range(1, len(labels) + 1)))
    savemat(folder / "imagelabels.mat", {"labels": labels.astype(np.uint8)[None]})
    parts: dict[str, list[int]] = {"trnid": [], "valid": [], "tstid": []}
    for label in range(1, 103):
        mine = (np.flatnonzero(labels == label) + 1).tolist()
        parts["trnid"] += mine[:2]
        parts["valid"] += mine[2:3]
        parts["tstid"] += mine[3:]
    savemat(folder / "setid.mat", {key: np.asarray(value, dtype=np.uint16)[None] for key, value in parts.items()})
    return [int(label) for label in labels]


def write_food(folder: Path, pictures: Pictures) -> None:
    lists: dict[str, dict[str, list[str]]] = {"train": {}, "test": {}}
    for index, name in enumerate(names("xtail", "food101")):
        images = [f"{name}/{index * 1000 + k * 37}" for k in range(3)]
        lists["train"][name], lists["test"][name] = images[:2], images[2:]
        pictures.write(*(folder / "images" / f"{image}.jpg" for image in images))
    for part, content in lists.items():
        write_lines(folder / "meta" / f"{part}.json", [json.dumps(content)])
    write_lines(folder / "meta" / "classes.txt", names("xtail", "food101"))


def write_idx(path: Path, values: np.ndarray) -> None:
    magic = {3: 0x803, 1: 0x801}[values.ndim]
    header = magic.to_bytes(4, "big") + b"".join(size.to_bytes(4, "big") for size in values.shape)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(header + values.astype(np.uint8).tobytes())


def write_mnist(folder: Path) -> None:
    rng = np.random.default_rng(11)
    for part, count in (("train", 60), ("t10k", 20)):
        write_idx(folder / f"{part}-images-idx3-ubyte", rng.integers(0, 256, (count, 28, 28)))
        write_idx(folder / f"{part}-labels-idx1-ubyte", rng.permutation(np.arange(count) % 10))


def pet_breeds() -> list[str]:
    """File prefixes in label order: cats capitalised, dogs in lower case, as in the data set."""
    cats = ("abyssinian", "bengal", "birman", "bombay", "british_shorthair", "egyptian_mau", "maine_coon", "persian")
    cats += ("ragdoll", "russian_blue", "siamese", "sphynx")
    return [name.title() if name in cats else name for name in names("xtail", "oxford_pets")]


def write_pets(folder: Path, pictures: Pictures) -> None:
    for part, first, count in (("trainval", 1, 3), ("test", 101, 1)):
        lines = []
        for label, breed in enumerate(pet_breeds(), start=1):
            for number in range(first, first + count):
                pictures.write(folder / "images" / f"{breed}_{number}.jpg")
                lines.append(f"{breed}_{number} {label} {1 if breed[0].isupper() else 2} 1")
        write_lines(folder / "annotations" / f"{part}.txt", lines)


def write_cars(folder: Path, pictures: Pictures) -> None:
    cars = names("mtil", "stanfordcars")
    (folder / "devkit").mkdir(parents=True)
    savemat(folder / "devkit" / "cars_meta.mat", {"class_names": np.asarray(cars, dtype=object)[None]})
    for part, count, path in (
        ("train", 2, folder / "devkit" / "cars_train_annos.mat"),
        ("test", 1, folder / "cars_test_annos_withlabels.mat"),
    ):
        labels = np.random.default_rng(count).permutation(np.repeat(np.arange(1, 197), count))
        files = [f"{number:05d}.jpg" for number in range(1, len(labels) + 1)]
        pictures.write(*(folder / f"cars_{part}" / file for file in files))
        rows = [(39, 116, 569, 375, int(label), file) for label, file in zip(labels, files, strict=True)]
        fields = [(key, object) for key in ("bbox_x1", "bbox_y1", "bbox_x2", "bbox_y2", "class", "fname")]
        savemat(path, {"annotations": np.asarray(rows, dtype=fields)[None]})


def sun_scenes() -> list[str]:
    """Lines of ClassName.txt: ``/a/abbey``, with a sub-category where the name ends in indoor or outdoor."""
    scenes = []
    for name in names("mtil", "sun397"):
        words = name.split(" ")
        inner = words[-1] if words[-1] in ("indoor", "outdoor", "interior", "exterior") else None
        stem = "_".join(words[:-1] if inner else words)
        scenes.append(f"/{stem[0]}/{stem}/{inner}" if inner else f"/{stem[0]}/{stem}")
    return scenes


def write_sun(folder: Path, pictures: Pictures) -> None:
    write_lines(folder / "ClassName.txt", sun_scenes())
    for index, scene in enumerate(sun_scenes()):
        pictures.write(*(folder / scene[1:] / f"sun_a{index:03d}{letter}.jpg" for letter in "zyx"))


Rows = dict[str, list[list[Any]]]


def write_split(folder: Path, title: str, rows: Rows) -> None:
    write_lines(folder / f"split_zhou_{title}.json", [json.dumps(rows)])


def spread(files: Sequence[str], label: int, name: str, rows: Rows) -> None:
    """Of one class: all but two images to train, one to val, one to test."""
    for position, file in enumerate(files):
        part = "test" if position == len(files) - 1 else "val" if position == len(files) - 2 else "train"
        rows[part].append([file, label, name])


def no_rows() -> Rows:
    return {"train": [], "val": [], "test": []}


def coop_dtd(folder: Path, pictures: Pictures) -> None:
    write_dtd(folder, pictures)
    coop_folders(folder, "images", "DescribableTextures", {name: name for name in names("xtail", "dtd")})


def coop_eurosat(folder: Path, pictures: Pictures) -> None:
    write_eurosat(folder, pictures)
    coop_folders(folder, "2750", "EuroSAT", eurosat_names())


def coop_food(folder: Path, pictures: Pictures) -> None:
    write_food(folder, pictures)
    coop_folders(folder, "images", "Food101", {name: name for name in names("xtail", "food101")})


def coop_folders(folder: Path, images: str, title: str, classes: dict[str, str]) -> None:
    """A split file over class folders that are already there."""
    rows = no_rows()
    for label, (name, spoken) in enumerate(classes.items()):
        files = sorted(f"{name}/{file.name}" for file in (folder / images / name).iterdir())
        spread(files, label, spoken, rows)
    write_split(folder, title, rows)


def coop_caltech(folder: Path, pictures: Pictures) -> None:
    write_caltech(folder, pictures)
    classes = [name for name in caltech_folders() if name != "Faces_easy"]
    rows = no_rows()
    for label, name in enumerate(classes):
        files = [f"{name}/image_{number:04d}.jpg" for number in range(1, 4)]
        spread(files, label, COOP_NAMES.get(name, name), rows)
    write_split(folder, "Caltech101", rows)


def coop_flowers(folder: Path, pictures: Pictures) -> None:
    labels = write_flowers(folder, pictures)
    (folder / "setid.mat").unlink()  # not part of CoOp's layout
    spoken = names("xtail", "oxford_flowers")
    write_lines(folder / "cat_to_name.json", [json.dumps({str(k + 1): name for k, name in enumerate(spoken)})])
    rows = no_rows()
    for label, name in enumerate(spoken):
        files = [f"image_{number:05d}.jpg" for number, owner in enumerate(labels, start=1) if owner == label + 1]
        spread(files, label, name, rows)
    write_split(folder, "OxfordFlowers", rows)


def coop_pets(folder: Path, pictures: Pictures) -> None:
    write_pets(folder, pictures)
    rows = no_rows()
    for label, breed in enumerate(pet_breeds()):
        spread([f"{breed}_{number}.jpg" for number in (1, 2, 3, 101)], label, breed.lower(), rows)
    write_split(folder, "OxfordPets", rows)


def coop_cars(folder: Path, pictures: Pictures) -> None:
    write_cars(folder, pictures)
    rows = no_rows()
    for label, car in enumerate(names("mtil", "stanfordcars")):
        *words, year = car.split(" ")
        files = [f"cars_train/{label * 2 + k + 1:05d}.jpg" for k in range(2)] + [f"cars_test/{label + 1:05d}.jpg"]
        spread(files, label, " ".join([year, *words]), rows)
    write_split(folder, "StanfordCars", rows)


def coop_sun(folder: Path, pictures: Pictures) -> None:
    write_sun(folder / "SUN397", pictures)
    rows = no_rows()
    for label, scene in enumerate(sun_scenes()):
        spoken = " ".join(reversed(scene[3:].split("/")))
        spread([f"{scene[1:]}/sun_a{label:03d}{letter}.jpg" for letter in "xyz"], label, spoken, rows)
    write_split(folder, "SUN397", rows)
