"""Classes whose prompts have the same tokens: no text encoder can tell them apart, so they would score as chance or 0 in silence."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from typing import Any

from suite.backbones.class_prompts import ClassPrompts
from suite.benchmarks.stream import ImageTask, LabelSpace, SharedClasses, Stream
from suite.counting import counted
from suite.errors import ConfigError

NAMED = 5  # names that a message lists


def require_told_apart(prompts: ClassPrompts, stream: Stream, backbone: str, remedy: str) -> dict[str, Any]:
    """Facts for the record about prompts that classes of several tasks of a union share; empty when there is none.

    Raises:
        ConfigError: two classes of one task share their training or their evaluation prompts, or two of a union's tasks do and the
            stream says to refuse that, or to merge them though their names differ.
    """
    tasks = [task for task in stream.tasks if isinstance(task, ImageTask)]
    kept: list[str] = []
    for group in _groups(prompts):
        places = [prompts.place(position) for position in group]
        names = [(tasks[task].name, tasks[task].class_names[label]) for task, label in places]
        where = f"benchmark {stream.name}: "
        for own, _ in names:
            inside = [f"'{name}'" for task, name in names if task == own]
            if len(inside) > 1:
                raise ConfigError(
                    f"{where}backbone '{backbone}' cannot tell the classes {_listed(inside)} of task '{own}' apart, it reads their "
                    f"prompts as the same tokens; {remedy}."
                )
        if stream.protocol is not LabelSpace.UNION:
            continue
        listed = _listed([f"'{name}' of task '{task}'" for task, name in names])
        one_name = len({spoken(name) for _, name in names}) == 1
        if stream.shared_classes == "refuse" or (stream.shared_classes == "merge" and not one_name):
            choice = "rename one, or set benchmark.shared_classes=merge to make them one class" if one_name else remedy
            raise ConfigError(
                f"{where}backbone '{backbone}' cannot tell {listed} apart, it reads their prompts as the same tokens, and all tasks "
                f"share one label space; {choice}."
            )
        kept.append(listed)
    shared = list(dict.fromkeys(kept))
    return {"shared_prompts": len(shared), "notes": [_note(shared, stream.shared_classes)]} if shared else {}


def _note(shared: list[str], rule: SharedClasses) -> str:
    first = shared[0] if len(shared) == 1 else f"the first by {shared[0]}"
    what = "which are one class here" if rule == "merge" else "an image of any of them counts for the first of them alone"
    return f"{counted(len(shared), 'class prompt', 'is', 'are')} shared by several tasks, {first}; {what}"


def spoken(name: str) -> str:
    """A class name without what tells no names apart: how an accent is encoded (NFC), case, kind and number of blanks.

    What Unicode calls compatible (``m²`` and ``m2``) or folds together (``Maße`` and ``Masse``) are different names.
    """
    return " ".join(unicodedata.normalize("NFC", name).lower().replace("_", " ").split())


def _groups(prompts: ClassPrompts) -> Iterator[list[int]]:
    """Positions, among all classes of the stream, that share training or evaluation prompts."""
    for numbers in (prompts.judged.tolist(), prompts.learned.tolist()):
        positions: dict[int, list[int]] = {}
        for position, number in enumerate(numbers):
            positions.setdefault(number, []).append(position)
        yield from (group for group in positions.values() if len(group) > 1)


def _listed(names: list[str]) -> str:
    more = [f"{len(names) - NAMED} more"] if len(names) > NAMED else []
    *first, last = [*names[:NAMED], *more]
    return f"{', '.join(first)} and {last}"
