"""Zero-shot: the untouched backbone; row 0 of the accuracy matrix repeated."""

from __future__ import annotations

from typing import Literal

from suite.backbones.learner import Learner
from suite.parts import MethodConfig
from suite.randomness import RandomStreams
from trainables.method import Method, TaskContext


class ZeroShotConfig(MethodConfig):
    """Has no hyperparameters."""

    knows_later_tasks = False
    name: Literal["zero-shot"] = "zero-shot"

    def build(self) -> ZeroShot:
        return ZeroShot()


class ZeroShot(Method):
    """Trains nothing: no slot, no parameter, no step."""

    def attach(self, learner: Learner, random: RandomStreams) -> None:
        """Nothing: the network stays as it is."""

    def steps(self, context: TaskContext) -> None:
        """None: row 0 is every row."""
