"""The user's own folders as a stream: what is read, what is held out, and which mistakes are named before training."""

from __future__ import annotations

import json
import os
import shutil
import unicodedata
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError

from suite.benchmarks.image_folders import ImageFoldersConfig
from suite.benchmarks.stream import ImageTask, LabelSpace, learned_tests
from suite.data.items import FileSource
from suite.errors import ConfigError, DataError
from trainables.task_facts import data_facts


def write_image(path: Path, seed: int, size: tuple[int, int] = (40, 30), mode: str = "RGB") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    width, height = size
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    Image.fromarray(pixels).convert(mode).save(path)


def make_root(root: Path, domains: int = 2, classes: int = 3, train: int = 6, test: int = 2) -> Path:
    seed = 0
    for domain in range(domains):
        for label in range(classes):
            for part, count in (("train", train), ("test", test)):
                for item in range(count):
                    seed += 1
                    suffix = ("png", "jpg", "JPEG")[item % 3]
                    write_image(root / f"domain_{domain}" / part / f"class_{label}" / f"{item}.{suffix}", seed)
    return root


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return make_root(tmp_path / "root")


def first_task(root: Path, **fields: object) -> ImageTask:
    task = ImageFoldersConfig.model_validate({"name": "image-folders", **fields}).build(root).tasks[0]
    assert isinstance(task, ImageTask)
    return task


def test_every_image_lands_in_exactly_one_split(root: Path) -> None:
    stream = ImageFoldersConfig(image_size=16).build(root)
    assert stream.task_names == ("domain_0", "domain_1")
    assert stream.protocol is LabelSpace.TASK
    for task in stream.tasks:
        assert isinstance(task, ImageTask)
        assert task.class_names == ("class 0", "class 1", "class 2")
        assert (len(task.train), len(task.validation), len(task.test)) == (15, 3, 6)
        assert task.train.pixels.shape == (15, 3, 16, 16)
        assert task.train.pixels.dtype == np.uint8
        ids = task.train.ids + task.validation.ids + task.test.ids
        on_disk = {file.relative_to(root / task.name).as_posix() for file in (root / task.name).rglob("*.*")}
        assert sorted(ids) == sorted(on_disk)
        assert all(item.startswith("test/") for item in task.test.ids)
        assert sorted(task.validation.labels.tolist()) == [0, 1, 2]
        for item, label in zip(task.train.ids, task.train.labels.tolist(), strict=True):
            assert f"/class_{label}/" in item


def test_draws_follow_the_seed_and_nothing_else(root: Path) -> None:
    np.random.seed(1)  # noqa: NPY002 - the global state must not matter
    first = ImageFoldersConfig(shots=2).build(root)
    np.random.seed(2)  # noqa: NPY002
    assert ImageFoldersConfig(shots=2).build(root).fingerprint() == first.fingerprint()
    assert ImageFoldersConfig(shots=2, draw_seed=1).build(root).fingerprint() != first.fingerprint()
    alone = first_task(root, shots=2, domains=["domain_1"])
    assert alone.train.ids == first.tasks[1].train.ids


def test_shots_are_drawn_beside_validation(root: Path) -> None:
    few, more = first_task(root, shots=2), first_task(root, shots=4)
    assert np.bincount(few.train.labels).tolist() == [2, 2, 2]
    assert set(few.train.ids) < set(more.train.ids)
    assert few.validation.ids == more.validation.ids
    assert not set(more.train.ids) & set(more.validation.ids)


def test_shots_do_not_depend_on_how_much_is_held_out(root: Path) -> None:
    tasks = [first_task(root, shots=3, validation_share=share, draw_seed=seed) for seed in range(5) for share in (0.1, 0.5)]
    assert [len(task.validation) for task in tasks] == [3, 9] * 5
    for little, much in zip(tasks[::2], tasks[1::2], strict=True):
        assert little.train.ids == much.train.ids
        assert set(little.validation.ids) < set(much.validation.ids)


def test_templates_and_protocol(root: Path) -> None:
    config = ImageFoldersConfig(templates=("a {}.", "the {}."), protocol="union", domains=("domain_1", "domain_0"))
    stream = config.build(root)
    assert stream.protocol is LabelSpace.UNION
    assert stream.task_names == ("domain_1", "domain_0")
    task = stream.tasks[0]
    assert isinstance(task, ImageTask)
    assert (task.train_templates, task.eval_templates) == (("a {}.",), ("a {}.", "the {}."))
    with pytest.raises(ValidationError, match="exactly one"):
        ImageFoldersConfig(templates=("a photo",))


