"""What a method needs of the run that it is part of; refused before anything is trained."""

from __future__ import annotations

from suite.backbones.learner import Learner
from suite.errors import ConfigError, unknown_name
from suite.parts import TrainingConfig
from trainables.method import Method

BACKBONE_KINDS = {"clip": "a CLIP", "lm": "a language model"}


def check_needs(method: Method, learner: Learner, training: TrainingConfig) -> None:
    """Compare what ``method`` and ``training`` name with what ``learner`` has.

    Raises:
        ConfigError: the method needs another kind of backbone or a reference set, or ``training.per_task`` names no task.
    """
    kind, name = learner.kind, type(method).__name__
    if kind not in method.needs:
        wanted = " or ".join(BACKBONE_KINDS[need] for need in sorted(method.needs) if need in BACKBONE_KINDS)
        raise ConfigError(
            f"method: {name} needs {wanted}, and the backbone is {BACKBONE_KINDS[kind]}; choose another method or another benchmark."
        )
    if "references" in method.needs and learner.references is None:
        raise ConfigError(
            f"method: {name} needs a reference set of pictures and captions; name its folder as references.folder."
        )
    for task in training.per_task:
        if task not in learner.stream.task_names:
            raise unknown_name("task", task, learner.stream.task_names, where="training.per_task")
