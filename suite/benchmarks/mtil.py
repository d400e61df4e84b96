"""MTIL: eleven image data sets, each judged on its own classes; full-shot (ZSCL), 5-shot and 16-shot.

Sources: Thunderbeee/ZSCL (splits, names, templates, orders), JiazuoYu/MoE-Adapters4CL (few-shot rule). The original
code draws shots from the global random state and freezes one crop per few-shot image; here the draw depends on
``draw_seed`` alone and every epoch crops anew.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from suite.benchmarks.image_facts import stream_facts
from suite.benchmarks.image_plan import (
    DrawRule,
    TaskPlan,
    completeness,
    fact_differences,
    found_counts,
    plan_all,
    planned_stream,
    read_cached,
    require_classes,
    split_cache,
)
from suite.benchmarks.stream import Protocol, Split, Stream
from suite.config import BenchmarkConfig
from suite.data.cache import ImageCache
from suite.data.readers_torchvision import read_torchvision


class MtilFields(BenchmarkConfig):
    """Fields and building shared by the three MTIL benchmarks; ``shots`` is what sets them apart."""

    backbone: ClassVar[Mapping[str, Any]] = {
        "name": "open-clip",
        "model": "ViT-B-16-quickgelu",
        "pretrained": "openai",
    }
    budget: ClassVar[Mapping[str, Any]] = {"steps": 500, "batch_size": 64, "lr": 5e-4}
    shots: ClassVar[int | None] = None
    # Thunderbeee/ZSCL mtil/results.ipynb, zero-shot cell. SUN397's test images differ by file system, hence 2 points.
    untouched: ClassVar[Mapping[str, float]] = {
        "aircraft": 24.3,
        "caltech101": 88.4,
        "cifar100": 68.2,
        "dtd": 44.6,
        "eurosat": 54.9,
        "flowers": 71.0,
        "food": 88.5,
        "mnist": 59.4,
        "oxfordpet": 89.0,
        "stanfordcars": 64.7,
        "sun397": 65.2,
    }

    order: Literal["I", "II"] = "I"
    draw_seed: Annotated[int, Field(ge=0)] = 0  # which few-shot and validation images
    eval_templates: Literal["all", "first"] = "all"  # average over the ensemble (ZSCL), or the training template alone
    validation_share: Annotated[float, Field(gt=0, lt=1)] = 0.1  # of each class, where the set has no validation part
    validation_per_class: Annotated[int, Field(ge=1)] = 50  # at most
    image_size: Annotated[int, Field(ge=8, le=1024)] = 224

    def task_names(self, data_root: Path) -> list[str]:
        return list(stream_facts("mtil")["orders"][self.order])

    def cache(self, plan: TaskPlan, split: Split) -> ImageCache:
        return split_cache("mtil", plan, split, self.image_size)

    def differences(self, plan: TaskPlan) -> Iterator[str]:
        return fact_differences("mtil", plan)

    def build(self, data_root: Path) -> Stream:
        plans = plan_all(self, data_root)
        data = completeness("mtil", plans)
        return planned_stream(
            self.name,
            plans,
            Protocol.TASK,
            {"order": self.order, "shots": self.shots or "all", "data": data},
            lambda plan, split: read_cached(self.cache(plan, split)),
        )

    def plan_task(self, data_root: Path, name: str) -> TaskPlan:
        facts = stream_facts("mtil")["sets"][name]
        image_set = read_torchvision(data_root, name)
        require_classes("MTIL", image_set, facts["classes"])
        rule = DrawRule(self.shots, False, self.draw_seed, self.validation_share, self.validation_per_class)
        train, validation = rule.apply("mtil", image_set)
        templates = tuple(facts["templates"])
        return TaskPlan(
            name=name,
            class_names=image_set.class_names,
            train_templates=templates[:1],
            eval_templates=templates if self.eval_templates == "all" else templates[:1],
            train=train,
            validation=validation,
            test=image_set.test,
            found=found_counts(image_set),
        )


class MtilConfig(MtilFields):
    """Full-shot MTIL: all training images but the validation images held out of them."""

    budget: ClassVar[Mapping[str, Any]] = {"steps": 1000, "batch_size": 64, "lr": 5e-4}

    name: Literal["mtil"] = "mtil"


class Mtil5ShotConfig(MtilFields):
    """MTIL with five training images per class."""

    shots: ClassVar[int | None] = 5

    name: Literal["mtil-5shot"] = "mtil-5shot"


class Mtil16ShotConfig(MtilFields):
    """MTIL with sixteen training images per class; flowers has ten and keeps ten."""

    shots: ClassVar[int | None] = 16

    name: Literal["mtil-16shot"] = "mtil-16shot"
