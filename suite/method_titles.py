"""Methods inside methods, in the fields of a config or of a stored record: how they are named and where the network's own part is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

INNER = "inner"
JOINED = " + "
USUAL_INNER = "lora"  # what every wrapper goes around unless its config names another method


def method_title(method: Mapping[str, Any]) -> str:
    """The name as tables show it: ``codyra``, ``replay + codyra``; the inner method that a wrapper has by itself is left out."""
    inner = method.get(INNER)
    if not isinstance(inner, Mapping):
        return str(method["name"])
    title = method_title(inner)
    return str(method["name"]) if title == USUAL_INNER else f"{method['name']}{JOINED}{title}"


def outermost(title: str) -> str:
    """The method's own name in a title, without what is inside it."""
    return title.partition(JOINED)[0]


def innermost(method: Mapping[str, Any]) -> Mapping[str, Any]:
    """Fields of the method inside all wrappers, which has the ranks and the placement; ``method`` itself where it wraps none."""
    inner = method.get(INNER)
    return innermost(inner) if isinstance(inner, Mapping) else method