def test_classes_json_names_the_classes(root: Path) -> None:
    names = {"class_0": "red panda", "class_1": "ice_skating", "class_2": "Boeing 737"}
    (root / "domain_0" / "classes.json").write_text(json.dumps(names))
    assert first_task(root).class_names == ("red panda", "ice_skating", "Boeing 737")


def empty_class(root: Path) -> str:
    (root / "domain_1" / "train" / "class_9").mkdir()
    return r"domain_1/train/class_9: is a class folder without an image"


def truncated(root: Path) -> str:
    path = root / "domain_0" / "test" / "class_1" / "1.jpg"
    path.write_bytes(path.read_bytes()[:-300])
    return r"domain_0/test/class_1/1\.jpg: cannot be read as an image \(image file is truncated"


def truncated_png(root: Path) -> str:
    path = root / "domain_0" / "train" / "class_1" / "0.png"
    path.write_bytes(path.read_bytes()[:200])
    return r"domain_0/train/class_1/0\.png: cannot be read"


def not_an_image(root: Path) -> str:
    (root / "domain_0" / "train" / "class_1" / "0.png").write_text("hello")
    return r"class_1/0\.png: cannot be read as an image \(no known format\); replace"


def foreign_file(root: Path) -> str:
    (root / "domain_0" / "test" / "class_0" / "a.webp").write_text("")
    for name in ("b.gif", "c.GIF", "notes"):
        (root / "domain_0" / "train" / "class_1" / name).write_text("")
    (root / "domain_0" / "train" / "class_1" / "deeper.png").mkdir()
    return (
        r"train/class_1/b\.gif, \S+c\.GIF, \S+deeper\.png and 2 more: is not a \.png, \.jpg, \.jpeg file "
        r"\(5 in all, \.gif: 2, \.webp: 1, folders: 1, no suffix: 1\); convert them"
    )


def pipe(root: Path) -> str:
    os.mkfifo(root / "domain_0" / "train" / "class_1" / "9.png")
    return r"class_1/9\.png: is not a \.png"


def not_utf8(root: Path) -> str:
    os.mkdir(os.fsencode(root / "domain_0" / "train") + b"/caf\xe9")  # noqa: PTH102 - a Path takes no bytes
    return r"domain_0/train: holds a name that is not UTF-8 \(b'caf\\xe9'\); rename it"


def both_forms(root: Path) -> str:
    for form in ("NFC", "NFD"):
        (root / "domain_0" / "train" / unicodedata.normalize(form, "café")).mkdir()
    return "domain_0/train: holds 'café' twice, in composed and in decomposed Unicode"


def twice_in_json(root: Path) -> str:
    (root / "domain_0" / "classes.json").write_text('{"class_0": "a", "class_1": "b", "class_0": "c"}')
    return r"classes\.json: is not valid JSON \(the key 'class_0' stands twice"


def endless_number(root: Path) -> str:
    (root / "domain_0" / "classes.json").write_text('{"class_0": ' + "1" * 5000 + "}")
    return r"classes\.json: is not valid JSON \(Exceeds the limit"


def far_too_deep(root: Path) -> str:
    (root / "domain_0" / "classes.json").write_text("[" * 100_000)
    return r"classes\.json: is not valid JSON \("


def not_text(root: Path) -> str:
    (root / "domain_0" / "classes.json").write_bytes(b"\xff\xfe{")
    return r"classes\.json: is not UTF-8 text \(byte 0\); save it as UTF-8"


def loose_file(root: Path) -> str:
    write_image(root / "domain_0" / "train" / "loose.png", 1)
    return r"train/loose\.png: lies beside the class folders"


def no_test(root: Path) -> str:
    (root / "domain_0" / "test").rename(root / "domain_0" / "tests")
    return r"domain_0: has no 'test' folder"


def test_class_unknown(root: Path) -> str:
    write_image(root / "domain_0" / "test" / "clas_1" / "7.png", 1)
    return r"test/clas_1: is a class that .*train lacks.*nearest: 'class_1'"


def same_name(root: Path) -> str:
    (root / "domain_0" / "classes.json").write_text(json.dumps({"class_0": "a", "class_1": "b", "class_2": "a"}))
    return r"'class_0' and 'class_2' both mean 'a'"


