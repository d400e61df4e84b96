"""From lists of images to a stream: which items a task uses, and their pixels. Shared by the image benchmarks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from suite.benchmarks.stream import ImageTask, LabelSpace, SharedClasses, Stream
from suite.counting import counted
from suite.data.cache import ImageCache
from suite.data.cache_build import build
from suite.data.decode import Geometry, decode_all
from suite.data.draws import draw_shots, hold_out, rest_of
from suite.data.examples import SPLITS, ImageExamples, Split
from suite.data.image_facts import Family, class_facts, stream_facts
from suite.data.image_set import ImageSet
from suite.data.items import ImageItems
from suite.data.limit import first_rows
from suite.errors import DataError, read_each
from suite.hashing import cache_root

IMAGE_METRICS = ("zscl.transfer", "zscl.average", "zscl.last", "codyra.forgetting")
Decoder = Callable[["TaskPlan", Split], ImageExamples]


@dataclass(frozen=True, eq=False)
class TaskPlan:
    """One task before decoding: all that its identity, its manifest and its caches depend on.

    Attributes:
        found: sizes of the data set's own parts on disk, before any draw (``train``, ``validation``, ``test``).
    """

    name: str
    class_names: tuple[str, ...]
    train_templates: tuple[str, ...]
    eval_templates: tuple[str, ...]
    train: ImageItems
    validation: ImageItems
    test: ImageItems
    found: Mapping[str, int]

    def items(self, split: Split) -> ImageItems:
        chosen: ImageItems = getattr(self, split)
        return chosen

    def limited(self, most: int | None) -> TaskPlan:
        """The plan with at most ``most`` images per split, so that no other is decoded; None = all."""
        if most is None:
            return self
        train, validation, test = (self.items(split).take(first_rows(self.items(split).labels, most)) for split in SPLITS)
        return replace(self, train=train, validation=validation, test=test)


class PlannedBenchmark(Protocol):
    """A benchmark config that lists its images before it decodes them; manifests and caches need no more."""

    @property
    def name(self) -> str:
        """The benchmark's name in the registry."""

    @property
    def tasks_field(self) -> str:
        """The setting that restricts the stream to some tasks."""

    @property
    def limit(self) -> int | None:
        """Images per split and task at most; None = all."""

    def task_names(self, data_root: Path) -> list[str]:
        """Names of the tasks in stream order."""

    def plan_task(self, data_root: Path, name: str) -> TaskPlan:
        """One task with nothing decoded and before ``limit``; DataError when something is missing or inconsistent."""

    def cache(self, plan: TaskPlan, split: Split) -> ImageCache:
        """The cache of one split, built or not."""

    def differences(self, plan: TaskPlan) -> Iterator[str]:
        """What about a task is not as the shipped facts have it; one clause each."""

    def model_dump(self, *, mode: str) -> dict[str, Any]:
        """Every field of the config; plain JSON types with mode ``json``."""


@dataclass(frozen=True)
class DrawRule:
    """How a task's training and validation items come out of a data set's official parts.

    Attributes:
        shots: training images per class; None = all.
        fill: classes with fewer images repeat some (X-TAIL) instead of staying short (MTIL).
        share: part of each class held out for validation where the data set has no official validation part.
        most: validation images per class at most, so that evaluation after every task stays affordable.
    """

    shots: int | None
    fill: bool
    seed: int
    share: float
    most: int

    def apply(self, family: str, image_set: ImageSet) -> tuple[ImageItems, ImageItems]:
        """(training, validation) items; they share no image, and neither takes any of the test part."""
        key = (family, image_set.name, self.seed)
        pool = image_set.train
        official = image_set.validation
        if self.shots is not None:
            spare = 1 if official is None else 0
            drawn = draw_shots(pool, self.shots, key=key, fill=self.fill, spare=spare)
            if official is None:
                unused = pool.take(rest_of(pool, drawn))
                return pool.take(drawn), unused.take(hold_out(unused, self.share, key=key, most=self.most))
            return pool.take(drawn), official.take(hold_out(official, 1.0, key=key, most=self.most))
        if official is None:
            held = hold_out(pool, self.share, key=key, most=self.most, leave=1)
            return pool.take(rest_of(pool, held)), pool.take(held)
        return pool, official.take(hold_out(official, 1.0, key=key, most=self.most))


def plan_one(benchmark: PlannedBenchmark, data_root: Path, name: str) -> TaskPlan:
    """One task as the benchmark uses it, nothing decoded; DataError when something is missing or inconsistent."""
    return benchmark.plan_task(data_root, name).limited(benchmark.limit)


