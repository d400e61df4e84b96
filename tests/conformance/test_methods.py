"""Every registered method holds what ``suite.testing`` asks of it: by being in the table, nothing else."""

from __future__ import annotations

import pytest

from suite.registry import METHODS
from suite.testing.methods import IMAGES, TEXTS, MethodConformance

UNION = {
    "benchmark": {"name": "mini-xtail", "domains": ["arrows", "faces", "digits"], "shots": 4},
    "training": IMAGES["training"],
}
THREE_TEXTS = {"benchmark": {"name": "mini-trace", "tasks": ["C-STANCE", "NumGLUE-cm", "FOMC"]}, "training": TEXTS["training"]}


class TestRegisteredMethods(MethodConformance):
    methods = tuple(METHODS)


class TestOtherSettings(MethodConformance):
    methods = (
        {"name": "lora", "between": "carry", "dropout": 0.5},
        {"name": "lora", "between": "stack"},
        {"name": "replay", "selection": "balanced"},
    )
    streams = (IMAGES,)


@pytest.mark.slow
class TestLongerStreams(MethodConformance):
    methods = (
        *METHODS,
        *TestOtherSettings.methods,
        {"name": "icarl", "teacher": "previous", "exemplar_weight": 1.0, "herding": "class", "classifier": "nearest_mean"},
    )
    streams = (UNION, THREE_TEXTS)
    test_the_first_task_is_learned = None  # the shorter streams show it; a dozen steps on this first task lie within its noise
