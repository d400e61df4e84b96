"""Embedded image streams that need no download: seven drawn domains and real handwritten digits."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, field_validator

from suite.benchmarks.stream import ImageTask, LabelSpace, Stream
from suite.data.drawn_images import DOMAINS, class_names_of, draw_domain
from suite.data.examples import ImageExamples, Split
from suite.errors import require_known
from suite.parts import BenchmarkConfig

SHOTS = 32
HELD: Mapping[Split, int] = MappingProxyType({"validation": 80, "test": 160})  # images per domain, rounded up to whole classes
METRICS = ("zscl.transfer", "zscl.average", "zscl.last", "codyra.forgetting", "gem.bwt")


class MiniConfig(BenchmarkConfig):
    """Fields of both embedded image benchmarks.

    Attributes:
        order: I = the domains as listed, II = the same backwards.
        shots: training images per class.
        domains: which domains, in this order; null = all, in the order I or II.
        draw_seed: which images are drawn; not the run's seed, so that seeds of a comparison share the data.
    """

    backbone: ClassVar[Mapping[str, Any]] = MappingProxyType({"name": "mini-clip"})
    budget: ClassVar[Mapping[str, Any]] = MappingProxyType({"steps": 60, "batch_size": 32, "lr": 5e-4})
    chooses: ClassVar[frozenset[str]] = frozenset({"order", "domains"})

    order: Literal["I", "II"] = "I"
    shots: Annotated[int, Field(ge=1, le=64)] = SHOTS
    domains: Annotated[tuple[str, ...], Field(min_length=1)] | None = None
    draw_seed: Annotated[int, Field(ge=0)] = 0

    @field_validator("domains")
    @classmethod
    def _has_the_domains(cls, names: tuple[str, ...] | None) -> tuple[str, ...] | None:
        require_known("drawn domain", names or (), DOMAINS, where="benchmark.domains")
        return names

    def stream(self, protocol: LabelSpace) -> Stream:
        """The stream under ``protocol``."""
        names = self.domains or (DOMAINS if self.order == "I" else tuple(reversed(DOMAINS)))
        order = "given" if self.domains else self.order
        tasks = [self._task(name) for name in names]
        return Stream(self.name, tasks, protocol, METRICS, {"order": order, "shots": self.shots, "tasks": len(tasks)})

    def _task(self, name: str) -> ImageTask:
        train = draw_domain(name, "train", self.shots, self.draw_seed)
        validation, test = (
            draw_domain(name, split, math.ceil(HELD[split] / len(class_names_of(name))), self.draw_seed) for split in HELD
        )
        template = (train.template,)
        # No content: the pixels follow from code and from shipped scans whose checksum it knows, and may differ in a last bit
        # between processors that otherwise share runs.
        learned, held, judged = (ImageExamples(part.images, part.labels, part.ids, "") for part in (train, validation, test))
        return ImageTask(name, learned, held, judged, train.class_names, template, template)


class MiniMtilConfig(MiniConfig):
    """``mini-mtil``: a test image is judged among the classes of its own task."""

    name: Literal["mini-mtil"] = "mini-mtil"

    def build(self, data_root: Path) -> Stream:
        return self.stream(LabelSpace.TASK)


class MiniXtailConfig(MiniConfig):
    """``mini-xtail``: a test image is judged among the classes of all domains, learned or not."""

    name: Literal["mini-xtail"] = "mini-xtail"

    def build(self, data_root: Path) -> Stream:
        return self.stream(LabelSpace.UNION)
