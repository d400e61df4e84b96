"""``image-folders``: a stream over your own images, laid out ``<domain>/{train,test}/<class>/*.png|jpg|jpeg``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from suite.benchmarks.image_plan import TaskPlan, decode_now, plan_all, planned_stream, read_cached
from suite.benchmarks.stream import LabelSpace, Stream
from suite.counting import counted
from suite.data.cache import ImageCache
from suite.data.draws import class_rows, draw_beside, hold_out, rest_of
from suite.data.examples import ImageExamples, Split
from suite.data.folders import FolderDomain, find_domains, read_domain
from suite.data.items import ImageItems
from suite.errors import DataError
from suite.files import entry_path
from suite.hashing import cache_root
from suite.parts import BenchmarkConfig
from suite.settings import Name


class ImageFoldersConfig(BenchmarkConfig):
    """Every folder below ``folder`` is a task; its classes are the folders of its ``train`` part.

    Validation images are held out of train, ``validation_share`` of each class and at least one; few-shot training sets
    are drawn from what is left. Shots depend on (domain, class, shots, draw_seed) alone, not on ``validation_share``.
    """

    places: ClassVar[frozenset[str]] = frozenset({"folder"})
    chooses: ClassVar[frozenset[str]] = frozenset({"domains"})
    backbone: ClassVar[Mapping[str, Any]] = {"name": "mini-clip"}
    budget: ClassVar[Mapping[str, Any]] = {"steps": 100, "batch_size": 32, "lr": 2e-3}

    tasks_field: ClassVar[str] = "benchmark.domains"
    name: Literal["image-folders"] = "image-folders"
    folder: str = "."  # relative to the data root
    domains: tuple[Name, ...] | None = None  # in the order of the stream; None = all, sorted
    protocol: Literal["task", "union"] = "task"
    shared_classes: Literal["refuse", "merge"] = (
        "refuse"  # a class that several domains of a union have: one class, or a mistake
    )
    shots: Annotated[int, Field(ge=1)] | None = None  # training images per class; None = all
    validation_share: Annotated[float, Field(gt=0, lt=1)] = 0.2
    draw_seed: Annotated[int, Field(ge=0)] = 0
    templates: Annotated[tuple[str, ...], Field(min_length=1)] = ("a photo of a {}.",)  # the first is used in training
    image_size: Annotated[int, Field(ge=8, le=1024)] = 32
    cached: bool = False  # decode once per node instead of once per run; for more than some thousand images

    @field_validator("templates")
    @classmethod
    def _one_gap(cls, templates: tuple[str, ...]) -> tuple[str, ...]:
        for template in templates:
            if template.count("{}") != 1:
                raise ValueError(f"'{template}' needs exactly one {{}} for the class name")
        return templates

    @model_validator(mode="after")
    def _merges_in_a_union(self) -> ImageFoldersConfig:
        if self.shared_classes == "merge" and self.protocol != "union":
            raise ValueError(
                "shared_classes=merge needs protocol=union; under protocol=task every domain keeps its own classes"
            )
        return self

    def task_names(self, data_root: Path) -> list[str]:
        return find_domains(data_root / self.folder, self.domains)

    def cache(self, plan: TaskPlan, split: Split) -> ImageCache:
        # a crop of the middle for training too: own pictures may be panoramas, which squeezing would distort
        title = f"{self.name}-{plan.name}-{split}"
        return ImageCache(plan.items(split), title, self.image_size, "centre", cache_root() / "images")

    def differences(self, plan: TaskPlan) -> Iterator[str]:
        return iter(())

    def build(self, data_root: Path) -> Stream:
        merged = {"shared_classes": "merge"} if self.shared_classes == "merge" else {}
        return planned_stream(
            self.name,
            plan_all(self, data_root),
            LabelSpace(self.protocol),
            {"shots": self.shots or "all", "protocol": self.protocol, **merged},
            self._examples,
            self.shared_classes,
        )

    def _examples(self, plan: TaskPlan, split: Split) -> ImageExamples:
        if self.cached:
            return read_cached(self.cache(plan, split))
        return decode_now(plan.items(split), self.image_size)

    def plan_task(self, data_root: Path, name: str) -> TaskPlan:
        domain = read_domain(entry_path(data_root / self.folder, name))
        train, validation = self._split(domain)
        return TaskPlan(
            name=domain.name,
            class_names=domain.class_names,
            train_templates=self.templates[:1],
            eval_templates=self.templates,
            train=train,
            validation=validation,
            test=domain.test,
            found={"train": len(domain.train), "validation": 0, "test": len(domain.test)},
        )

    def _split(self, domain: FolderDomain) -> tuple[ImageItems, ImageItems]:
        """(training, validation) items of a domain; DataError when a class is too small for both."""
        key = (self.name, domain.name, self.draw_seed)
        validation = hold_out(domain.train, self.validation_share, key=key)
        left = domain.train.take(rest_of(domain.train, validation))
        kept = {label: len(rows) for label, rows in class_rows(left)}
        for label, rows in class_rows(domain.train):
            if kept.get(label, 0) < (self.shots or 1):
                raise DataError(
                    f"{domain.train.source.where('train/' + domain.class_folders[label])}: has {counted(len(rows), 'image')} and "
                    f"validation takes {len(rows) - kept.get(label, 0)}, which leaves too few for "
                    f"{counted(self.shots or 1, 'training image')} per class; add images or lower benchmark.shots or "
                    "benchmark.validation_share."
                )
        train = left if self.shots is None else domain.train.take(draw_beside(domain.train, self.shots, key=key))
        return train, domain.train.take(validation)
