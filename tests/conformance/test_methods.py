"""Every registered method holds what ``suite.testing`` asks of it: by being in the table, nothing else."""

from __future__ import annotations

import pytest

from suite.registry import METHODS
from suite.testing.methods import IMAGES, TEXTS, MethodConformance

UNION = {
    "benchmark": {"name": "mini-xtail", "domains": ["arrows", "faces", "digits"], "shots": 4, "limit": 36},
    "training": IMAGES["training"],
}
THREE_TEXTS = {"benchmark": {"name": "mini-trace", "tasks": ["C-STANCE", "NumGLUE-cm", "FOMC"]}, "training": TEXTS["training"]}


SETTINGS = (
    {"name": "lora", "between": "carry", "dropout": 0.5},
    {"name": "lora", "between": "stack"},
    {"name": "replay", "selection": "balanced"},
)
NEAREST_MEANS = {
    "name": "icarl",
    "teacher": "previous",
    "exemplar_weight": 1.0,
    "herding": "class",
    "classifier": "nearest_mean",
}


def only_for_texts(name: str) -> bool:
    """Whether no stream of images shows what the method does."""
    return "clip" not in METHODS[name]().build().needs


class TestRegisteredMethods(MethodConformance):
    methods = (*METHODS, *SETTINGS)
    streams = (IMAGES,)


class TestOnTexts(MethodConformance):
    """One method of each kind: merged, carried, with extra batches, with parts of its own, without steps. All others are slow tests."""

    methods = (
        "codyra",
        {"name": "lora", "between": "carry"},
        "replay",
        "l2p",
        *(name for name in METHODS if only_for_texts(name)),
    )
    streams = (TEXTS,)


@pytest.mark.slow
class TestUnionOfClasses(MethodConformance):
    methods = (*METHODS, *SETTINGS, NEAREST_MEANS)
    streams = (UNION,)
    test_the_first_task_is_learned = None  # the shorter stream shows it; a dozen steps on this first task lie within its noise
    test_another_seed_is_another_run = None  # of the same first task the shorter stream shows it


@pytest.mark.slow
class TestThreeTexts(MethodConformance):
    methods = (*METHODS, *SETTINGS)
    streams = (THREE_TEXTS,)
    test_the_first_task_is_learned = None
