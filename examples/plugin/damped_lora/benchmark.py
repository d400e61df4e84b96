"""Two drawn tasks of four classes: how many bars an image has, and which corner is lit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from suite.benchmarks.stream import ImageExamples, ImageTask, LabelSpace, Stream
from suite.parts import BenchmarkConfig
from suite.randomness import numpy_generator

SIZE = 32  # pixels: what the shipped CLIP takes
HELD = {"validation": 5, "test": 10}  # images per class
CORNERS = ("northwest", "northeast", "southwest", "southeast")


class BarsAndCornersConfig(BenchmarkConfig):
    """``shots`` training images per class, drawn from ``draw_seed``; a test image is judged among the classes of its task."""

    backbone: ClassVar[dict[str, Any]] = {"name": "mini-clip"}
    budget: ClassVar[dict[str, Any]] = {"steps": 30, "batch_size": 8, "lr": 3e-3}

    name: Literal["bars-and-corners"] = "bars-and-corners"
    shots: Annotated[int, Field(ge=1)] = 8
    draw_seed: Annotated[int, Field(ge=0)] = 0

    def build(self, data_root: Path) -> Stream:
        tasks = [
            self._task("bars", ("one", "two", "three", "four"), "a picture of {} of them.", draw_bars),
            self._task("corners", CORNERS, "a square in the {}.", draw_corner),
        ]
        metrics = ("zscl.last", "zscl.average", "gem.bwt")
        return Stream(self.name, tasks, LabelSpace.TASK, metrics, {"shots": self.shots})

    def _task(
        self, name: str, classes: tuple[str, ...], template: str, draw: Callable[[NDArray[np.float64], int], None]
    ) -> ImageTask:
        splits = {}
        for split, count in {"train": self.shots, **HELD}.items():
            labels = np.repeat(np.arange(len(classes)), count)
            generator = numpy_generator("bars-and-corners", name, split, self.draw_seed)
            images = generator.uniform(0, 60, (len(labels), 3, SIZE, SIZE))  # noise, so that no two are equal
            for image, label in zip(images, labels, strict=True):
                draw(image, int(label))
            ids = tuple(f"{name}/{split}/{index}" for index in range(len(labels)))
            splits[split] = ImageExamples(images.astype(np.uint8), labels, ids)
        return ImageTask(name, splits["train"], splits["validation"], splits["test"], classes, (template,), (template,))


def draw_bars(image: NDArray[np.float64], label: int) -> None:
    """``label`` + 1 bright bars, upright, side by side."""
    for bar in range(label + 1):
        image[:, 6:26, 3 + 7 * bar : 6 + 7 * bar] += 180


def draw_corner(image: NDArray[np.float64], label: int) -> None:
    """A bright square in the corner ``CORNERS[label]``."""
    top, left = 18 * (label // 2), 18 * (label % 2)
    image[:, top + 2 : top + 12, left + 2 : left + 12] += 180
