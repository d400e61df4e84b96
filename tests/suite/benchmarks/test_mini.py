"""The embedded image streams: their classes and sizes, and that the shipped weights know them as far as they should."""

from __future__ import annotations

from pathlib import Path

import torch

from suite.backbones.clip import MiniClipConfig
from suite.benchmarks.mini import HELD, SHOTS, MiniMtilConfig, MiniXtailConfig
from suite.benchmarks.stream import ImageTask

FEWEST = 2.5  # times chance


def test_the_union_has_many_classes_and_each_domain_about_as_many_test_images() -> None:
    stream = MiniXtailConfig(order="II").build(Path())
    tasks = [task for task in stream.tasks if isinstance(task, ImageTask)]
    assert tuple(task.name for task in tasks) == MiniMtilConfig(shots=1).build(Path()).task_names[::-1]
    assert sum(len(task.class_names) for task in tasks) == len({name for task in tasks for name in task.class_names}) == 156
    for task in tasks:
        classes = len(task.class_names)
        assert len(task.train) == SHOTS * classes
        assert HELD["validation"] <= len(task.validation) < HELD["validation"] + classes
        assert HELD["test"] <= len(task.test) < HELD["test"] + classes


def test_zero_shot_is_well_above_chance_in_every_domain() -> None:
    learner = MiniClipConfig().build(stream := MiniMtilConfig(shots=1).build(Path()), torch.device("cpu"))
    assert learner.facts() == {}
    for task, found in zip(stream.tasks, learner.evaluate("test", range(len(stream))), strict=True):
        assert isinstance(task, ImageTask)
        assert found.scores.mean() >= FEWEST * 100 / len(task.class_names), task.name
