"""What MTIL and X-TAIL share: fields of the draw, the cache of decoded images, and how plans become a stream."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, field_validator

from suite.benchmarks.image_plan import (
    TaskPlan,
    completeness,
    fact_differences,
    plan_all,
    planned_stream,
    read_cached,
    split_cache,
)
from suite.benchmarks.stream import LabelSpace, Stream
from suite.data.cache import ImageCache
from suite.data.examples import Split
from suite.data.image_facts import Family, stream_facts
from suite.errors import require_known
from suite.parts import BenchmarkConfig


class PlannedImages(BenchmarkConfig):
    """Base of the image benchmarks whose tasks are public data sets; subclasses say how one data set becomes a task.

    Attributes:
        family: whose class names, templates, orders and sizes the shipped facts hold.
        protocol: classes an image is judged among.
        shots: training images per class; None = all.
        tasks: the data sets to learn, in this order; null = all, in the order I or II. Another stream than the published one.
    """

    family: ClassVar[Family]
    protocol: ClassVar[LabelSpace]
    backbone: ClassVar[Mapping[str, Any]] = {"name": "open-clip", "model": "ViT-B-16-quickgelu", "pretrained": "openai"}
    budget: ClassVar[Mapping[str, Any]] = {"steps": 500, "batch_size": 64, "lr": 5e-4}

    chooses: ClassVar[frozenset[str]] = frozenset({"order", "tasks"})
    tasks_field: ClassVar[str] = "benchmark.tasks"
    order: Literal["I", "II"] = "I"
    tasks: Annotated[tuple[str, ...], Field(min_length=1)] | None = None
    draw_seed: Annotated[int, Field(ge=0)] = 0  # which few-shot and validation images
    validation_share: Annotated[float, Field(gt=0, lt=1)] = 0.1  # of each class, where the set has no validation part
    validation_per_class: Annotated[int, Field(ge=1)] = 50  # at most
    image_size: Annotated[int, Field(ge=8, le=1024)] = 224

    @field_validator("tasks")
    @classmethod
    def _has_the_tasks(cls, names: tuple[str, ...] | None) -> tuple[str, ...] | None:
        require_known("data set of this benchmark", names or (), stream_facts(cls.family)["sets"], where="benchmark.tasks")
        return names

    @property
    def restricted(self) -> bool:
        return self.tasks is not None

    def plan_task(self, data_root: Path, name: str) -> TaskPlan:
        """One task with nothing decoded; DataError when something is missing or inconsistent."""
        raise TypeError(f"{type(self).__name__} defines no plan_task()")

    def setting(self) -> dict[str, Any]:
        """What sets this stream apart from others of the family, as tables show it."""
        raise TypeError(f"{type(self).__name__} defines no setting()")

    def task_names(self, data_root: Path) -> list[str]:
        return list(self.tasks or stream_facts(self.family)["orders"][self.order])

    def cache(self, plan: TaskPlan, split: Split) -> ImageCache:
        return split_cache(self.family, plan, split, self.image_size)

    def differences(self, plan: TaskPlan) -> Iterator[str]:
        return fact_differences(self.family, plan)

    def build(self, data_root: Path) -> Stream:
        plans = plan_all(self, data_root)
        given = {"order": "given"} if self.tasks else {}
        setting = {**self.setting(), **given, "data": completeness(self.family, plans)}
        return planned_stream(
            self.name,
            plans,
            self.protocol,
            setting,
            lambda plan, split: read_cached(self.cache(plan, split)),
            "tie",  # X-TAIL itself has a pagoda in two sets
        )
