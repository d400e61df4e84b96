"""MTIL: eleven image data sets, each judged on its own classes; full-shot (ZSCL), 5-shot and 16-shot.

Sources: Thunderbeee/ZSCL (splits, names, templates, orders), JiazuoYu/MoE-Adapters4CL (few-shot rule). The original
code draws shots from the global random state and freezes one crop per few-shot image; here the draw depends on
``draw_seed`` alone and every epoch crops anew.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

from suite.benchmarks.image_plan import DrawRule, TaskPlan, found_counts, require_classes
from suite.benchmarks.planned_images import PlannedImages
from suite.benchmarks.stream import LabelSpace
from suite.data.image_facts import Family, stream_facts
from suite.data.readers_torchvision import read_torchvision


class MtilFields(PlannedImages):
    """Fields and building shared by the three MTIL benchmarks; ``shots`` is what sets them apart."""

    family: ClassVar[Family] = "mtil"
    protocol: ClassVar[LabelSpace] = LabelSpace.TASK
    shots: ClassVar[int | None] = None
    # Thunderbeee/ZSCL mtil/results.ipynb, zero-shot cell. SUN397's test images differ by file system, hence 2 points.
    published_zero_shot: ClassVar[Mapping[str, float]] = {
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

    eval_templates: Literal["all", "first"] = "all"  # average over the ensemble (ZSCL), or the training template alone

    def setting(self) -> dict[str, Any]:
        return {"order": self.order, "shots": self.shots or "all"}

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
