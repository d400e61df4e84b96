"""What a method needs of the run that it is part of; refused before anything is trained."""

from __future__ import annotations

from collections.abc import Sequence

from suite.errors import ConfigError, unknown_name
from suite.parts import TrainingConfig
from trainables.method import Method

BACKBONE_KINDS = {"clip": "a CLIP", "lm": "a language model"}


class UnfitMethod(ConfigError):
    """The run lacks what the method needs of it; with another benchmark or another setting the method could serve."""


def check_needs(method: Method, kind: str, training: TrainingConfig, tasks: Sequence[str], *, references: bool) -> None:
    """Compare what ``method`` and ``training`` name with what the run has: a ``kind`` of backbone, ``tasks``, ``references`` or none.

    Raises:
        UnfitMethod: the method needs another kind of backbone or a reference set.
        ConfigError: ``training.per_task`` names no task.
    """
    name = type(method).__name__
    if kind not in method.needs:
        wanted = " or ".join(BACKBONE_KINDS[need] for need in sorted(method.needs) if need in BACKBONE_KINDS)
        raise UnfitMethod(
            f"method: {name} needs {wanted}, and the backbone is {BACKBONE_KINDS[kind]}; choose another method or another benchmark."
        )
    if "references" in method.needs and not references:
        raise UnfitMethod(
            f"method: {name} needs a reference set of pictures and captions; name its folder as references.folder."
        )
    for task in training.per_task:
        if task not in tasks:
            raise unknown_name("task", task, tasks, where="training.per_task")
