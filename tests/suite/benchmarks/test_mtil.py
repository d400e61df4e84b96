"""MTIL on trees in both layouts: protocol, orders, prompts, few-shot rule, held-out validation."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from suite.benchmarks.image_plan import TaskPlan, plan_all
from suite.benchmarks.mtil import Mtil5ShotConfig, Mtil16ShotConfig, MtilConfig
from suite.benchmarks.stream import ImageTask, LabelSpace
from suite.config import RunConfig
from suite.data.decode import decode
from suite.data.image_facts import class_facts, stream_facts
from suite.errors import ConfigError, DataError

ORDER_TWO = [  # permutation in ZSCL, mtil/results.ipynb
    *("stanfordcars", "food", "mnist", "oxfordpet", "flowers", "sun397"),
    *("aircraft", "caltech101", "dtd", "eurosat", "cifar100"),
]


def plans(config: MtilConfig | Mtil5ShotConfig | Mtil16ShotConfig, root: Path) -> dict[str, TaskPlan]:
    return {plan.name: plan for plan in plan_all(config, root)}


def test_facts_are_whole() -> None:
    facts = stream_facts("mtil")
    assert sum(each["classes"] for each in facts["sets"].values()) == 1201
    assert sum(each["test"] for each in facts["sets"].values()) == 3333 + 1736 + 10000 + 1880 + 5400 + 6149 + 25250 + (
        10000 + 3669 + 8041 + 21751
    )
    assert facts["orders"]["I"] == sorted(facts["orders"]["I"])
    assert facts["orders"]["II"] == ORDER_TWO
    counts = {name: len(each["templates"]) for name, each in facts["sets"].items()}
    assert counts == dict(zip(facts["orders"]["I"], [2, 34, 18, 8, 3, 1, 1, 1, 1, 9, 2], strict=True))
    for name, each in facts["sets"].items():
        assert len(class_facts("mtil")[name]["names"]) == each["classes"]
        assert all(template.count("{}") == 1 for template in each["templates"])


def test_stream_of_order_two(torchvision_root: Path, image_cache: Path) -> None:
    stream = Mtil5ShotConfig(order="II", image_size=16).build(torchvision_root)
    assert list(stream.task_names) == ORDER_TWO
    assert stream.protocol is LabelSpace.TASK
    assert stream.setting == {"order": "II", "shots": 5, "data": "partial"}
    caltech = stream.tasks[7]
    assert isinstance(caltech, ImageTask)
    assert caltech.train_templates == ("a photo of a {}.",)
    assert len(caltech.eval_templates) == 34
    assert caltech.augmentation == "crop"
    assert caltech.train.pixels.shape[1:] == (3, 16, 16)


def test_pixels_are_squeezed_for_training_and_cropped_for_the_test(torchvision_root: Path, image_cache: Path) -> None:
    config = Mtil5ShotConfig(image_size=16)
    task = config.build(torchvision_root).tasks[0]
    plan = plan_all(config, torchvision_root)[0]
    assert isinstance(task, ImageTask)
    for part, geometry in (("train", "whole"), ("validation", "centre"), ("test", "centre")):
        examples, items = getattr(task, part), plan.items(part)  # type: ignore[arg-type]
        assert examples.ids == items.ids
        for row in (0, len(items) - 1):
            assert np.array_equal(examples.pixels[row], decode(items.source, items.ids[row], 16, geometry))  # type: ignore[arg-type]


def test_second_build_reads_the_cache(torchvision_root: Path, image_cache: Path) -> None:
    config = Mtil5ShotConfig(image_size=16)
    first = config.build(torchvision_root)
    made = {file: file.stat().st_mtime_ns for file in image_cache.rglob("pixels.u8")}
    assert len(made) == 33
    assert config.build(torchvision_root).fingerprint() == first.fingerprint()
    more = Mtil16ShotConfig(image_size=16).build(torchvision_root)
    assert more.fingerprint() != first.fingerprint()
    assert {file: file.stat().st_mtime_ns for file in made} == made
    fresh = {file.parent.name for file in image_cache.rglob("pixels.u8") if file not in made}
    assert not any("-test-" in name for name in fresh)  # test parts are shared by all shots


def test_few_shot_keeps_short_classes_short(torchvision_root: Path) -> None:
    five = plans(Mtil5ShotConfig(), torchvision_root)
    assert np.bincount(five["mnist"].train.labels).tolist() == [5] * 10
    assert np.bincount(five["flowers"].train.labels).tolist() == [2] * 102  # the tree has two each, as 16 shots find ten
    for plan in five.values():
        assert len(set(plan.train.ids)) == len(plan.train)


def test_validation_is_official_or_held_out_of_training(torchvision_root: Path) -> None:
    full = plans(MtilConfig(), torchvision_root)
    for name in ("aircraft", "dtd", "flowers"):  # sets with a validation part of their own keep all training images
        assert len(full[name].train) == full[name].found["train"]
        assert full[name].found["validation"] > 0
    for config in (MtilConfig(), Mtil5ShotConfig(), Mtil16ShotConfig(draw_seed=3)):
        for plan in plans(config, torchvision_root).values():
            assert not set(plan.validation.ids) & set(plan.train.ids)
            assert not set(plan.validation.ids) & set(plan.test.ids)
    capped = plans(MtilConfig(validation_share=0.5, validation_per_class=1), torchvision_root)["mnist"]
    assert np.bincount(capped.validation.labels).tolist() == [1] * 10


def test_draw_seed_moves_draws_and_leaves_tests(torchvision_root: Path) -> None:
    one, two = (plans(Mtil5ShotConfig(draw_seed=seed), torchvision_root) for seed in (0, 1))
    assert one["mnist"].train.ids != two["mnist"].train.ids
    assert all(one[name].test.ids == two[name].test.ids for name in one)


def test_both_layouts_give_one_fingerprint(torchvision_root: Path, coop_root: Path, tmp_path: Path) -> None:
    """The same files under other folder names are the same data."""
    moved = tmp_path / "moved"
    for source, target in (
        ("fgvc-aircraft-2013b/data", "fgvc_aircraft"),
        ("caltech101", "caltech-101"),
        ("dtd/dtd", "dtd"),
        ("flowers-102", "oxford_flowers"),
        ("oxford-iiit-pet", "oxford_pets"),
        ("SUN397", "sun397/SUN397"),
        ("MNIST/raw", "mnist"),
        ("cifar-100-binary", "cifar-100-binary"),
        ("eurosat", "eurosat"),
        ("food-101", "food-101"),
        ("stanford_cars", "stanford_cars"),
    ):
        shutil.copytree(torchvision_root / source, moved / target)
    ours, theirs = plans(Mtil5ShotConfig(), moved), plans(Mtil5ShotConfig(), torchvision_root)
    for name, plan in ours.items():
        for split in ("train", "validation", "test"):
            assert plan.items(split).ids == theirs[name].items(split).ids  # type: ignore[arg-type]


def test_class_count_that_differs_is_refused(torchvision_root: Path, tmp_path: Path) -> None:
    root = shutil.copytree(torchvision_root, tmp_path / "root")
    data = root / "fgvc-aircraft-2013b" / "data"
    for path in data.glob("*.txt"):
        path.write_text("".join(line for line in path.read_text().splitlines(True) if "707-320" not in line))
    with pytest.raises(DataError, match=r"has 99 classes, MTIL's 'aircraft' has 100; restore"):
        plan_all(MtilConfig(), root)


def test_single_template_evaluation(torchvision_root: Path) -> None:
    plan = plans(MtilConfig(eval_templates="first"), torchvision_root)["stanfordcars"]
    assert plan.eval_templates == plan.train_templates == ("a photo of a {}, a type of car.",)


@pytest.mark.parametrize(("name", "steps"), [("mtil", 1000), ("mtil-5shot", 500), ("mtil-16shot", 500)])
def test_defaults_resolve(name: str, steps: int) -> None:
    config = RunConfig.model_validate({"benchmark": name, "method": "codyra"})
    assert config.training.steps == steps
    assert config.training.batch_size == 64
    assert config.resolved()["backbone"]["model"] == "ViT-B-16-quickgelu"
    assert RunConfig.model_validate(config.resolved()) == config


def test_a_stream_of_the_data_sets_that_are_there(torchvision_root: Path, image_cache: Path, tmp_path: Path) -> None:
    """In the order given, as a setting of its own; what nobody asked for need not be there."""
    root = tmp_path / "root"
    for folder in ("dtd", "MNIST"):
        shutil.copytree(torchvision_root / folder, root / folder)
    config = Mtil5ShotConfig(image_size=16, tasks=("mnist", "dtd"))
    stream = config.build(root)
    assert stream.task_names == ("mnist", "dtd")
    assert stream.setting == {"order": "given", "shots": 5, "data": "partial"}
    assert config.restricted
    with pytest.raises(ConfigError, match=r"benchmark.tasks: 'dtt' .*nearest: 'dtd'"):
        Mtil5ShotConfig(tasks=("dtt",))


def test_all_missing_data_sets_are_named_at_once(torchvision_root: Path, tmp_path: Path) -> None:
    root = tmp_path / "root"
    for folder in ("dtd", "MNIST"):
        shutil.copytree(torchvision_root / folder, root / folder)
    with pytest.raises(DataError, match=r"^mtil: 9 of 11 tasks cannot be read \(aircraft, caltech101, cifar100, ") as refused:
        plan_all(MtilConfig(), root)
    said = str(refused.value)
    assert all(f"data set '{name}' is missing" in said for name in ORDER_TWO if name not in ("dtd", "mnist"))
    assert said.endswith("; the others alone: benchmark.tasks=[dtd,mnist].")
