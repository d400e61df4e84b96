"""``image-folders``: a stream over your own images, laid out ``<domain>/{train,test}/<class>/*.png|jpg|jpeg``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, field_validator

from suite.benchmarks.stream import ImageExamples, ImageTask, Protocol, Stream
from suite.config import BenchmarkConfig
from suite.data.decode import decode_all
from suite.data.draws import class_rows, draw_shots, hold_out, rest_of
from suite.data.folders import FolderDomain, find_domains, read_domain
from suite.data.items import ImageItems
from suite.errors import DataError


class ImageFoldersConfig(BenchmarkConfig):
    """Every folder below ``folder`` is a task; its classes are the folders of its ``train`` part.

    Validation images are held out of train, ``validation_share`` of each class and at least one; few-shot training sets
    are drawn from what is left. Both draws depend on (domain, class, draw_seed) alone.
    """

    backbone: ClassVar[Mapping[str, Any]] = {"name": "mini-clip"}
    budget: ClassVar[Mapping[str, Any]] = {"steps": 60, "batch_size": 32, "lr": 2e-3}

    name: Literal["image-folders"] = "image-folders"
    folder: str = "."  # relative to the data root
    domains: tuple[str, ...] | None = None  # in the order of the stream; None = all, sorted
    protocol: Literal["task", "union"] = "task"
    shots: Annotated[int, Field(ge=1)] | None = None  # training images per class; None = all
    validation_share: Annotated[float, Field(gt=0, lt=1)] = 0.2
    draw_seed: Annotated[int, Field(ge=0)] = 0
    templates: Annotated[tuple[str, ...], Field(min_length=1)] = ("a photo of a {}.",)  # the first is used in training
    image_size: Annotated[int, Field(ge=8, le=1024)] = 32

    @field_validator("templates")
    @classmethod
    def _one_gap(cls, templates: tuple[str, ...]) -> tuple[str, ...]:
        for template in templates:
            if template.count("{}") != 1:
                raise ValueError(f"'{template}' needs exactly one {{}} for the class name")
        return templates

    def build(self, data_root: Path) -> Stream:
        root = data_root / self.folder
        domains = [read_domain(root / name) for name in find_domains(root, self.domains)]
        parts = [self._split(domain) for domain in domains]
        return Stream(
            name=self.name,
            tasks=[self._task(domain, *part) for domain, part in zip(domains, parts, strict=True)],
            protocol=Protocol(self.protocol),
            metrics=("zscl.transfer", "zscl.average", "zscl.last", "codyra.forgetting"),
            setting={"shots": self.shots or "all", "protocol": self.protocol},
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
                    f"{domain.train.source.where('train/' + domain.class_folders[label])}: has {len(rows)} images, "
                    f"of which {len(rows) - kept.get(label, 0)} are held out for validation, too few for "
                    f"{self.shots or 1} training images per class; add images or lower benchmark.shots or "
                    "benchmark.validation_share."
                )
        train = left if self.shots is None else left.take(draw_shots(left, self.shots, key=key))
        return train, domain.train.take(validation)

    def _task(self, domain: FolderDomain, train: ImageItems, validation: ImageItems) -> ImageTask:
        return ImageTask(
            name=domain.name,
            train=self._examples(train),
            validation=self._examples(validation),
            test=self._examples(domain.test),
            class_names=domain.class_names,
            train_templates=self.templates[:1],
            eval_templates=self.templates,
            augmentation="crop",
        )

    def _examples(self, items: ImageItems) -> ImageExamples:
        return ImageExamples(decode_all(items, self.image_size), items.labels, items.ids)