def name_missing(root: Path) -> str:
    (root / "domain_0" / "classes.json").write_text(json.dumps({"class_0": "a", "class_1": "b"}))
    return r"classes\.json: gives no name for the class folder 'class_2'"


def name_too_much(root: Path) -> str:
    names = {"class_0": "a", "class_1": "b", "class_2": "c", "class_3": "d"}
    (root / "domain_0" / "classes.json").write_text(json.dumps(names))
    return r"classes\.json: names 'class_3', which is no class folder"


def broken_json(root: Path) -> str:
    (root / "domain_0" / "classes.json").write_text("{")
    return r"classes\.json: is not valid JSON"


def lone_image(root: Path) -> str:
    write_image(root / "domain_0" / "train" / "class_3" / "1.png", 1)
    return r"domain_0/train/class_3: has 1 image and validation takes 1, which leaves too few for 1 training image per class"


def lone_class(root: Path) -> str:
    for part in ("train", "test"):
        for label in (1, 2):
            shutil.rmtree(root / "domain_1" / part / f"class_{label}")
    return (
        r"benchmark image-folders: 'domain_1' \('class 0'\) has one class, so that every answer is right; add a class or leave"
    )


FAULTS = [
    empty_class,
    truncated,
    truncated_png,
    not_an_image,
    foreign_file,
    pipe,
    not_utf8,
    both_forms,
    twice_in_json,
    endless_number,
    far_too_deep,
    not_text,
    loose_file,
    no_test,
    test_class_unknown,
    same_name,
    name_missing,
    name_too_much,
    broken_json,
    lone_image,
    lone_class,
]
test_class_unknown.__test__ = False  # type: ignore[attr-defined]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_faults_are_named_with_their_path(root: Path, fault: object) -> None:
    message = fault(root)  # type: ignore[operator]
    with pytest.raises(DataError, match=message) as caught:
        ImageFoldersConfig().build(root)
    assert "\n" not in str(caught.value)
    assert str(caught.value).endswith(".")


def test_too_few_shots_names_class_and_numbers(root: Path) -> None:
    with pytest.raises(
        DataError, match=r"train/class_0: has 6 images and validation takes 1, which leaves too few for 6 training images"
    ):
        ImageFoldersConfig(shots=6).build(root)


def test_a_lone_class_has_a_choice_in_a_union(root: Path) -> None:
    lone_class(root)
    for domain in ("domain_0", "domain_1"):
        (root / domain / "classes.json").unlink(missing_ok=True)
    union = ImageFoldersConfig(protocol="union", shared_classes="merge").build(root)
    assert [len(task.class_names) for task in union.tasks if isinstance(task, ImageTask)] == [3, 1]
    with pytest.raises(DataError, match=r"'domain_1' \('class 0'\) has one class"):
        ImageFoldersConfig(protocol="union", domains=("domain_1",)).build(root)


def test_classes_that_no_test_score_speaks_of_are_noted(root: Path) -> None:
    shutil.rmtree(root / "domain_0" / "test" / "class_2")
    assert data_facts(first_task(root)) == {"notes": ["domain_0: 1 of 3 classes without a test image: 'class 2'"]}


