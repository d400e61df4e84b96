"""What a method needs of the run that it is part of; refused before anything is trained."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import get_args

from suite.errors import ConfigError, unknown_name
from suite.lowrank.placement import Placement
from suite.method_titles import INNER
from suite.parts import BackboneConfig, MethodConfig, TrainingConfig
from suite.registry import METHODS
from trainables.faults import named
from trainables.method import Method, Need

BACKBONE_KINDS = {"clip": "a CLIP", "lm": "a language model"}


class UnfitMethod(ConfigError):
    """The run lacks what the method needs of it; with another benchmark or another setting the method could serve."""


def check_needs(method: Method, kind: str, training: TrainingConfig, tasks: Sequence[str], *, references: bool) -> None:
    """Compare what ``method`` and ``training`` name with what the run has: a ``kind`` of backbone, ``tasks``, ``references`` or none.

    Raises:
        UnfitMethod: the method needs another kind of backbone or a reference set.
        ConfigError: ``training.per_task`` names no task, or ``training`` asks for what the backbone has no use for.
    """
    unknown = sorted(map(str, set(method.needs) - set(get_args(Need))))
    if unknown or not BACKBONE_KINDS.keys() & method.needs:
        declared = f"the unknown need '{unknown[0]}'" if unknown else "no kind of backbone"
        raise ConfigError(
            f"{named(method)}: declares {declared} in needs; {' and '.join(BACKBONE_KINDS)} are the kinds of backbone, 'references' is a "
            "reference set; correct the method."
        )
    if kind not in method.needs:
        inner, name = _culprit(method, lambda one: kind not in one.needs)
        wanted = " or ".join(BACKBONE_KINDS[need] for need in sorted(inner.needs) if need in BACKBONE_KINDS)
        raise UnfitMethod(
            f"method: {name} needs {wanted}, and the backbone is {BACKBONE_KINDS[kind]}; choose another method or another benchmark."
        )
    if "references" in method.needs and not references:
        name = _culprit(method, lambda one: "references" in one.needs)[1]
        raise UnfitMethod(
            f"method: {name} needs a reference set of pictures and captions; name its folder as references.folder."
        )
    for name, usual in (("kernels", "torch"), ("encoders", "in_turn")):
        if (value := getattr(training, name)) != usual and kind != "clip":
            raise ConfigError(
                f"training.{name}: '{value}' serves CLIP alone, and the backbone is {BACKBONE_KINDS[kind]}; set '{usual}' or leave it out."
            )
    for task in training.per_task:
        if task not in tasks:
            raise unknown_name("task", task, tasks, where="training.per_task")


def check_sharding(method: Method, backbone: BackboneConfig) -> None:
    """Refuse what cannot be learned where the frozen weights lie over several workers (``resources.shard_frozen``).

    Raises:
        ConfigError: the backbone has no shards, or the method needs weights that are whole.
    """
    if not backbone.can_shard:
        raise ConfigError(
            f"resources.shard_frozen: backbone '{backbone.name}' fits one card and is not laid over several workers; only 'causal-lm' "
            "is, so leave it out."
        )
    if method.whole_weights:
        name = _culprit(method, lambda one: one.whole_weights)[1]
        raise UnfitMethod(
            f"resources.shard_frozen: {name} learns or reads the frozen weights themselves, which are whole on no worker; leave it out, or "
            "choose a method that adds low-rank parts to them."
        )


def check_placements(method: MethodConfig, kind: str) -> None:
    """Refuse placements on an encoder that backbones of this ``kind`` do not have.

    Raises:
        UnfitMethod: naming the placement.
    """
    for part in method.with_parts_inside():
        for field, value in part:
            if isinstance(value, Placement) and not value.is_of(kind):
                plain = value.model_copy(update={"encoder": "all"})
                raise UnfitMethod(
                    f"{part.name}: {field} '{value}' names an encoder, and {BACKBONE_KINDS[kind]} has layers alone; write it as '{plain}'."
                )


def registered_name(method: Method) -> str:
    """What users call the method; its class's name where no table has it."""
    config = getattr(method, "config", None)
    if isinstance(config, MethodConfig):
        return config.name
    names = {entry.module: name for name, entry in METHODS.entries.items()}
    return names.get(type(method).__module__, type(method).__name__)


def _culprit(method: Method, lacks: Callable[[Method], bool]) -> tuple[Method, str]:
    """The innermost method that ``lacks`` something, and what it is called: as it is registered, inside what stands around it."""
    names = [registered_name(method)]
    while (inner := getattr(method, INNER, None)) is not None and lacks(inner):
        method = inner
        names.insert(0, registered_name(method))
    return method, " inside ".join(f"'{name}'" for name in names)