def plan_all(benchmark: PlannedBenchmark, data_root: Path) -> list[TaskPlan]:
    """All tasks in stream order, nothing decoded; DataError with all that is missing of all of them."""
    names = benchmark.task_names(data_root)
    plans = read_each(
        names, lambda name: plan_one(benchmark, data_root, name), where=benchmark.name, field=benchmark.tasks_field
    )
    return [plans[name] for name in names]


def all_caches(benchmark: PlannedBenchmark, plans: Sequence[TaskPlan]) -> list[ImageCache]:
    """The caches of a stream in the order in which it reads them."""
    return [benchmark.cache(plan, split) for plan in plans for split in SPLITS]


def require_classes(family: str, image_set: ImageSet, expected: int) -> None:
    """DataError unless the data set on disk has as many classes as the benchmark."""
    if image_set.classes != expected:
        raise DataError(
            f"{image_set.folder}: has {counted(image_set.classes, 'class')}, {family}'s '{image_set.name}' has {expected}; "
            "restore the original set, or run your own with benchmark image-folders."
        )


def found_counts(image_set: ImageSet) -> dict[str, int]:
    validation = 0 if image_set.validation is None else len(image_set.validation)
    return {"train": len(image_set.train), "validation": validation, "test": len(image_set.test)}


def fact_differences(family: Family, plan: TaskPlan) -> Iterator[str]:
    """Sizes and, where the shipped list was verified, class names that are not those of the benchmark.

    mnist has no names on disk: its names are always the shipped ones, wrapped as the config says.
    """
    facts = stream_facts(family)["sets"][plan.name]
    for part in ("train", "validation", "test"):
        if plan.found[part] != (facts[part] or 0):
            expected = f"{facts[part] or 0} ({facts['counts']})"
            yield f"the {part} part on disk has {counted(plan.found[part], 'image')} instead of {expected}"
    shipped = class_facts(family)[plan.name]
    if shipped["status"] == "verified" and plan.name != "mnist":
        for label, (ours, theirs) in enumerate(zip(plan.class_names, shipped["names"], strict=True)):
            if ours.replace("_", " ") != theirs.replace("_", " "):
                yield f"class {label} is named '{ours}' instead of '{theirs}'"


def completeness(family: Family, plans: Sequence[TaskPlan]) -> str:
    """``complete``, or ``partial`` when some part on disk does not have the benchmark's number of images."""
    facts = stream_facts(family)["sets"]
    whole = all(plan.found[part] == (facts[plan.name][part] or 0) for plan in plans for part in plan.found)
    return "complete" if whole else "partial"


def split_cache(family: str, plan: TaskPlan, split: Split, size: int) -> ImageCache:
    """The cache of one split below the node's cache folder; benchmarks of one family share what they have in common.

    Training images are stored whole, both sides resized to ``size``: the papers' training crop takes 0.9 to 1 of the
    whole image and squeezes it to a square. Validation and test images are stored as the papers test, resized and
    centre-cropped.
    """
    geometry: Geometry = "whole" if split == "train" else "centre"
    return ImageCache(plan.items(split), f"{family}-{plan.name}-{split}", size, geometry, cache_root() / "images")


def read_cached(cache: ImageCache) -> ImageExamples:
    """Examples over a cache, which is built first when it is not there."""
    if not cache.is_built:
        build(cache)
    pixels, content, aspects, digests = cache.open()
    squeezed = aspects if cache.geometry == "whole" else None
    return ImageExamples(pixels, cache.items.labels, cache.items.ids, content, squeezed, digests)


def decode_now(items: ImageItems, size: int) -> ImageExamples:
    """Examples decoded into memory, resized and centre-cropped."""
    pixels, content, digests = decode_all(items, size)
    return ImageExamples(pixels, items.labels, items.ids, content, digests=digests)


def planned_stream(
    name: str,
    plans: Sequence[TaskPlan],
    protocol: LabelSpace,
    setting: dict[str, Any],
    decoder: Decoder,
    shared_classes: SharedClasses,
) -> Stream:
    """The stream of some plans with the papers' training crop."""
    tasks = []
    for plan in plans:
        train, validation, test = (decoder(plan, split) for split in SPLITS)
        tasks.append(
            ImageTask(
                plan.name,
                train,
                validation,
                test,
                plan.class_names,
                plan.train_templates,
                plan.eval_templates,
                augmentation="crop",
            )
        )
    return Stream(name, tasks, protocol, IMAGE_METRICS, setting, shared_classes=shared_classes)