def test_root_and_domain_mistakes(root: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is not a folder"):
        ImageFoldersConfig(folder="absent").build(root)
    (tmp_path / "bare").mkdir()
    with pytest.raises(DataError, match="holds no domain folder"):
        ImageFoldersConfig().build(tmp_path / "bare")
    with pytest.raises(ConfigError, match=r"'domian_1' is not a domain below .*nearest: 'domain_1'"):
        ImageFoldersConfig(domains=("domian_1",)).build(root)


@pytest.mark.real_data
def test_real_photographs(real_data: Callable[[str], Path]) -> None:
    stream = ImageFoldersConfig(shots=5).build(real_data("images_real"))
    sizes = {task.name: (len(task.class_names), len(task.train), len(task.test)) for task in stream.tasks}
    assert sizes["caltech101"] == (20, 100, 240)
    assert sizes["oxford_pets"] == (3, 15, 36)
    assert sizes["mnist"] == (10, 50, 120)
    assert len(sizes) == 9
    names = {task.name: task.class_names for task in stream.tasks if isinstance(task, ImageTask)}
    assert "BMW 6 Series Convertible 2007" in names["stanford_cars"]


def test_cached_stream_is_the_stream(root: Path, image_cache: Path) -> None:
    plain, cached = ImageFoldersConfig(), ImageFoldersConfig(cached=True)
    assert cached.build(root).fingerprint() == plain.build(root).fingerprint()
    again = cached.build(root)
    for one, two in zip(plain.build(root).tasks, again.tasks, strict=True):
        assert isinstance(one, ImageTask) and isinstance(two, ImageTask)
        assert np.array_equal(one.train.pixels, np.asarray(two.train.pixels))
        assert np.array_equal(one.test.pixels, np.asarray(two.test.pixels))


def test_replaced_image_changes_the_fingerprint(root: Path) -> None:
    before = ImageFoldersConfig().build(root).fingerprint()
    write_image(root / "domain_0" / "test" / "class_0" / "0.png", 999)
    assert ImageFoldersConfig().build(root).fingerprint() != before


def test_shared_classes_are_a_choice_of_unions(root: Path) -> None:
    with pytest.raises(ValidationError, match="shared_classes=merge needs protocol=union"):
        ImageFoldersConfig(shared_classes="merge")
    refused = ImageFoldersConfig(protocol="union").build(root)
    merged = ImageFoldersConfig(protocol="union", shared_classes="merge").build(root)
    assert (refused.shared_classes, merged.shared_classes) == ("refuse", "merge")
    assert merged.setting == {**refused.setting, "shared_classes": "merge"}


def test_litter_of_other_systems_changes_nothing(root: Path) -> None:
    before = ImageFoldersConfig().build(root).fingerprint()
    (root / "__MACOSX" / "domain_0").mkdir(parents=True)
    (root / "domain_0" / "train" / "__MACOSX").mkdir()
    (root / "domain_0" / "train" / "desktop.ini").write_text("x")
    for name in ("Thumbs.db", ".DS_Store", "._0.png", "Icon\r"):
        (root / "domain_0" / "train" / "class_1" / name).write_text("x")
    assert ImageFoldersConfig().build(root).fingerprint() == before


def test_composed_and_decomposed_names_are_one_name(root: Path, tmp_path: Path) -> None:
    composed, decomposed = (unicodedata.normalize(form, "café") for form in ("NFC", "NFD"))
    builds = []
    for forms in ((composed,) * 3, (decomposed, decomposed, composed), (composed, decomposed, decomposed)):
        place = tmp_path / f"as{len(builds)}"
        shutil.copytree(root, place)
        domain = (place / "domain_0").rename(place / forms[0])
        for part, name in zip(("train", "test"), forms[1:], strict=True):
            (domain / part / "class_0").rename(domain / part / name)
            (domain / part / name / "0.png").rename(domain / part / name / f"{name}.png")
        (domain / "classes.json").write_text(
            json.dumps({decomposed: "café", "class_1": "b", "class_2": "c"}), encoding="utf-8-sig"
        )
        for wanted in (composed, decomposed):
            stream = ImageFoldersConfig(domains=("domain_1", wanted)).build(place)
            builds.append((stream.task_names, stream.fingerprint()))
    assert len(set(builds)) == 1
    assert builds[0][0] == ("domain_1", composed)


@pytest.mark.parametrize("cached", [False, True])
def test_training_images_among_the_test_images_are_found_under_any_name(cached: bool, root: Path, image_cache: Path) -> None:
    for part in ("class_0/0.png", "class_2/3.png"):  # one of them may be held out for validation
        copy = root / "domain_1" / "test" / "class_1" / f"copy_{part[6]}.png"
        copy.write_bytes((root / "domain_1" / "train" / part).read_bytes())
    stream = ImageFoldersConfig(image_size=16, cached=cached).build(root)
    assert learned_tests(stream.tasks[0]) == []
    assert learned_tests(stream.tasks[1]) == ["test/class_1/copy_0.png", "test/class_1/copy_2.png"]


def test_pictures_are_turned_and_caches_know_it(root: Path) -> None:
    plan = ImageFoldersConfig().plan_task(root, "domain_0")
    assert plan.train.source.upright
    raw = replace(plan, train=replace(plan.train, source=FileSource(root / "domain_0")))
    assert ImageFoldersConfig().cache(plan, "train").identity != ImageFoldersConfig().cache(raw, "train").identity
